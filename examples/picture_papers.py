"""Labels, signs and papers: things with words on them. Painted with a Brush, nothing random."""

from __future__ import annotations

from limner.examples.picture_brush import (
    AMBER,
    BLUE,
    GREEN,
    GREY,
    INK,
    LINE,
    PALE,
    RED,
    WHITE,
    Brush,
)

__all__ = ["PAINTERS"]


def _nutrition(
    title: str, colour: str, portion: str, rows: list[tuple[str, str, str]], made_of: str
) -> Brush:
    """The back of a packet: what is in 100 g and in one portion."""
    brush = Brush(560, 580, PALE)
    brush.box(30, 24, 530, 556, WHITE, LINE, 14)
    brush.box(30, 24, 530, 92, colour, None, 14)
    brush.text(280, 58, title, 25, WHITE, face="Sans-Bold")
    brush.text(54, 122, "Nutrition", 20, anchor="lm", face="Sans-Bold")
    brush.text(390, 122, "100 g", 18, anchor="rm", face="Sans-Bold")
    brush.text(506, 122, portion, 18, anchor="rm", face="Sans-Bold")
    for n, (name, whole, part) in enumerate(rows):
        y = 160 + 38 * n
        brush.line([(50, y - 19), (510, y - 19)], LINE, 1)
        brush.text(78 if name.startswith("of which") else 54, y, name, 18, anchor="lm")
        brush.text(390, y, whole, 18, anchor="rm")
        brush.text(506, y, part, 18, anchor="rm")
    y = 160 + 38 * len(rows)
    brush.line([(50, y - 19), (510, y - 19)], LINE, 1)
    brush.text(54, y - 4, made_of, 15, GREY, "la")
    return brush


def nutrition_oat() -> Brush:
    """What is in an oat bar."""
    rows = [
        ("Energy", "404 kcal", "141 kcal"),
        ("Fat", "14.0 g", "4.9 g"),
        ("of which saturates", "2.0 g", "0.7 g"),
        ("Carbohydrate", "58.0 g", "20.3 g"),
        ("of which sugars", "24.0 g", "8.4 g"),
        ("Fibre", "7.0 g", "2.5 g"),
        ("Protein", "8.0 g", "2.8 g"),
        ("Salt", "0.20 g", "0.07 g"),
    ]
    made_of = (
        "Ingredients: oats (48 %), glucose syrup, sunflower\n"
        "oil, raisins, honey, salt. May contain traces of nuts.\n"
        "6 bars of 35 g"
    )
    return _nutrition("Brookside Oat Bars", "#b5732a", "bar, 35 g", rows, made_of)


def nutrition_nut() -> Brush:
    """What is in a nut bar."""
    rows = [
        ("Energy", "518 kcal", "207 kcal"),
        ("Fat", "34.0 g", "13.6 g"),
        ("of which saturates", "4.0 g", "1.6 g"),
        ("Carbohydrate", "34.0 g", "13.6 g"),
        ("of which sugars", "15.0 g", "6.0 g"),
        ("Fibre", "6.0 g", "2.4 g"),
        ("Protein", "16.0 g", "6.4 g"),
        ("Salt", "0.50 g", "0.20 g"),
    ]
    made_of = (
        "Ingredients: peanuts (35 %), almonds (18 %), brown\n"
        "rice syrup, hazelnuts (10 %), oats, sea salt.\n"
        "4 bars of 40 g"
    )
    return _nutrition("Hazel & Co Nut Bars", "#5d4a7e", "bar, 40 g", rows, made_of)


def receipt() -> Brush:
    """A receipt on which one thing stands twice."""
    brush = Brush(460, 680, "#8b949c")
    brush.shape([(40, 20), (420, 20), (420, 660), (40, 660)], "#fdfcf7")
    brush.text(230, 62, "CORNER MARKET", 26, face="SansMono-Bold")
    brush.text(230, 96, "8 Mill Lane", 17, face="SansMono")
    brush.text(230, 122, "Fri 13 Mar  17:42  till 3", 17, face="SansMono")
    items = [
        ("Wholemeal bread", "2.40"),
        ("Oat milk 1 l", "1.95"),
        ("Bananas 0.82 kg", "1.23"),
        ("Cheddar 400 g", "4.60"),
        ("Oat milk 1 l", "1.95"),
        ("Tomatoes 500 g", "2.10"),
        ("Eggs x 10", "3.20"),
        ("Coffee 250 g", "4.75"),
    ]
    sums = [("Subtotal", "22.18"), ("Saver card", "-1.00")]
    paid = [("Cash", "30.00"), ("Change", "8.82")]
    for n, (name, price) in enumerate(items + sums):
        y = 170 + 34 * n + (16 if n >= len(items) else 0)
        brush.text(62, y, name, 19, anchor="lm", face="SansMono")
        brush.text(398, y, price, 19, anchor="rm", face="SansMono")
    brush.line([(60, 436), (400, 436)], GREY, 1)
    brush.text(62, 536, "TOTAL EUR", 24, anchor="lm", face="SansMono-Bold")
    brush.text(398, 536, "21.18", 24, anchor="rm", face="SansMono-Bold")
    for n, (name, price) in enumerate(paid):
        brush.text(62, 576 + 30 * n, name, 19, anchor="lm", face="SansMono")
        brush.text(398, 576 + 30 * n, price, 19, anchor="rm", face="SansMono")
    brush.text(230, 640, "Thank you!", 17, face="SansMono")
    return brush


def bus_timetable() -> Brush:
    """Five departures of a bus, one on school days only."""
    brush = Brush(760, 480, "#e9eef2")
    brush.box(24, 20, 736, 460, WHITE, LINE, 10)
    brush.box(24, 20, 736, 92, "#0f5a6b", None, 10)
    brush.box(44, 34, 106, 78, AMBER, None, 6)
    brush.text(75, 56, "12", 30, face="Sans-Bold")
    brush.text(126, 56, "Harbour – Station", 26, WHITE, "lm", "Sans-Bold")
    brush.text(716, 56, "Monday to Friday", 20, WHITE, "rm")
    stops = [("Harbour", 0), ("Town Hall", 12), ("Library", 19), ("Hospital", 31), ("Station", 40)]
    for column in range(5):
        brush.text(290 + 100 * column, 122, "S" if column == 2 else "", 18, RED, face="Sans-Bold")
    for row, (stop, minutes) in enumerate(stops):
        y = 160 + 46 * row
        if row % 2 == 0:
            brush.box(34, y - 22, 726, y + 22, PALE)
        brush.text(48, y, stop, 20, anchor="lm", face="Sans-Bold")
        for column in range(5):
            clock = 7 * 60 + 10 + 30 * column + minutes
            words = f"{clock // 60:02}:{clock % 60:02}"
            brush.text(290 + 100 * column, y, words, 20, RED if column == 2 else INK)
    brush.text(48, 404, "S", 18, RED, "lm", "Sans-Bold")
    brush.text(74, 404, "runs on school days only", 18, anchor="lm")
    brush.text(48, 434, "No service on Sundays and public holidays", 18, GREY, "lm")
    return brush


def plant_label() -> Brush:
    """How a peace lily is cared for."""
    brush = Brush(480, 640, "#dfe7da")
    brush.box(60, 24, 420, 500, WHITE, "#7fa06f", 18, 3)
    brush.shape([(180, 500), (300, 500), (240, 630)], WHITE, "#7fa06f", 3)
    brush.box(182, 494, 298, 504, WHITE)
    brush.sign(240, 82, "🪴", 76)
    brush.text(240, 148, "Peace lily", 32, "#39603a", face="Serif-Bold")
    brush.text(240, 184, "Spathiphyllum", 19, GREY, face="Serif-Italic")
    rows = [
        ("⛅", "Half shade, no midday sun"),
        ("💧", "Water once a week"),
        ("🌡️", "18 to 27 °C all year"),
        ("🧪", "Feed every 14 days,\nMarch to September"),
        ("🐾", "Harmful to pets if eaten"),
    ]
    for n, (sign, words) in enumerate(rows):
        y = 238 + 56 * n
        brush.sign(102, y, sign, 38)
        brush.text(136, y, words, 18, anchor="lm")
    return brush


def laundry_label() -> Brush:
    """Five care symbols of a jumper."""
    brush = Brush(720, 360, "#6d7f93")
    brush.box(40, 36, 680, 324, "#fbfaf5", None, 6)
    for x in range(56, 680, 22):
        brush.line([(x, 46), (x + 10, 46)], LINE, 2)
    brush.text(360, 96, "60 % WOOL   40 % COTTON", 27, face="Sans-Bold")
    brush.line([(70, 156), (84, 230), (152, 230), (166, 156)], INK, 4)  # tub, 30 degrees, gentle
    waves = [(66 + 8.5 * n, 168 + (6 if n % 2 else 0)) for n in range(13)]
    brush.line(waves, INK, 3)
    brush.text(118, 202, "30", 28, face="Sans-Bold")
    brush.line([(84, 244), (152, 244)], INK, 4)
    brush.shape([(248, 152), (296, 232), (200, 232)], None, INK, 4)  # no bleach
    brush.box(326, 152, 406, 232, None, INK, 0, 4)  # no tumble dryer
    brush.disc(366, 192, 34, None, INK, 4)
    brush.line([(438, 228), (446, 192), (520, 192), (530, 228), (438, 228)], INK, 4)  # iron
    brush.line([(462, 192), (466, 168), (514, 168), (520, 192)], INK, 4)
    brush.disc(487, 211, 5, INK)
    brush.disc(604, 192, 40, None, INK, 4)  # dry cleaning
    brush.text(604, 192, "P", 40, face="Sans-Bold")
    for x0, x1 in ((198, 298), (318, 414)):
        brush.line([(x0, 146), (x1, 240)], INK, 4)
        brush.line([(x1, 146), (x0, 240)], INK, 4)
    brush.text(360, 288, "dry flat  ·  made in Portugal", 20, GREY)
    return brush


def parking_sign() -> Brush:
    """When one may park, and how long."""
    brush = Brush(560, 700, "#cfe0ec")
    brush.box(0, 640, 560, 700, "#9aa58b")
    brush.box(272, 40, 288, 660, "#8a939a")
    brush.box(120, 40, 440, 320, BLUE, WHITE, 16, 5)
    brush.text(280, 178, "P", 210, WHITE, face="Sans-Bold")
    brush.box(120, 332, 440, 484, WHITE, INK, 8, 3)
    for n, words in enumerate(("Mon – Fri   8 – 18 h", "Sat   8 – 13 h", "2 hours with disc")):
        face = "Sans" if n < 2 else "Sans-Bold"
        brush.text(280, 364 + 44 * n, words, 25, face=face)
    brush.box(120, 496, 440, 610, "#fff4d6", RED, 8, 4)
    brush.text(280, 526, "STREET CLEANING", 25, RED, face="Sans-Bold")
    brush.text(280, 558, "1st Tuesday of the month", 21)
    brush.text(280, 588, "7 – 9 h   no parking", 21)
    return brush


def trail_signs() -> Brush:
    """A signpost with four walks."""
    brush = Brush(760, 560, "#bfe0f2")
    brush.shape([(0, 420), (130, 250), (240, 360), (400, 190), (590, 390), (760, 280), (760, 560),
                 (0, 560)], "#8fae8b")  # fmt: skip
    brush.shape([(400, 190), (360, 232), (392, 244), (420, 230), (444, 236)], WHITE)
    brush.box(0, 450, 760, 560, "#74945f")
    brush.box(368, 60, 392, 530, "#7a5a3a")
    arms = [
        (90, "left", "Kestrel Hut", "4.1 km", "1 h 20"),
        (200, "right", "Mirror Lake", "2.6 km", "45 min"),
        (310, "right", "Westford Station", "7.8 km", "2 h 10"),
        (420, "left", "Grey Peak", "6.9 km", "3 h 40"),
    ]
    for y, way, place, far, long in arms:
        x0, x1 = (50, 420) if way == "left" else (340, 710)
        if way == "left":
            corners = [(x0, y), (x0 + 40, y - 42), (x1, y - 42), (x1, y + 42), (x0 + 40, y + 42)]
        else:
            corners = [(x1, y), (x1 - 40, y - 42), (x0, y - 42), (x0, y + 42), (x1 - 40, y + 42)]
        brush.shape(corners, "#f5d547", INK, 3)
        middle = (x0 + x1) / 2 + (14 if way == "left" else -14)
        brush.text(middle, y - 17, place, 26, face="Sans-Bold")
        brush.text(middle, y + 19, f"{far}   ·   {long}", 21)
    return brush


def _tariff(name: str, colour: str, price: str, rows: list[tuple[str, str]]) -> Brush:
    """A telephone tariff as a card on a web page."""
    brush = Brush(480, 600, PALE)
    brush.box(40, 30, 440, 570, WHITE, LINE, 20)
    brush.box(40, 30, 440, 190, colour, None, 20)
    brush.box(40, 160, 440, 190, colour)
    brush.text(240, 74, name, 28, WHITE, face="Sans-Bold")
    brush.text(240, 128, price, 42, WHITE, face="Sans-Bold")
    brush.text(240, 170, "euros a month", 18, WHITE)
    for n, (what, how) in enumerate(rows):
        y = 232 + 54 * n
        brush.text(66, y, what, 19, GREY, "lm")
        brush.text(416, y, how, 19, INK, "rm", "Sans-Bold")
        brush.line([(66, y + 27), (416, y + 27)], LINE, 1)
    return brush


def tariff_nimbus() -> Brush:
    """A telephone tariff with a long contract."""
    rows = [
        ("Data", "6 GB"),
        ("Calls and texts", "unlimited"),
        ("Roaming in the EU", "included"),
        ("Contract", "24 months"),
        ("Connection fee", "19.90 once"),
        ("Network", "up to 50 Mbit/s"),
    ]
    return _tariff("Nimbus Small", "#2763a5", "8.99", rows)


def tariff_pebble() -> Brush:
    """A telephone tariff that can be cancelled monthly."""
    rows = [
        ("Data", "15 GB"),
        ("Calls", "100 minutes"),
        ("Roaming in the EU", "5 GB"),
        ("Contract", "cancel monthly"),
        ("Connection fee", "none"),
        ("Network", "up to 100 Mbit/s"),
    ]
    return _tariff("Pebble Flex", GREEN, "12.00", rows)


PAINTERS = (
    nutrition_oat,
    nutrition_nut,
    receipt,
    bus_timetable,
    plant_label,
    laundry_label,
    parking_sign,
    trail_signs,
    tariff_nimbus,
    tariff_pebble,
)
