"""Maps, plans and dials: what is read off. Painted with a Brush; faint stars are seeded."""

from __future__ import annotations

import random

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
    polar,
)

__all__ = ["PAINTERS"]


_COAST = (
    (150, 150), (230, 80), (360, 96), (470, 62), (590, 120), (640, 230), (610, 330),
    (650, 430), (560, 520), (420, 500), (330, 545), (210, 500), (170, 400), (110, 310),
)  # fmt: skip


def weather_map() -> Brush:
    """The weather at four ends of an island."""
    brush = Brush(760, 600, "#a9d3e8")
    brush.shape(_COAST, "#dfe6bd", "#8c9a62", 3)
    brush.line([(150, 300), (330, 290), (620, 320)], "#b8c08e", 2)
    brush.line([(390, 86), (380, 290), (390, 510)], "#b8c08e", 2)
    places = [
        (255, 175, "🌧️", "Northcape", "9°"),
        (500, 175, "⛈️", "Eastmoor", "14°"),
        (265, 400, "🌤️", "Westholm", "15°"),
        (510, 405, "☀️", "Southbay", "19°"),
    ]
    for x, y, sign, name, degrees in places:
        brush.sign(x - 36, y, sign, 76)
        brush.text(x + 48, y, degrees, 34, face="Sans-Bold")
        brush.text(x, y + 58, name, 21)
    brush.arrow([(40, 90), (110, 160)], BLUE, 6)
    brush.text(70, 60, "40 km/h", 19, BLUE, face="Sans-Bold")
    brush.box(0, 556, 760, 600, WHITE)
    brush.text(380, 578, "Island of Korrin, Saturday 14:00", 21, face="Sans-Bold")
    return brush


def floor_plan() -> Brush:
    """A flat of one room, with its measures."""
    brush = Brush(760, 600)
    brush.box(80, 80, 520, 480, "#f8f3e6", INK, 0, 7)
    brush.box(517, 80, 680, 270, "#dcebf3", INK, 0, 7)
    brush.box(517, 267, 680, 480, "#ece7f2", INK, 0, 7)
    brush.text(300, 270, "Room\n5.5 × 5.0 m", 24, face="Sans-Bold")
    brush.text(598, 175, "Bath\n2.0 × 2.4 m", 19)
    brush.text(598, 380, "Hall\n2.0 × 2.6 m", 19)
    for x0, x1 in ((140, 260), (340, 460)):
        brush.box(x0, 74, x1, 86, "#8ec7e6", INK, 0, 2)
    brush.text(300, 54, "two windows, facing south", 19, BLUE)
    brush.box(514, 330, 526, 400, WHITE)
    brush.arc(520, 330, 70, 90, 180, GREY, 2)
    brush.line([(520, 330), (450, 330)], GREY, 2)
    brush.box(560, 262, 620, 274, WHITE)
    brush.box(674, 390, 686, 456, WHITE)
    brush.text(692, 423, "door", 18, GREY, "lm")
    brush.box(87, 400, 290, 473, "#d9dee2", GREY, 0, 2)
    brush.text(188, 437, "kitchen units", 18)
    brush.box(84, 180, 96, 300, "#e9b2a6", RED, 0, 2)
    brush.text(106, 240, "radiator", 17, RED, "lm")
    for start, end in (((80, 520), (520, 520)), ((520, 520), (680, 520))):
        brush.line([start, end], GREY, 2)
        for x, y in (start, end):
            brush.line([(x, y - 8), (x, y + 8)], GREY, 2)
    brush.text(300, 546, "5.5 m", 19, GREY)
    brush.text(600, 546, "2.0 m", 19, GREY)
    brush.text(64, 280, "5.0 m", 18, GREY, "rm")
    return brush


_STATIONS = {
    "Airport": (90, 120),
    "Orchard": (250, 120),
    "Museum": (420, 120),
    "Northgate": (590, 120),
    "Mill Road": (250, 260),
    "Central": (420, 260),
    "Theatre": (590, 260),
    "Stadium": (740, 260),
    "Park": (250, 400),
    "Market": (420, 400),
    "Docks": (590, 400),
    "Beach": (740, 400),
}
_LINES = (
    ("Red line", RED, ("Airport", "Orchard", "Museum", "Northgate")),
    ("Green line", GREEN, ("Mill Road", "Central", "Theatre", "Stadium")),
    ("Blue line", BLUE, ("Museum", "Central", "Market")),
    ("Yellow line", AMBER, ("Park", "Market", "Docks", "Beach")),
)
_CHANGES = ("Museum", "Central", "Market")


def metro_map() -> Brush:
    """Four lines that meet at three stations."""
    brush = Brush(840, 520)
    brush.text(420, 44, "Metro", 30, face="Sans-Bold")
    for _, colour, stops in _LINES:
        brush.line([_STATIONS[stop] for stop in stops], colour, 12)
    for name, (x, y) in _STATIONS.items():
        brush.disc(x, y, 15 if name in _CHANGES else 11, WHITE, INK, 4)
        if name == "Central":
            brush.text(x + 22, y + 32, name, 20, anchor="lm")
        else:
            brush.text(x, y - 32 if name == "Museum" else y + 32, name, 20)
    for n, (name, colour, _) in enumerate(_LINES):
        brush.line([(70 + 200 * n, 484), (110 + 200 * n, 484)], colour, 10)
        brush.text(126 + 200 * n, 484, name, 18, anchor="lm")
    return brush


# Right ascension in hours, declination in degrees, size of the dot, colour.
_ORION = (
    (5.919, 7.4, 8, "#ffb27a"),
    (5.418, 6.35, 6, WHITE),
    (5.242, -8.2, 8.5, "#cfe0ff"),
    (5.796, -9.67, 6, WHITE),
    (5.533, -0.3, 6, WHITE),
    (5.604, -1.2, 6.5, WHITE),
    (5.679, -1.94, 6.5, WHITE),
    (5.585, 9.93, 4, WHITE),
    (5.590, -5.4, 3.5, "#f3c6e0"),
    (5.588, -4.8, 2.5, WHITE),
)


def night_sky() -> Brush:
    """Orion over hills, among faint stars."""
    brush = Brush(620, 720, "#0d1630")
    chance = random.Random(7)
    for _ in range(90):
        x, y = chance.uniform(10, 610), chance.uniform(10, 600)
        brush.disc(x, y, chance.uniform(0.8, 1.6), "#8f9bbd")
    for hours, degrees, size, colour in _ORION:
        x, y = 310 + (5.58 - hours) * 15 * 26, 320 - degrees * 26
        brush.disc(x, y, size, colour)
    hills = [(0, 660), (120, 620), (260, 655), (400, 610), (520, 640), (620, 615)]
    brush.shape([*hills, (620, 720), (0, 720)], "#060a16")
    brush.text(310, 690, "looking south, 15 January, 22:00", 19, "#aab4cc")
    return brush


def boiler_gauge() -> Brush:
    """A heating whose pressure is too low."""
    brush = Brush(560, 560, "#d5dade")
    brush.disc(280, 270, 220, WHITE, "#4b555e", 12)

    def turn(bar: float) -> float:
        return 135 + 270 * bar / 4

    brush.arc(280, 270, 172, turn(1), turn(2), GREEN, 20)
    brush.arc(280, 270, 172, turn(3), turn(4), RED, 20)
    for tenth in range(0, 41, 2):
        long = 34 if tenth % 10 == 0 else 18
        ends = [polar(280, 270, r, turn(tenth / 10)) for r in (182, 182 - long)]
        brush.line(ends, INK, 4 if tenth % 10 == 0 else 2)
    for bar in range(5):
        x, y = polar(280, 270, 122, turn(bar))
        brush.text(x, y, str(bar), 32, face="Sans-Bold")
    brush.text(280, 372, "bar", 26)
    brush.text(280, 414, "HEATING", 18, GREY)
    brush.line([polar(280, 270, 40, turn(0.6) + 180), polar(280, 270, 160, turn(0.6))], INK, 7)
    brush.disc(280, 270, 18, INK)
    brush.box(240, 494, 320, 560, "#8a939a")
    return brush


def world_clocks() -> Brush:
    """Four clocks at one moment in November."""
    brush = Brush(960, 340, "#efe9dd")
    clocks = [
        ("New York", 4, "in the morning"),
        ("Lisbon", 9, "in the morning"),
        ("Helsinki", 11, "in the morning"),
        ("Sydney", 20, "in the evening"),
    ]
    for n, (city, hour, when) in enumerate(clocks):
        x, y = 130 + 233 * n, 140
        brush.disc(x, y, 98, WHITE, INK, 6)
        for mark in range(12):
            ends = [polar(x, y, r, 30 * mark) for r in (88, 70 if mark % 3 == 0 else 78)]
            brush.line(ends, INK, 4 if mark % 3 == 0 else 2)
        brush.line([(x, y), polar(x, y, 48, 30 * (hour % 12) + 7.5 - 90)], INK, 8)
        brush.line([(x, y), polar(x, y, 76, 0)], INK, 5)
        brush.disc(x, y, 8, RED)
        brush.text(x, 268, city, 25, face="Sans-Bold")
        brush.text(x, 302, when, 18, GREY)
    return brush


def dashboard() -> Brush:
    """A car whose oil lamp is lit."""
    brush = Brush(860, 420, "#15191d")
    for x, top, step, unit, value in ((220, 220, 20, "km/h", 64), (640, 6, 1, "x 1000 rpm", 2.2)):
        brush.disc(x, 200, 170, "#20262b", "#6b757d", 5)
        steps = int(top / step)
        for n in range(steps + 1):
            turn = 140 + 260 * n / steps
            brush.line([polar(x, 200, r, turn) for r in (158, 142)], WHITE, 3)
            brush.text(*polar(x, 200, 118, turn), str(n * step), 17, WHITE)
        turn = 140 + 260 * value / top
        brush.line([(x, 200), polar(x, 200, 138, turn)], "#ff6a3d", 6)
        brush.disc(x, 200, 14, "#6b757d")
        brush.text(x, 270, unit, 17, "#c3ccd4")
    brush.box(388, 60, 472, 340, "#0c0f12", "#39434d", 10)
    _oil_can(brush, 430, 110)
    brush.text(430, 172, "FUEL", 15, "#c3ccd4")
    for n in range(6):
        brush.box(406, 306 - 22 * n, 454, 322 - 22 * n, AMBER if n < 4 else "#2a3138")
    brush.text(430, 386, "214 087 km", 20, "#c3ccd4", face="SansMono")
    return brush


def _oil_can(brush: Brush, x: float, y: float) -> None:
    """The lamp for low oil pressure: a can with a spout and a drop."""
    lit = "#ff3b30"
    can = ((-22, -4), (8, -4), (28, -16), (32, -10), (12, 16), (-22, 16))
    brush.shape([(x + dx, y + dy) for dx, dy in can], lit)
    brush.line([(x - 22, y + 2), (x - 34, y - 8), (x - 30, y - 14), (x - 18, y - 4)], lit, 4)
    brush.line([(x - 6, y - 4), (x - 6, y - 14)], lit, 5)
    brush.line([(x - 14, y - 14), (x + 2, y - 14)], lit, 5)
    brush.disc(x + 35, y + 4, 4, lit, tall=1.4)


def router_lights() -> Brush:
    """A router without a way to the internet."""
    brush = Brush(760, 400, "#cfd6dc")
    brush.box(0, 300, 760, 400, "#a98a63")
    for x in (160, 600):
        brush.line([(x, 150), (x + (-30 if x < 400 else 30), 30)], "#2b3138", 12)
    brush.box(90, 150, 670, 310, "#2f363d", None, 26)
    brush.text(380, 186, "HomeLink 300", 22, "#aeb8c1", face="Sans-Bold")
    lights = [
        ("Power", "#43d17a"),
        ("Line", "#43d17a"),
        ("Internet", "#ff4438"),
        ("WLAN", "#43d17a"),
        ("Phone", "#4a545d"),
    ]
    for n, (name, colour) in enumerate(lights):
        x = 160 + 110 * n
        brush.disc(x, 234, 13, colour)
        brush.text(x, 274, name, 19, PALE)
    brush.box(295, 44, 465, 90, WHITE, LINE, 8)
    brush.text(380, 67, "Sunday 19:20", 19)
    return brush


PAINTERS = (
    weather_map,
    floor_plan,
    metro_map,
    night_sky,
    boiler_gauge,
    world_clocks,
    dashboard,
    router_lights,
)
