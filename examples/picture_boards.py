"""Boards, puzzles and diagrams with one right reading. Painted with a Brush, nothing random."""

from __future__ import annotations

import math

from limner.examples.picture_brush import (
    BLUE,
    GREY,
    INK,
    RED,
    WHITE,
    Brush,
    polar,
)

__all__ = ["PAINTERS"]

_POSITION = (
    "......k.",
    ".....ppp",
    "p.......",
    ".p......",
    "..N.....",
    "........",
    "rq...PPP",
    "....R.K.",
)
_PIECES = {"k": "♚", "q": "♛", "r": "♜", "b": "♝", "n": "♞", "p": "♟"}


def chess_position() -> Brush:
    """A position in which White mates in one move."""
    brush = Brush(560, 600, "#3e3a36")
    for row, squares in enumerate(_POSITION):
        for column, piece in enumerate(squares):
            x, y = 48 + 60 * column, 40 + 60 * row
            brush.box(x, y, x + 60, y + 60, "#b58863" if (row + column) % 2 else "#f0d9b5")
            if piece != ".":
                edge = INK if piece.isupper() else "#0b0b0b"
                for dx, dy in ((-1.2, 0), (1.2, 0), (0, -1.2), (0, 1.2)):
                    brush.text(x + 30 + dx, y + 28 + dy, _PIECES[piece.lower()], 46, edge)
                ink = WHITE if piece.isupper() else "#1a1a1a"
                brush.text(x + 30, y + 28, _PIECES[piece.lower()], 46, ink)
    for n in range(8):
        brush.text(78 + 60 * n, 538, "abcdefgh"[n], 20, "#e8dcc8")
        brush.text(26, 70 + 60 * n, str(8 - n), 20, "#e8dcc8")
    brush.text(288, 574, "White to move", 21, WHITE, face="Sans-Bold")
    return brush


_TOOTH = 5.6  # pitch radius for each tooth, so that all gears mesh


def _gear(brush: Brush, x: float, y: float, teeth: int, colour: str, start: float) -> float:
    """A gear wheel whose first tooth points at ``start`` degrees; returns its pitch radius."""
    radius = teeth * _TOOTH
    corners = []
    for n in range(teeth):
        for part, r in ((-0.27, -9), (-0.14, 9), (0.14, 9), (0.27, -9)):
            corners.append(polar(x, y, radius + r, start + 360 * (n + part) / teeth))
    brush.shape(corners, colour, INK, 2)
    brush.disc(x, y, 12, WHITE, INK, 3)
    return radius


def gear_train() -> Brush:
    """Four gears in a row; the first is turned."""
    brush = Brush(960, 450)
    x, y = 176.0, 232.0
    start = 0.0  # where the tooth of this gear points that meets the next
    for name, teeth, colour in (
        ("A", 24, "#e3b04b"),
        ("B", 12, "#7fb3d5"),
        ("C", 18, "#a3c585"),
        ("D", 24, "#d99a9a"),
    ):
        radius = _gear(brush, x, y, teeth, colour, start)
        brush.text(x, y - radius * 0.45, name, 34, face="Sans-Bold")
        brush.text(x, y + radius * 0.5, f"{teeth} teeth", 17)
        following = {"A": 12, "B": 18, "C": 24}.get(name, 0)
        x += radius + following * _TOOTH
        # the next gear has a gap where this one has its tooth, seen from the other side
        tooth = (0 - start) / (360 / teeth)
        gap = round(tooth) - tooth
        start = 180 + (0.5 + gap) * 360 / following if following else 0
    brush.arc(176, 232, 164, 215, 320, RED, 5)
    brush.arrow([polar(176, 232, 164, 318), polar(176, 232, 164, 326)], RED, 5)
    brush.text(600, 420, "A is turned in the direction of the arrow", 20, GREY)
    return brush


def fruit_balance() -> Brush:
    """Two weighings, and a third to be solved."""
    brush = Brush(900, 420, "#fbf6ec")
    weighings = [("🍍", "🍐🍐🍐"), ("🍐", "🍓🍓"), ("🍍🍐", "?")]
    for n, (left, right) in enumerate(weighings):
        x = 155 + 295 * n
        brush.shape([(x - 34, 360), (x + 34, 360), (x, 320)], "#8a6b4a")
        brush.line([(x, 340), (x, 170)], "#8a6b4a", 8)
        brush.line([(x - 96, 170), (x + 96, 170)], "#8a6b4a", 8)
        for side, things in ((x - 78, left), (x + 78, right)):
            brush.line([(side - 52, 290), (side, 170), (side + 52, 290)], GREY, 2)
            brush.line([(side - 58, 292), (side + 58, 292)], INK, 7)
            if things == "?":
                brush.text(side, 262, "?", 46, RED, face="Sans-Bold")
                continue
            size, gap = (40, 33) if len(things) > 2 else (46, 42)
            for k, thing in enumerate(things):
                brush.sign(side + gap * (k - (len(things) - 1) / 2), 266, thing, size)
        brush.text(x, 396, f"scale {n + 1}", 20, GREY)
    brush.text(450, 66, "All three scales balance.", 24)
    brush.text(450, 106, "How many strawberries stand for the question mark?", 22)
    return brush


def circuit() -> Brush:
    """Two lamps side by side, one behind an open switch."""
    brush = Brush(820, 500)
    wire = 4
    brush.line([(120, 220), (120, 100), (640, 100), (640, 170)], INK, wire)
    brush.line([(120, 280), (120, 400), (640, 400), (640, 330)], INK, wire)
    brush.line([(400, 100), (400, 215)], INK, wire)
    brush.line([(400, 285), (400, 400)], INK, wire)
    brush.line([(640, 170), (640, 215)], INK, wire)
    brush.line([(640, 285), (640, 330)], INK, wire)
    brush.line([(84, 232), (156, 232)], INK, 5)  # battery, the long bar is plus
    brush.line([(102, 268), (138, 268)], INK, 9)
    brush.line([(120, 220), (120, 232)], INK, wire)
    brush.line([(120, 268), (120, 280)], INK, wire)
    brush.text(64, 250, "6 V", 24, face="Sans-Bold")
    brush.text(172, 226, "+", 24, RED)
    for x, name in ((400, "A"), (640, "B")):
        brush.disc(x, 250, 36, "#fff3b8", INK, 4)
        for side in (45, 135):
            brush.line([polar(x, 250, 34, side), polar(x, 250, 34, side + 180)], INK, 3)
        brush.text(x + 56, 250, name, 30, face="Sans-Bold")
    brush.box(630, 318, 650, 388, WHITE)  # the open switch in the branch of B
    brush.line([(640, 386), (604, 330)], INK, 5)
    brush.disc(640, 386, 7, INK)
    brush.disc(640, 318, 7, INK)
    brush.text(672, 352, "S (open)", 22, anchor="lm")
    brush.text(400, 460, "two equal lamps, one battery", 20, GREY)
    return brush


_FRETS = ((3, 2, 0, 0, 0, 3), (-1, 3, 2, 0, 1, 0))


def guitar_chords() -> Brush:
    """The chords G major and C major."""
    brush = Brush(720, 480)
    for n, frets in enumerate(_FRETS):
        x0, y0, gap, step = 100 + 330 * n, 110, 40, 62
        for string in range(6):
            x = x0 + gap * string
            brush.line([(x, y0), (x, y0 + 4 * step)], INK, 2)
            fret = frets[string]
            if fret > 0:
                brush.disc(x, y0 + step * (fret - 0.5), 15, INK)
            else:
                brush.text(x, y0 - 26, "o" if fret == 0 else "x", 24)
        for fret in range(5):
            y = y0 + step * fret
            brush.line([(x0, y), (x0 + 5 * gap, y)], INK, 8 if fret == 0 else 2)
        for string, name in enumerate("EADGBE"):
            brush.text(x0 + gap * string, y0 + 4 * step + 26, name, 18, GREY)
        brush.text(x0 + 2.5 * gap, 440, f"chord {n + 1}", 22, face="Sans-Bold")
    brush.text(360, 40, "guitar, standard tuning", 20, GREY)
    return brush


_HEART = (
    "...........",
    "..##...##..",
    ".####.####.",
    ".#########.",
    ".#########.",
    "..#######..",
    "...#####...",
    "....###....",
    ".....#.....",
    "...........",
)


def knitting_chart() -> Brush:
    """A heart, stitch by stitch."""
    brush = Brush(640, 640)
    cell, x0, y0 = 46, 60, 70
    for row, stitches in enumerate(_HEART):
        for column, stitch in enumerate(stitches):
            x, y = x0 + cell * column, y0 + cell * row
            brush.box(
                x, y, x + cell, y + cell, "#c0392b" if stitch == "#" else "#f7f2e7", GREY, 0, 1
            )
        number = len(_HEART) - row
        side = x0 + 11 * cell + 22 if number % 2 else x0 - 22
        brush.text(side, y0 + cell * (row + 0.5), str(number), 19)
    for column in range(11):
        brush.text(x0 + cell * (column + 0.5), y0 + 10 * cell + 22, str(11 - column), 17, GREY)
    brush.text(320, 36, "Heart, 11 stitches by 10 rows", 23, face="Sans-Bold")
    brush.box(110, 590, 136, 616, "#c0392b", GREY, 0, 1)
    brush.text(148, 603, "red", 19, anchor="lm")
    brush.box(260, 590, 286, 616, "#f7f2e7", GREY, 0, 1)
    brush.text(298, 603, "cream", 19, anchor="lm")
    return brush


def offside() -> Brush:
    """A pass to a player who stands offside."""
    brush = Brush(860, 540, "#4d9a55")
    for n in range(0, 9, 2):
        brush.box(95 * n, 0, 95 * n + 95, 540, "#57a860")
    white = WHITE
    brush.box(20, 20, 838, 520, None, white, 0, 4)
    brush.line([(60, 20), (60, 520)], white, 4)
    brush.disc(60, 270, 90, None, white, 4)
    brush.box(660, 110, 838, 430, None, white, 0, 4)
    brush.box(760, 190, 838, 350, None, white, 0, 4)
    brush.box(838, 220, 856, 320, "#e8edf0", white, 0, 3)
    brush.box(0, 0, 18, 540, "#4d9a55")
    players = [
        (250, 330, BLUE, "8"),
        (640, 170, BLUE, "9"),
        (430, 120, BLUE, "7"),
        (500, 240, RED, "4"),
        (560, 350, RED, "5"),
        (470, 430, RED, "3"),
        (812, 270, "#f2c230", "1"),
    ]
    brush.arrow([(276, 318), (606, 186)], WHITE, 4)
    for x, y, colour, number in players:
        brush.disc(x, y, 24, colour, white, 3)
        brush.text(x, y, number, 22, INK if colour == "#f2c230" else white, face="Sans-Bold")
    brush.sign(276, 354, "⚽", 30)
    brush.line([(560, 24), (560, 516)], "#ffe27a", 2)
    brush.text(440, 490, "blue attacks to the right; 8 has just passed to 9", 19, white)
    return brush


def moon_phases() -> Brush:
    """Eight phases of the Moon, numbered."""
    brush = Brush(920, 500, "#101626")
    for n in range(8):
        x, y = 130 + 220 * (n % 4), 120 + 190 * (n // 4)
        _moon(brush, x, y, 70, n / 8)
        brush.text(x, y + 98, str(n + 1), 26, WHITE, face="Sans-Bold")
    brush.text(460, 468, "one month, seen from the northern half of the Earth", 19, "#aab4cc")
    return brush


def _moon(brush: Brush, x: float, y: float, r: float, age: float) -> None:
    """The moon at an age from 0 (new) over 0.5 (full) to 1, as the north sees it."""
    brush.disc(x, y, r, "#2a3247", "#4a546c", 2)
    bend = math.cos(2 * math.pi * age)
    lit = 1 if age < 0.5 else -1
    outer, inner = [], []
    for degrees in range(-90, 91, 3):
        side, up = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
        outer.append((x + lit * r * side, y + r * up))
        inner.append((x + lit * r * side * bend, y + r * up))
    if age:
        brush.shape([*outer, *reversed(inner)], "#f4efdc")


PAINTERS = (
    chess_position,
    gear_train,
    fruit_balance,
    circuit,
    guitar_chords,
    knitting_chart,
    offside,
    moon_phases,
)
