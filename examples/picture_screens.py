"""What a screen shows: programs, an e-mail and charts. Painted with a Brush, nothing random."""

from __future__ import annotations

from limner.examples.picture_brush import (
    AMBER,
    BLUE,
    GREY,
    INK,
    LINE,
    PALE,
    RED,
    WHITE,
    Brush,
    polar,
)

__all__ = ["PAINTERS"]


def terminal_error() -> Brush:
    """A program that adds numbers to texts."""
    brush = Brush(860, 480, "#9aa7b2")
    brush.box(24, 24, 836, 456, "#1b2128", None, 12)
    brush.box(24, 24, 836, 62, "#39434d", None, 12)
    for n, colour in enumerate((RED, AMBER, "#4aa564")):
        brush.disc(50 + 26 * n, 43, 8, colour)
    lines = [
        ("$ head -4 costs.csv", "#8fd3a0"),
        ("item,amount", WHITE),
        ("rent,850", WHITE),
        ("bread,3.20", WHITE),
        ("train,49", WHITE),
        ("$ python budget.py", "#8fd3a0"),
        ("Traceback (most recent call last):", "#e8b4b0"),
        ('  File "budget.py", line 14, in <module>', "#e8b4b0"),
        ("    print(total(rows))", WHITE),
        ('  File "budget.py", line 9, in total', "#e8b4b0"),
        ('    return sum(row["amount"] for row in rows)', WHITE),
        ("TypeError: unsupported operand type(s) for +: 'int' and 'str'", "#ff8f87"),
    ]
    for n, (words, ink) in enumerate(lines):
        brush.text(46, 90 + 31 * n, words, 19, ink, "lm", "SansMono")
    return brush


def spreadsheet_error() -> Brush:
    """A table with a division by zero."""
    brush = Brush(760, 440, PALE)
    brush.box(16, 16, 744, 58, WHITE, LINE)
    brush.text(34, 37, "D4", 19, anchor="lm", face="Sans-Bold")
    brush.line([(90, 20), (90, 54)], LINE, 2)
    brush.text(108, 37, "fx   =C4/B4", 19, anchor="lm", face="SansMono")
    edges = [16, 70, 280, 430, 590, 744]
    for left, right, name in zip(edges[1:], edges[2:], "ABCD", strict=False):
        brush.box(left, 70, right, 104, "#dfe5ea", LINE, 0, 1)
        brush.text((left + right) / 2, 87, name, 18, GREY)
    rows = [
        ("Stall", "Visitors", "Takings", "Per visitor"),
        ("Cakes", "120", "306.00", "2.55"),
        ("Books", "85", "212.50", "2.50"),
        ("Face paint", "0", "0.00", "#DIV/0!"),
        ("Tombola", "140", "490.00", "3.50"),
        ("Plants", "60", "174.00", "2.90"),
    ]
    for n, row in enumerate(rows):
        y = 104 + 50 * n
        brush.box(16, y, 70, y + 50, "#dfe5ea", LINE, 0, 1)
        brush.text(43, y + 25, str(n + 1), 18, GREY)
        for column, (left, right, words) in enumerate(zip(edges[1:], edges[2:], row, strict=False)):
            brush.box(left, y, right, y + 50, WHITE, LINE, 0, 1)
            face = "Sans" if n else "Sans-Bold"
            at, anchor = (right - 12, "rm") if column and n else (left + 12, "lm")
            brush.text(at, y + 25, words, 19, RED if "#" in words else INK, anchor, face)
    brush.box(590, 254, 744, 304, None, BLUE, 0, 4)
    return brush


def suspicious_email() -> Brush:
    """An e-mail that is after somebody's card."""
    brush = Brush(860, 600, "#dde3e8")
    brush.box(24, 20, 836, 580, WHITE, LINE, 10)
    brush.text(52, 58, "Final notice: your parcel is waiting", 26, anchor="lm", face="Sans-Bold")
    brush.disc(76, 116, 24, AMBER)
    brush.text(76, 116, "P", 24, WHITE, face="Sans-Bold")
    brush.text(114, 104, "Parcel Servcie", 19, anchor="lm", face="Sans-Bold")
    brush.text(114, 130, "<no-reply@parcel-fee-desk.example>", 17, GREY, "lm")
    brush.text(808, 104, "03:12", 17, GREY, "rm")
    brush.line([(52, 160), (808, 160)], LINE, 2)
    lines = [
        "Dear costumer,",
        "",
        "we try to deliver your parcel but the shiping fee was not paid.",
        "Pay 1.99 EUR within 24 hours or the parcel will be destroyed.",
        "Please have your card number and PIN ready.",
    ]
    for n, words in enumerate(lines):
        brush.text(52, 194 + 34 * n, words, 20, anchor="lm")
    brush.box(52, 378, 292, 434, "#d9730d", None, 8)
    brush.text(172, 406, "PAY NOW", 22, WHITE, face="Sans-Bold")
    brush.box(52, 450, 560, 490, "#fffbe6", GREY, 4, 1)
    brush.text(
        66, 470, "http://parce1-pay.example/login?id=88213", 17, anchor="lm", face="SansMono"
    )
    brush.text(52, 532, "Parcel Service Ltd, all rights reserved", 16, GREY, "lm")
    return brush


def electricity_chart() -> Brush:
    """Twelve months of electricity, one of them odd."""
    brush = Brush(860, 520)
    brush.text(430, 36, "Electricity used by our flat last year, kWh a month", 23, face="Sans-Bold")
    used = [310, 280, 260, 220, 190, 180, 175, 410, 200, 230, 270, 320]
    for level in range(0, 500, 100):
        y = 450 - 0.85 * level
        brush.line([(70, y), (830, y)], LINE, 1)
        brush.text(58, y, str(level), 16, GREY, "rm")
    for n, (month, kwh) in enumerate(zip(_MONTHS, used, strict=True)):
        x, top = 84 + 62 * n, 450 - 0.85 * kwh
        brush.box(x, top, x + 42, 450, "#3c7fb1")
        brush.text(x + 21, top - 14, str(kwh), 16)
        brush.text(x + 21, 472, month, 17)
    brush.text(830, 502, "meter read on the last day of each month", 15, GREY, "rm")
    return brush


_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def budget_pie() -> Brush:
    """What a month's money goes to."""
    brush = Brush(800, 500)
    brush.text(400, 38, "Where my 1,700 euros go each month", 24, face="Sans-Bold")
    parts = [
        ("Rent", 820, "#34618f"),
        ("Food", 360, "#d98a3d"),
        ("Leisure", 210, "#8b5fa8"),
        ("Transport", 140, "#4f9a68"),
        ("Insurance", 95, "#b9524d"),
        ("Savings", 75, "#8a949c"),
    ]
    start = -90.0
    for n, (name, euros, colour) in enumerate(parts):
        end = start + 360 * euros / 1700
        brush.slice(260, 280, 190, start, end, colour)
        if euros > 100:
            x, y = polar(260, 280, 125, (start + end) / 2)
            brush.text(x, y, str(euros), 20, WHITE, face="Sans-Bold")
        y = 140 + 54 * n
        brush.box(510, y - 14, 538, y + 14, colour, None, 4)
        brush.text(554, y, name, 21, anchor="lm")
        brush.text(750, y, f"{euros}", 21, anchor="rm", face="Sans-Bold")
        start = end
    return brush


PAINTERS = (terminal_error, spreadsheet_error, suspicious_email, electricity_chart, budget_pie)
