"""What is drawn on a PDF page: rules, boxes, other shapes and raster pictures, with their boxes.

Looks into forms (drawings placed as a whole, such as a chart from another program) and honours
clips. Knows no text and no figures. Whoever calls this holds the lock of ``pdf_page``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from ctypes import c_float, c_uint
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any, Literal, NamedTuple

import pypdfium2.raw as pdfium

from ..passage import Box

__all__ = ["Frame", "Graphic", "read_graphics"]

_MOST = 20_000  # objects looked at on one page
_DEEPEST = 6  # forms within forms
_THIN = 3.0  # points: a rule is no wider
_LARGE = 60.0  # points: only for larger things a clip is worth a look
_IDENTITY = (1.0, 0.0, 0.0, 1.0, 0.0, 0.0)

Matrix = tuple[float, float, float, float, float, float]


class Graphic(NamedTuple):
    """Something drawn.

    Attributes:
        kind: ``rule`` a thin straight line, ``box`` a rectangle or a whole form, ``shape`` any
            other path, ``image`` a raster picture.
        box: where it stands on the page as shown.
        jpeg: of a raster picture: whether it is kept as JPEG.
        pixels: of a raster picture: how many it has.
    """

    kind: Literal["rule", "box", "shape", "image"]
    box: Box
    jpeg: bool = False
    pixels: int = 0


@dataclass(frozen=True, slots=True)
class Frame:
    """From a page's own coordinates (y upwards) to those of the page as shown (y downwards).

    Attributes:
        left: of the part of the page that is shown, as the other three.
        bottom: its lower edge.
        right: its right edge.
        top: its upper edge.
        turns: quarter turns clockwise before it is shown.
    """

    left: float
    bottom: float
    right: float
    top: float
    turns: int

    def box(self, x0: float, y0: float, x1: float, y1: float) -> Box:
        """Where a box of the page's own coordinates is seen."""
        if self.turns == 0:
            return x0 - self.left, self.top - y1, x1 - self.left, self.top - y0
        if self.turns == 1:
            return y0 - self.bottom, x0 - self.left, y1 - self.bottom, x1 - self.left
        if self.turns == 2:
            return self.right - x1, y0 - self.bottom, self.right - x0, y1 - self.bottom
        return self.top - y1, self.right - x1, self.top - y0, self.right - x0


def read_graphics(page: Any, frame: Frame) -> Iterator[Graphic]:
    """Everything on a page that is not text, in the order it is painted.

    Args:
        page: a raw pdfium page.
        frame: of that page.
    """
    yield from _Drawing(frame).within(
        page, _IDENTITY, pdfium.FPDFPage_CountObjects, pdfium.FPDFPage_GetObject, 0
    )


class _Drawing:
    """One walk over a page's objects, with a limit on their number."""

    def __init__(self, frame: Frame) -> None:
        self._frame = frame
        self._left = _MOST
        self._edges = c_float(), c_float(), c_float(), c_float()  # left, bottom, right, top

    def within(
        self,
        parent: Any,
        matrix: Matrix,
        count: Callable[[Any], int],
        get: Callable[[Any, int], Any],
        depth: int,
    ) -> Iterator[Graphic]:
        for index in range(min(count(parent), self._left)):
            self._left -= 1
            thing = get(parent, index)
            kind = pdfium.FPDFPageObj_GetType(thing)
            if kind == pdfium.FPDF_PAGEOBJ_PATH:
                box = self._box(thing, matrix)
                yield Graphic(_path_kind(thing, box), box)
            elif kind == pdfium.FPDF_PAGEOBJ_IMAGE:
                yield _image(thing, self._box(thing, matrix))
            elif kind == pdfium.FPDF_PAGEOBJ_FORM and depth < _DEEPEST:
                yield from self._form(thing, matrix, depth + 1)

    def _form(self, form: Any, matrix: Matrix, depth: int) -> Iterator[Graphic]:
        own = pdfium.FS_MATRIX()
        pdfium.FPDFPageObj_GetMatrix(form, own)
        inner = _product((own.a, own.b, own.c, own.d, own.e, own.f), matrix)
        count, get = pdfium.FPDFFormObj_CountObjects, pdfium.FPDFFormObj_GetObject
        parts = list(self.within(form, inner, count, get, depth))
        if any(part.kind != "rule" for part in parts):
            yield Graphic("box", self._box(form, matrix))
        yield from parts

    def _box(self, thing: Any, matrix: Matrix) -> Box:
        edges = self._edges
        if not pdfium.FPDFPageObj_GetBounds(thing, *edges):
            return 0.0, 0.0, 0.0, 0.0
        x0, y0, x1, y1 = (edge.value for edge in edges)
        if max(x1 - x0, y1 - y0) > _LARGE:
            x0, y0, x1, y1 = _clipped(thing, (x0, y0, x1, y1))
        if matrix is not _IDENTITY:
            corners = [_mapped(matrix, x, y) for x in (x0, x1) for y in (y0, y1)]
            xs, ys = zip(*corners, strict=True)
            x0, y0, x1, y1 = min(xs), min(ys), max(xs), max(ys)
        return self._frame.box(x0, y0, x1, y1)


def _clipped(thing: Any, box: Box) -> Box:
    """What remains of a box within the corners of its clip paths."""
    clip = pdfium.FPDFPageObj_GetClipPath(thing)
    get = pdfium.FPDFClipPath_GetPathSegment
    for path in range(max(pdfium.FPDFClipPath_CountPaths(clip), 0) if clip else 0):
        count = pdfium.FPDFClipPath_CountPathSegments(clip, path)
        points = _points(count, partial(get, clip, path))
        if points:
            xs, ys = zip(*points, strict=True)
            x0, y0 = max(box[0], min(xs)), max(box[1], min(ys))
            box = x0, y0, max(x0, min(box[2], max(xs))), max(y0, min(box[3], max(ys)))
    return box


def _path_kind(path: Any, box: Box) -> Literal["rule", "box", "shape"]:
    if box[2] - box[0] < _THIN or box[3] - box[1] < _THIN:
        return "rule"
    count = pdfium.FPDFPath_CountSegments(path)
    if count not in (4, 5):  # a rectangle is a move and three or four lines
        return "shape"
    points = _points(count, lambda index: pdfium.FPDFPath_GetPathSegment(path, index))
    straight = all(abs(x - u) < 0.1 or abs(y - v) < 0.1 for (x, y), (u, v) in pairwise(points))
    return "box" if straight else "shape"


def _points(count: int, segment: Callable[[int], Any]) -> list[tuple[float, float]]:
    x, y = c_float(), c_float()
    points = []
    for index in range(min(count, 100)):
        if pdfium.FPDFPathSegment_GetPoint(segment(index), x, y):
            points.append((x.value, y.value))
    return points


def _image(image: Any, box: Box) -> Graphic:
    width, height = c_uint(), c_uint()
    pdfium.FPDFImageObj_GetImagePixelSize(image, width, height)
    name = bytes(16)
    size = pdfium.FPDFImageObj_GetImageFilter(image, 0, name, len(name))
    return Graphic("image", box, name[:size] == b"DCTDecode\0", width.value * height.value)


def _product(first: Matrix, then: Matrix) -> Matrix:
    a, b, c, d, e, f = first
    a2, b2, c2, d2, e2, f2 = then
    return (
        *(a * a2 + b * c2, a * b2 + b * d2, c * a2 + d * c2, c * b2 + d * d2),
        *(e * a2 + f * c2 + e2, e * b2 + f * d2 + f2),
    )


def _mapped(matrix: Matrix, x: float, y: float) -> tuple[float, float]:
    a, b, c, d, e, f = matrix
    return a * x + c * y + e, b * x + d * y + f
