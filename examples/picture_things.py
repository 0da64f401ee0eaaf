"""Things and scenes: tools, tracks, flags, a bicycle, a fridge. Painted with a Brush."""

from __future__ import annotations

from limner.examples.picture_brush import (
    AMBER,
    GREEN,
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


def tool_board() -> Brush:
    """Six tools, lettered."""
    brush = Brush(860, 560, "#d8b98a")
    for n, name in enumerate("ABCDEF"):
        x, y = 30 + 275 * (n % 3), 24 + 264 * (n // 3)
        brush.box(x, y, x + 250, y + 248, "#e9d3ad", "#a8854f", 12, 3)
        brush.text(x + 26, y + 28, name, 28, face="Sans-Bold")
    steel, dark = "#5b656e", "#333b42"
    brush.box(144, 90, 162, 240, "#8c5a2e", None, 6)  # A, claw hammer
    brush.box(118, 66, 194, 96, dark, None, 4)
    brush.shape([(118, 66), (118, 96), (88, 88), (70, 108), (78, 76)], dark)
    brush.shape([(350, 190), (520, 130), (520, 158), (362, 226)], "#b9c2c9", dark, 2)  # B, saw
    teeth = [(362 + 10.5 * n, 226 - 4.55 * n + (0 if n % 2 else 9)) for n in range(16)]
    brush.line(teeth, dark, 3)
    brush.shape([(330, 186), (362, 180), (372, 228), (346, 240)], "#8c5a2e")
    brush.line([(640, 220), (760, 110)], steel, 24)  # C, open spanner
    brush.disc(762, 108, 34, steel)
    brush.shape([(752, 100), (772, 118), (806, 86), (784, 62)], "#e9d3ad")
    brush.disc(640, 220, 28, steel)
    brush.disc(640, 220, 13, "#e9d3ad")
    brush.line([(90, 480), (150, 420)], "#c0392b", 30)  # D, screwdriver
    brush.line([(150, 420), (232, 338)], steel, 9)
    brush.shape([(226, 336), (240, 346), (248, 330), (242, 326)], dark)
    brush.box(326, 390, 534, 442, AMBER, dark, 4, 3)  # E, spirit level
    brush.box(396, 400, 464, 432, "#c9ec7a", dark, 10, 2)
    brush.line([(420, 402), (420, 430)], dark, 2)
    brush.line([(440, 402), (440, 430)], dark, 2)
    brush.disc(430, 413, 8, WHITE)
    brush.line([(660, 360), (660, 480), (780, 480)], dark, 14)  # F, hex key
    return brush


_HALF_HOOF = (
    (9, -58), (17, -50), (26, -34), (31, -14), (32, 6), (30, 24), (25, 36), (18, 41), (11, 39),
    (7, 30), (6, 12), (8, -8), (9, -28), (7, -46),
)  # fmt: skip
"""Outline of the right half, from its middle; pixels."""


def animal_tracks() -> Brush:
    """The tracks of a dog, a bird and a deer."""
    brush = Brush(860, 420, "#eef3f7")
    ink = "#6f7f8f"
    for n, name in enumerate("123"):
        brush.box(20 + 280 * n, 20, 280 + 280 * n, 400, "#f8fbfd", LINE, 12)
        brush.text(48 + 280 * n, 52, name, 28, face="Sans-Bold")
    for dx, dy in ((110, 290), (190, 140)):  # 1, a dog: four toes, claws, a pad
        brush.disc(dx, dy + 14, 26, ink, tall=0.8)
        for toe, (x, y) in enumerate(((-30, -14), (-12, -36), (12, -36), (30, -14))):
            brush.disc(dx + x, dy + y, 10, ink, tall=1.4)
            lean = (-4, -2, 2, 4)[toe]
            brush.line([(dx + x + lean, dy + y - 17), (dx + x + lean * 2, dy + y - 25)], ink, 4)
    for dx, dy in ((390, 300), (470, 150)):  # 2, a bird: three toes ahead, one behind
        for degrees in (-130, -90, -50):
            brush.line([(dx, dy), polar(dx, dy, 62, degrees)], ink, 7)
        brush.line([(dx, dy), (dx, dy + 44)], ink, 7)
    for dx, dy in ((675, 300), (755, 150)):  # 3, a deer: two pointed halves of a hoof
        for side in (-1, 1):
            brush.shape([(dx + side * x, dy + y) for x, y in _HALF_HOOF], ink)
    return brush


def four_flags() -> Brush:
    """Ireland, Côte d'Ivoire, Poland, Indonesia."""
    brush = Brush(820, 600, "#dfe7ee")
    stripes = [
        (("#169b62", WHITE, "#ff883e"), "tall"),
        (("#ff8200", WHITE, "#009a44"), "tall"),
        ((WHITE, "#dc143c"), "wide"),
        (("#ce1126", WHITE), "wide"),
    ]
    for n, (colours, way) in enumerate(stripes):
        x, y = 60 + 390 * (n % 2), 40 + 280 * (n // 2)
        w, h = 310 / len(colours), 200 / len(colours)
        for k, colour in enumerate(colours):
            if way == "tall":
                brush.box(x + w * k, y, x + w * (k + 1), y + 200, colour)
            else:
                brush.box(x, y + h * k, x + 310, y + h * (k + 1), colour)
        brush.box(x, y, x + 310, y + 200, None, GREY, 0, 2)
        brush.text(x + 155, y + 228, f"flag {n + 1}", 23, face="Sans-Bold")
    return brush


def open_fridge() -> Brush:
    """A fridge with enough for supper."""
    brush = Brush(560, 700, "#e6ddd0")
    brush.box(50, 24, 510, 676, "#f4f7f9", "#9aa5ae", 22, 5)
    shelves = [
        (176, "🥚🥚🥚🧀🥛"),
        (316, "🍅🍅🥦🌽"),
        (456, "🥕🥕🥕🧅🍋"),
        (620, "🍗🥬🫑🥒"),
    ]
    for y, things in shelves:
        brush.line([(66, y), (494, y)], "#a8c4d6", 6)
        gap = 400 / len(things)
        for k, thing in enumerate(things):
            brush.sign(80 + gap * (k + 0.5), y - 42, thing, 70)
    brush.box(60, 490, 500, 524, "#dfe8ee")
    return brush


def castle_party() -> Brush:
    """A dragon, a wizard and a mouse at tea."""
    brush = Brush(860, 560, "#bfe3f5")
    brush.disc(430, 640, 560, "#8fc27a", tall=0.42)
    brush.sign(570, 290, "🏰", 240)
    brush.sign(160, 110, "🎈", 110)
    brush.sign(330, 70, "☁️", 90)
    brush.sign(740, 90, "☀️", 100)
    brush.sign(330, 330, "🐉", 170)
    brush.sign(330, 236, "🎩", 56)
    brush.box(290, 420, 560, 520, "#d94f4f")
    for n in range(0, 270, 54):
        brush.box(290 + n, 420, 290 + n + 27, 520, "#f3ece0")
    brush.sign(350, 452, "🍰", 62)
    brush.sign(430, 470, "🫖", 62)
    brush.sign(510, 450, "🍓", 50)
    brush.sign(640, 460, "🐭", 76)
    brush.sign(190, 470, "🧙", 110)
    brush.sign(90, 400, "🌳", 120)
    brush.sign(780, 400, "🌳", 140)
    return brush


def bicycle_parts() -> Brush:
    """A bicycle with seven parts numbered."""
    brush = Brush(860, 560, "#f5f7f2")
    back, front, crank = (220, 370), (640, 370), (400, 390)
    seat, head = (340, 190), (570, 190)
    for x, y in (back, front):
        brush.disc(x, y, 130, None, "#2a2f33", 12)
        for turn in range(0, 360, 24):
            brush.line([(x, y), polar(x, y, 124, turn)], "#b4bcc2", 2)
        brush.disc(x, y, 14, GREY)
    frame = "#2c7a8c"
    brush.line([crank, back, seat, crank, head, seat], frame, 12)
    brush.line([(562, 160), head, (590, 245), front], frame, 12)
    brush.line([seat, (332, 150)], GREY, 10)
    brush.shape([(280, 136), (376, 132), (384, 150), (300, 158)], "#2a2f33")
    brush.line([(562, 160), (556, 118), (612, 108), (634, 132)], "#2a2f33", 10)
    for dy in (-26, 26):
        brush.line([(back[0], back[1] + dy * 0.5), (crank[0], crank[1] + dy)], "#8a6a3a", 4)
    brush.disc(*crank, 28, None, "#8a6a3a", 6)
    brush.line([(372, 346), (428, 434)], "#3b4147", 8)
    for x, y in ((372, 346), (428, 434)):
        brush.box(x - 22, y - 6, x + 22, y + 6, "#3b4147", None, 4)
    brush.box(642, 222, 664, 256, RED, None, 4)
    labels = [
        (1, (240, 90), (306, 136)),
        (2, (690, 84), (630, 120)),
        (3, (300, 480), (306, 402)),
        (4, (480, 480), (440, 440)),
        (5, (120, 200), (176, 276)),
        (6, (750, 190), (668, 236)),
        (7, (470, 120), (470, 184)),
    ]
    for number, (x, y), (to_x, to_y) in labels:
        brush.line([(x, y), (to_x, to_y)], INK, 2)
        brush.disc(x, y, 21, WHITE, INK, 3)
        brush.text(x, y, str(number), 22, face="Sans-Bold")
    return brush


def breaker_panel() -> Brush:
    """A distribution board with one switch off."""
    brush = Brush(900, 440, "#cfd4d8")
    brush.box(30, 30, 870, 410, "#f7f8f8", "#8f999f", 14, 4)
    brush.text(450, 66, "Distribution board, flat 4", 21, GREY)
    switches = [
        ("RCD\n30 mA", True),
        ("Lights", True),
        ("Sockets\nliving", True),
        ("Sockets\nbedroom", True),
        ("Oven", True),
        ("Washing\nmachine", False),
        ("Dish-\nwasher", True),
        ("Bath", True),
    ]
    for n, (name, on) in enumerate(switches):
        x = 66 + 98 * n
        brush.box(x, 110, x + 84, 310, WHITE, "#6f7a82", 6, 2)
        brush.text(x + 42, 132, "TEST" if n == 0 else "B16", 15, GREY)
        brush.box(x + 22, 156, x + 62, 264, "#dfe3e6", "#6f7a82", 4, 2)
        y = 160 if on else 212
        brush.box(x + 24, y, x + 60, y + 48, INK if on else RED, None, 4)
        brush.text(
            x + 42, 288, "I  ON" if on else "O OFF", 15, GREEN if on else RED, face="Sans-Bold"
        )
        brush.box(x, 322, x + 84, 386, PALE, LINE, 4, 1)
        brush.text(x + 42, 354, name, 15)
    return brush


PAINTERS = (
    tool_board,
    animal_tracks,
    four_flags,
    open_fridge,
    castle_party,
    bicycle_parts,
    breaker_panel,
)
