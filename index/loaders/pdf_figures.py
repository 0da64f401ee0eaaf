"""Which of a page's drawings are figures, what their captions are, and which words belong to them.

A chart or a plan is seldom one object: it is paths, pictures and labels close together. Pure
geometry on what ``pdf_page`` read; renders nothing. Rules, table borders, frames around prose and
page backgrounds are no figures, unless a caption says that they are.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from ..passage import Box
from .pdf_graphics import Graphic
from .pdf_layout import Paragraph, body_size
from .pdf_page import PageContent, around

__all__ = ["Figure", "find_figures"]

_CAPTION = re.compile(
    r"(?:fig(?:ure|\.)?|picture|chart|diagram|plate|scheme|exhibit|map|photo|illustration"
    r"|abb(?:ildung|\.)|bild|schaubild|figura|imagen|immagine)"
    r"\s*(?:\d+(?:[.\-]\d+)*[a-z]?|[A-Z]\.?\d+|[IVX]+)\s*(?P<mark>[.:|–—)-])?\s*(?P<words>.*)",
    re.IGNORECASE,
)
_CLOSE = 10.0  # points between parts of one drawing
_REACH = 60.0  # points between a drawing and its caption
_LABEL = 9.0  # points between a drawing and a label outside it
_SMALLEST = 80.0  # points: a drawing without a caption has to be as wide and as high
_SMALLEST_WITH_CAPTION = 25.0
_MARGIN = 4.0
_MOST = 300  # drawings on one page; a page of confetti has no figures


@dataclass(frozen=True, slots=True)
class Figure:
    """A part of a page that is to be shown as a picture.

    Attributes:
        box: with its labels, without its caption.
        caption: the words that stand next to it, or "".
        photo: whether it is nothing but pictures kept as JPEG.
    """

    box: Box
    caption: str
    photo: bool


@dataclass(slots=True)
class _Cluster:
    """Things drawn close to one another."""

    box: Box
    parts: list[Graphic]
    caption: Paragraph | None = None
    labels: list[Paragraph] = field(default_factory=list)

    def count(self, kind: str) -> int:
        return sum(part.kind == kind for part in self.parts)

    def take(self, other: _Cluster) -> None:
        self.box = around([self.box, other.box])
        self.parts += other.parts

    @property
    def least_side(self) -> float:
        return min(self.box[2] - self.box[0], self.box[3] - self.box[1])


def find_figures(
    page: PageContent, paragraphs: Sequence[Paragraph]
) -> tuple[list[Figure], list[Paragraph]]:
    """Tell the figures of a page from its text.

    Args:
        page: its drawings and its size.
        paragraphs: of the page.

    Returns:
        The figures, and the paragraphs that are neither captions nor labels of one.
    """
    clusters = _clusters(_candidates(page))
    if not clusters:
        return [], list(paragraphs)
    body = body_size([page.lines])
    captions = [p for p in paragraphs if _is_caption(p, body)]
    clusters = _with_captions(clusters, captions)
    others = _without(paragraphs, captions)
    figures = []
    for cluster in clusters:
        if cluster.caption is None and not _is_figure(cluster, others):
            continue
        _take_labels(cluster, others, body)
        others = _without(others, cluster.labels)
        figures.append(cluster)
    used = {id(p) for c in figures for p in (*c.labels, c.caption)}
    rest = [p for p in paragraphs if id(p) not in used]
    return [_figure(cluster, page, [*rest, *captions]) for cluster in figures], rest


def _without(paragraphs: Sequence[Paragraph], taken: Iterable[Paragraph]) -> list[Paragraph]:
    ids = {id(paragraph) for paragraph in taken}
    return [paragraph for paragraph in paragraphs if id(paragraph) not in ids]


def _candidates(page: PageContent) -> list[Graphic]:
    """What is drawn on the page, without what lies behind all of it."""
    found = []
    for graphic in page.graphics:
        x0, y0, x1, y1 = graphic.box
        box = max(x0, 0.0), max(y0, 0.0), min(x1, page.width), min(y1, page.height)
        width, height = box[2] - box[0], box[3] - box[1]
        if width < 0 or height < 0 or width + height < 1:
            continue
        if width * height > 0.8 * page.width * page.height:
            continue
        found.append(graphic._replace(box=box))
    return found


def _clusters(graphics: Iterable[Graphic]) -> list[_Cluster]:
    """Join what is close; a sweep down the page, so that only neighbours are compared."""
    open_: list[_Cluster] = []
    done: list[_Cluster] = []
    for graphic in sorted(graphics, key=lambda graphic: graphic.box[1]):
        current = _Cluster(graphic.box, [graphic])
        far: list[_Cluster] = []
        near: list[_Cluster] = []
        for cluster in open_:
            if cluster.box[3] + _CLOSE < graphic.box[1]:
                done.append(cluster)
            else:
                (near if _gap(cluster.box, graphic.box) <= _CLOSE else far).append(cluster)
        for cluster in sorted(near, key=lambda cluster: -len(cluster.parts)):
            if current is not cluster:
                cluster.take(current)
                current = cluster
        open_ = [*far, current]
    largest = sorted([*done, *open_], key=lambda cluster: -_area(cluster.box))
    return _settled(largest[:_MOST])


def _settled(clusters: list[_Cluster]) -> list[_Cluster]:
    """Join clusters whose boxes came to overlap as they grew."""
    settled: list[_Cluster] = []
    for cluster in sorted(clusters, key=lambda cluster: -len(cluster.parts)):
        home = next((c for c in settled if _gap(c.box, cluster.box) <= 0), None)
        if home is None:
            settled.append(cluster)
        else:
            home.take(cluster)
    return settled if len(settled) == len(clusters) else _settled(settled)


def _gap(a: Box, b: Box) -> float:
    """The distance between two boxes; 0 where they touch or overlap."""
    across = max(a[0] - b[2], b[0] - a[2], 0.0)
    down = max(a[1] - b[3], b[1] - a[3], 0.0)
    return max(across, down)


def _is_caption(paragraph: Paragraph, body: float) -> bool:
    text = paragraph.lines[0].text
    match = _CAPTION.match(text)
    if match is None:
        return False
    # "Figure 2 compares ..." is a sentence; "Fig. 2 Overview" in smaller print a caption.
    title = match["words"][:1].isupper() or not match["words"]
    return match["mark"] is not None or title or paragraph.size < 0.95 * body


def _with_captions(clusters: list[_Cluster], captions: Sequence[Paragraph]) -> list[_Cluster]:
    """Give each caption the drawings next to it, as one cluster."""
    pairs = sorted(
        (
            (_distance(cluster, caption), number, place)
            for number, caption in enumerate(captions)
            for place, cluster in enumerate(clusters)
        ),
    )
    owner: dict[int, int] = {}
    for distance, number, place in pairs:
        if distance <= _REACH and place not in owner and number not in owner.values():
            owner[place] = number
    merged: dict[int, _Cluster] = {}
    for place, number in owner.items():
        merged[number] = clusters[place]
        merged[number].caption = captions[number]
    free = [c for place, c in enumerate(clusters) if place not in owner]
    for cluster in merged.values():
        free = _gathered(cluster, free)
    return [*merged.values(), *free]


def _gathered(cluster: _Cluster, free: list[_Cluster]) -> list[_Cluster]:
    """Take in the other drawings of a figure, such as the second of two that stand side by side."""
    caption = cluster.caption
    assert caption is not None
    above = cluster.box[3] <= caption.box[1] + 2
    left = []
    for other in free:
        side = other.box[3] <= caption.box[1] + 2 if above else other.box[1] >= caption.box[3] - 2
        near = _gap(other.box, cluster.box) <= 2.5 * _CLOSE
        level = other.box[1] < cluster.box[3] and cluster.box[1] < other.box[3]
        if side and near and level and other.least_side > _SMALLEST_WITH_CAPTION:
            cluster.take(other)
        else:
            left.append(other)
    return left


def _distance(cluster: _Cluster, caption: Paragraph) -> float:
    """How far a caption is from a drawing; more where it is less likely to be its own."""
    if cluster.least_side < _SMALLEST_WITH_CAPTION:
        return 2 * _REACH
    gap = _gap(cluster.box, caption.box)
    below = caption.box[1] >= cluster.box[3] - 2
    plain = cluster.count("image") == cluster.count("shape") == 0 and cluster.count("box") < 2
    return gap + (0 if below else 15) + (30 if plain else 0)


def _is_figure(cluster: _Cluster, paragraphs: Sequence[Paragraph]) -> bool:
    """Whether a drawing without a caption is one."""
    if cluster.least_side < _SMALLEST:
        return False
    inside = [p for p in paragraphs if _share(p.box, cluster.box) > 0.6]
    words = sum(len(p.text.split()) for p in inside)
    area = (cluster.box[2] - cluster.box[0]) * (cluster.box[3] - cluster.box[1])
    images = max((_area(g.box) for g in cluster.parts if g.kind == "image"), default=0.0)
    if images > 0.3 * area:
        return words < 60
    shapes, boxes = cluster.count("shape"), cluster.count("box")
    return (shapes >= 3 or (shapes > 0 and boxes > 2)) and words < 40


def _take_labels(cluster: _Cluster, paragraphs: Sequence[Paragraph], body: float) -> None:
    """Words within a drawing, then short ones right beside it, then beside those."""
    cluster.labels = [p for p in paragraphs if _share(p.box, cluster.box) > 0.5]
    if all(part.kind == "image" for part in cluster.parts):
        return  # a picture has its labels inside; what stands beside it is text
    box = around([cluster.box, *(p.box for p in cluster.labels)])
    for _ in range(3):
        near = [p for p in _without(paragraphs, cluster.labels) if _is_label(p, box, body)]
        if not near:
            break
        cluster.labels += near
        box = around([box, *(p.box for p in near)])
    cluster.box = box


def _is_label(paragraph: Paragraph, box: Box, body: float) -> bool:
    """Whether words near a drawing are its own, such as the name of an axis."""
    level = paragraph.box[1] < box[3] and box[1] < paragraph.box[3]
    text = paragraph.text
    if _gap(paragraph.box, box) > (2 * _LABEL if level and len(text) < 25 else _LABEL):
        return False
    if not paragraph.lines[0].upright:
        return True
    short = len(paragraph.lines) <= 2 and len(text) <= 80
    within = paragraph.box[0] >= box[0] - 40 and paragraph.box[2] <= box[2] + 40
    prose = text.endswith((".", ":", ";", ",")) and len(text.split()) > 4
    if not short or not within or prose or paragraph.is_item:
        return False
    return paragraph.size <= body * 1.1 or _is_centred(paragraph.box, box)


def _is_centred(inner: Box, outer: Box) -> bool:
    """Like the title of a chart, and unlike a heading that happens to stand above it."""
    width = outer[2] - outer[0]
    off = abs(inner[0] + inner[2] - outer[0] - outer[2]) / 2
    return off < 0.1 * width and inner[0] > outer[0] + 0.15 * width


def _figure(cluster: _Cluster, page: PageContent, others: Sequence[Paragraph]) -> Figure:
    """Its box with a little margin, as far as no other text comes into it."""
    x0, y0, x1, y1 = cluster.box
    top, bottom = max(y0 - _MARGIN, 0.0), min(y1 + _MARGIN, page.height)
    left, right = max(x0 - _MARGIN, 0.0), min(x1 + _MARGIN, page.width)
    for other in others:
        if other.box[0] < right and other.box[2] > left:
            if other.box[3] <= y0 + 2:
                top = max(top, other.box[3])
            elif other.box[1] >= y1 - 2:
                bottom = min(bottom, other.box[1])
    caption = cluster.caption.text if cluster.caption else ""
    photo = all(part.jpeg for part in cluster.parts)
    return Figure((left, top, right, bottom), caption, photo)


def _area(box: Box) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])


def _share(inner: Box, outer: Box) -> float:
    """How much of ``inner`` lies within ``outer``, 0 to 1."""
    width = min(inner[2], outer[2]) - max(inner[0], outer[0])
    height = min(inner[3], outer[3]) - max(inner[1], outer[1])
    area = _area(inner)
    return max(width, 0.0) * max(height, 0.0) / area if area > 0 else 0.0
