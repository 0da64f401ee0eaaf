"""Screens as they look: windows, pages and panels drawn from their content, with true boxes.

A line's true box is as wide as its ink and as high as the font's ascent and descent. Fonts are
looked for in the usual folders, never downloaded. Knows nothing of questions or of the product.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont
from screen_content import Content

__all__ = ["FONTS", "Screen", "Style", "draw", "styles"]

Box = tuple[float, float, float, float]

FONTS = {
    "DejaVu Sans": ("DejaVuSans.ttf", "DejaVuSans-Bold.ttf"),
    "DejaVu Serif": ("DejaVuSerif.ttf", "DejaVuSerif-Bold.ttf"),
    "DejaVu Sans Mono": ("DejaVuSansMono.ttf", "DejaVuSansMono-Bold.ttf"),
    "Liberation Sans": ("LiberationSans-Regular.ttf", "LiberationSans-Bold.ttf"),
}
_FOLDERS = ("/usr/share/fonts", "/usr/local/share/fonts", "~/.fonts", "~/.local/share/fonts")

_LIGHT = {
    "desk": "#9db4c8", "window": "#ffffff", "bar": "#e9ecef", "side": "#f4f5f7", "text": "#1d2125",
    "faint": "#5c6670", "line": "#d5d9de", "accent": "#1f6feb", "on": "#ffffff", "field": "#ffffff",
    "stripe": "#f6f8fa", "pick": "#dbe7fb", "alarm": "#c62828",
}  # fmt: skip
_DARK = {
    "desk": "#11161c", "window": "#22272e", "bar": "#2d333b", "side": "#1c2128", "text": "#e6edf3",
    "faint": "#a0abb8", "line": "#3d444d", "accent": "#4493f8", "on": "#0d1117", "field": "#1a1f26",
    "stripe": "#272d36", "pick": "#2b3b55", "alarm": "#f47067",
}  # fmt: skip


@dataclass(frozen=True)
class Style:
    """How a screen looks: a font of `FONTS`, its size in pixels, light or dark, a width."""

    font: str
    size: int
    dark: bool
    width: int


@dataclass(frozen=True)
class Screen:
    """A drawn screen: the asked value's box, and that of the row with its label."""

    image: Image.Image
    value: Box
    row: Box


def styles(count: int, seed: int) -> list[Style]:
    """Every combination of font, size and theme as evenly as can be, in a seeded order."""
    rng = random.Random(seed)
    every = [(font, size, dark) for font in FONTS for size in (16, 22) for dark in (False, True)]
    mixed = [choice for _ in range(-(-count // len(every))) for choice in rng.sample(every, 16)]
    widths = (800, 960, 1024, 1152, 1280)
    return [Style(*choice, rng.choice(widths)) for choice in mixed[:count]]


@cache
def _file(name: str) -> Path:
    from matplotlib import get_data_path  # bundles the DejaVu fonts

    folders = [*(Path(folder).expanduser() for folder in _FOLDERS), Path(get_data_path())]
    found = (path for folder in folders if folder.is_dir() for path in folder.rglob(name))
    return next(found, None) or sys.exit(
        f"no font {name}: apt install fonts-dejavu fonts-liberation"
    )


def _union(boxes: Sequence[Box]) -> Box:
    x0s, y0s, x1s, y1s = zip(*boxes, strict=True)
    return min(x0s), min(y0s), max(x1s), max(y1s)


@dataclass
class _Pen:
    """A canvas with one style."""

    style: Style
    height: int
    image: Image.Image = field(init=False)
    low: float = 0.0

    def __post_init__(self) -> None:
        self.colors = _DARK if self.style.dark else _LIGHT
        self.image = Image.new("RGB", (self.style.width, self.height), self.colors["desk"])
        self.pen = ImageDraw.Draw(self.image)

    @property
    def em(self) -> int:
        return self.style.size

    def font(self, bold: bool = False, scale: float = 1.0) -> ImageFont.FreeTypeFont:
        name = FONTS[self.style.font][bold]
        return ImageFont.truetype(str(_file(name)), round(self.em * scale))

    def text(
        self,
        at: tuple[float, float],
        text: str,
        color: str = "text",
        bold: bool = False,
        scale: float = 1.0,
        right: bool = False,
    ) -> Box:
        """Write a line whose top left (or right) corner is given; its box."""
        font = self.font(bold, scale)
        length = font.getlength(text)
        x = at[0] - length if right else at[0]
        self.pen.text((x, at[1]), text, self.colors[color], font)
        bottom = at[1] + sum(font.getmetrics())
        self.low = max(self.low, bottom)
        return x, at[1], x + length, bottom

    def paragraph(self, at: tuple[float, float], text: str, width: float, color: str) -> float:
        """Write wrapped text; where the next line begins."""
        line, y = "", at[1]
        for word in [*text.split(" "), ""]:
            longer = f"{line} {word}".strip()
            if not word or self.font().getlength(longer) > width:
                self.text((at[0], y), line, color)
                line, y = word, y + self.em * 1.5
            else:
                line = longer
        return y

    def area(self, box: Box, fill: str, outline: str | None = None, radius: float = 0) -> None:
        edge = self.colors[outline] if outline else None
        self.pen.rounded_rectangle(box, radius, self.colors[fill], edge)

    def line(self, x0: float, x1: float, y: float) -> None:
        self.pen.line((x0, y, x1, y), self.colors["line"])

    def buttons(self, labels: Sequence[str], right: float, y: float) -> None:
        """A row of buttons that ends at ``right``; the first one stands out."""
        for n, label in reversed(list(enumerate(labels))):
            width = self.font().getlength(label) + 2 * self.em
            fill, ink = ("accent", "on") if n == 0 else ("bar", "text")
            self.area((right - width, y, right, y + 2.1 * self.em), fill, "line", self.em / 3)
            self.text((right - width + self.em, y + 0.45 * self.em), label, ink)
            right -= width + self.em * 0.7

    def window(self, box: Box, title: str) -> float:
        """A window with its title bar; where its content begins."""
        x0, y0, x1, _ = box
        shadow = (x0 + 4, y0 + 6, x1 + 4, box[3] + 6)
        self.pen.rounded_rectangle(shadow, 8, "#0a0d10" if self.style.dark else "#7f93a6")
        self.area(box, "window", "line", 8)
        bottom = y0 + 2.2 * self.em
        self.area((x0, y0, x1, bottom), "bar", "line", 8)
        icon = (x0 + 10, y0 + 0.6 * self.em, x0 + 10 + self.em, y0 + 1.6 * self.em)
        self.area(icon, "accent", radius=3)
        self.text((x0 + 20 + self.em, y0 + 0.5 * self.em), title)
        for n, shape in enumerate(("cross", "square", "dash")):
            self._control(shape, x1 - (1.4 + 2.0 * n) * self.em, y0 + 1.1 * self.em)
        return bottom

    def _control(self, shape: str, x: float, y: float) -> None:
        r, ink = self.em * 0.28, self.colors["faint"]
        if shape == "cross":
            self.pen.line((x - r, y - r, x + r, y + r), ink, 2)
            self.pen.line((x - r, y + r, x + r, y - r), ink, 2)
        elif shape == "square":
            self.pen.rectangle((x - r, y - r, x + r, y + r), outline=ink)
        else:
            self.pen.line((x - r, y, x + r, y), ink, 2)

    def sign(self, x: float, y: float, alarm: bool) -> None:
        """A round sign with a stroke and a dot, as messages have."""
        r = self.em * 1.25
        fill = self.colors["alarm" if alarm else "accent"]
        self.pen.ellipse((x, y, x + 2 * r, y + 2 * r), fill)
        ink, w = self.colors["on"], max(r / 9, 2)
        self.pen.rectangle((x + r - w, y + 0.45 * r, x + r + w, y + 1.2 * r), ink)
        self.pen.ellipse((x + r - w, y + 1.4 * r, x + r + w, y + 1.4 * r + 2 * w), ink)


def draw(content: Content, style: Style) -> Screen:
    """A screen of some content in some style."""
    layout = {
        "dialog": _dialog, "settings": _settings, "page": _page, "table": _table,
        "login": _login, "tiles": _tiles, "terminal": _terminal,
    }[content.kind]  # fmt: skip
    trial = _Pen(style, height=2_000)
    low = max(trial.low for _ in layout(trial, content))
    pen = _Pen(style, round(max(low + 7.5 * style.size, 0.42 * style.width)))
    rows = list(layout(pen, content))
    row = rows[content.asked[0]]
    return Screen(pen.image, row[content.asked[1]], _union(row))


_Rows = Iterator[list[Box]]


def _dialog(pen: _Pen, content: Content) -> _Rows:
    em, margin = pen.em, pen.style.width * 0.08
    box = (margin, 2.5 * em, pen.style.width - margin, pen.height - 2.5 * em)
    left, y = margin + 5.2 * em, pen.window(box, content.title) + 1.4 * em
    alarm = any(word in content.heading for word in ("not", "stop", "fault", "refused", "run out"))
    pen.sign(margin + 1.6 * em, y, alarm)
    pen.text((left, y), content.heading, bold=True, scale=1.2)
    y += 2.6 * em
    for paragraph in content.text:
        y = pen.paragraph((left, y), paragraph, box[2] - left - 2 * em, "faint") + 0.5 * em
    labels = [pen.font().getlength(f"{label}:") for label, _ in content.fields]
    for label, value in content.fields:
        a = pen.text((left, y), f"{label}:", "faint")
        b = pen.text((left + max(labels) + 1.6 * em, y), value)
        yield [a, b]
        y += 1.8 * em
    pen.area((box[0] + 1, box[3] - 3.6 * em, box[2] - 1, box[3] - 1), "side", radius=8)
    pen.buttons(content.buttons, box[2] - em, box[3] - 2.9 * em)


def _frame(pen: _Pen, content: Content) -> tuple[float, float]:
    """A window over the whole screen, with its navigation; where its content begins."""
    em, width = pen.em, pen.style.width
    top = pen.window((0, 0, width - 1, pen.height - 1), content.title)
    if not content.side or content.kind == "table":
        return 2.5 * em, top + 1.6 * em
    edge = max(pen.font().getlength(entry) for entry in content.side) + 4 * em
    pen.area((1, top, edge, pen.height - 2), "side")
    for n, entry in enumerate(content.side):
        y = top + (1.2 + 2.3 * n) * em
        if entry == content.heading or (n == 1 and content.heading not in content.side):
            pen.area((0.5 * em, y - 0.5 * em, edge - 0.5 * em, y + 1.7 * em), "pick", radius=5)
        pen.area((1.1 * em, y + 0.1 * em, 2 * em, y + em), "faint", radius=3)
        pen.text((2.6 * em, y), entry)
    return edge + 2 * em, top + 1.6 * em


def _settings(pen: _Pen, content: Content) -> _Rows:
    em = pen.em
    left, y = _frame(pen, content)
    right = pen.style.width - 2.5 * em
    pen.text((left, y), content.heading, bold=True, scale=1.3)
    y += 2.8 * em
    for paragraph in content.text:
        y = pen.paragraph((left, y), paragraph, right - left, "faint") + em
    pen.area((left, y, right, y + 2.6 * em * len(content.fields)), "stripe", "line", 6)
    for n, (label, value) in enumerate(content.fields):
        if n:
            pen.line(left, right, y)
        a = pen.text((left + em, y + 0.7 * em), label)
        switch = value in ("On", "Off", "Yes", "No")
        b = pen.text(
            (right - (4.2 if switch else 1) * em, y + 0.7 * em), value, "faint", right=True
        )
        if switch:
            _switch(pen, right - 3.4 * em, y + 0.75 * em, value in ("On", "Yes"))
        yield [a, b]
        y += 2.6 * em
    pen.buttons(content.buttons, right, y + 1.6 * em)


def _switch(pen: _Pen, x: float, y: float, on: bool) -> None:
    em = pen.em
    pen.area((x, y, x + 2.2 * em, y + 1.1 * em), "accent" if on else "line", radius=em * 0.55)
    knob = x + (1.2 if on else 0.15) * em
    pen.pen.ellipse((knob, y + 0.15 * em, knob + 0.8 * em, y + 0.95 * em), pen.colors["window"])


def _page(pen: _Pen, content: Content) -> _Rows:
    """A page in a browser: a shop's order, a booking, an account."""
    em = pen.em
    left, y = _frame(pen, content)
    right = min(pen.style.width - 2.5 * em, left + 44 * em)
    pen.area((left, y, right, y + 1.9 * em), "field", "line", em)
    site = content.title.rpartition("– ")[2].lower().replace(" ", "-").replace("&", "and")
    pen.text((left + em, y + 0.4 * em), f"https://www.{site}.example/account", "faint", scale=0.85)
    y += 3.2 * em
    pen.text((left, y), content.heading, bold=True, scale=1.3)
    y += 2.6 * em
    for paragraph in content.text:
        y = pen.paragraph((left, y), paragraph, right - left, "faint") + 0.6 * em
    longest = max(pen.font().getlength(label) for label, _ in content.fields)
    money = content.heading == "Order summary"
    for n, (label, value) in enumerate(content.fields):
        bold = money and n == len(content.fields) - 1
        if money:
            pen.line(left, right, y - 0.5 * em)
        a = pen.text((left, y), label, "text" if bold else "faint", bold)
        x = right if money else left + longest + 2.5 * em
        b = pen.text((x, y), value, bold=bold, right=money)
        yield [a, b]
        y += 2.2 * em
    pen.buttons(content.buttons, right, y + em)
    pen.line(left, right, pen.height - 2.6 * em)
    links = "Help  ·  Contact  ·  Terms and conditions  ·  Privacy"
    pen.text((left, pen.height - 2.1 * em), links, "faint", scale=0.85)


def _table(pen: _Pen, content: Content) -> _Rows:
    em = pen.em
    left, y = _frame(pen, content)
    right = pen.style.width - 2 * em
    pen.text((left, y), content.heading, bold=True, scale=1.3)
    pen.area((right - 13 * em, y, right, y + 1.9 * em), "field", "line", 5)
    pen.text((right - 12.4 * em, y + 0.4 * em), "Search…", "faint")
    y += 3.2 * em
    rows = [content.side, *content.fields]
    widths = [max(pen.font().getlength(row[i]) for row in rows) for i in range(len(content.side))]
    gap = max((right - left - sum(widths) - em) / (len(widths) - 1), em)
    for n, row in enumerate(rows):
        fill = "bar" if n == 0 else "stripe" if n % 2 else "window"
        pen.area((left - 0.5 * em, y, right, y + 2.3 * em), fill)
        x, boxes = left, []
        for cell, width in zip(row, widths, strict=True):
            boxes.append(pen.text((x, y + 0.6 * em), cell, bold=n == 0 and pen.em == 16))
            x += width + gap
        if n:
            yield boxes
        y += 2.3 * em
        pen.line(left - 0.5 * em, right, y)
    pen.text((left, y + 1.2 * em), f"{len(content.fields)} entries", "faint")
    pen.buttons(("Add", "Export…", "Print"), right, y + 1.2 * em)


def _login(pen: _Pen, content: Content) -> _Rows:
    """A card in the middle; every label above its box."""
    em, centre = pen.em, pen.style.width / 2
    half = min(15 * em, centre - 2 * em)
    left, right, y = centre - half, centre + half, 2.5 * em
    pen.text((2 * em, em * 0.6), content.title, "text" if not pen.style.dark else "faint")
    pen.area((left - 2 * em, y, right + 2 * em, pen.height - 2 * em), "window", "line", 10)
    pen.pen.ellipse(
        (centre - 1.5 * em, y + em, centre + 1.5 * em, y + 4 * em), pen.colors["accent"]
    )
    pen.pen.polygon(
        [(centre, y + 1.6 * em), (centre - em, y + 3.2 * em), (centre + em, y + 3.2 * em)],
        pen.colors["on"],
    )
    length = pen.font(True, 1.2).getlength(content.heading)
    pen.text((centre - length / 2, y + 5 * em), content.heading, bold=True, scale=1.2)
    y += 7.6 * em
    ink = "alarm" if "Wrong" in "".join(content.text) else "faint"
    for paragraph in content.text:
        y = pen.paragraph((left, y), paragraph, right - left, ink) + 0.4 * em
    for label, value in content.fields:
        a = pen.text((left, y), label, "faint", scale=0.9)
        pen.area((left, y + 1.4 * em, right, y + 3.6 * em), "field", "line", 4)
        b = pen.text((left + 0.7 * em, y + 1.9 * em), value)
        yield [a, b]
        y += 4.4 * em
    pen.buttons(content.buttons, right, y + 0.4 * em)


def _tiles(pen: _Pen, content: Content) -> _Rows:
    """A panel of tiles, each a label with a large value below it."""
    em = pen.em
    left, y = _frame(pen, content)
    pen.text((left, y), content.heading, bold=True, scale=1.3)
    y += 3 * em
    width = (pen.style.width - 2 * left - 2 * em) / 3
    for n, (label, value) in enumerate(content.fields):
        x, top = left + (n % 3) * (width + em), y + (n // 3) * 7 * em
        pen.area((x, top, x + width, top + 6 * em), "stripe", "line", 8)
        pen.pen.ellipse(
            (x + width - 1.8 * em, top + em, x + width - em, top + 1.8 * em), pen.colors["accent"]
        )
        a = pen.text((x + em, top + em), label, "faint", scale=0.9)
        b = pen.text((x + em, top + 2.8 * em), value, scale=1.3)
        yield [a, b]
    pen.text((left, pen.height - 2.4 * em), "Refreshed every 30 seconds", "faint", scale=0.85)


def _terminal(pen: _Pen, content: Content) -> _Rows:
    em = pen.em
    top = pen.window((0, 0, pen.style.width - 1, pen.height - 1), content.title)
    y = top + em
    for _, line in content.fields:
        shown = pen.text((em, y), line, "alarm" if line.startswith(("fatal", "error")) else "text")
        yield [shown, shown]
        y += 1.7 * em
    pen.area((em, y, 1.6 * em, y + 1.2 * em), "text")
