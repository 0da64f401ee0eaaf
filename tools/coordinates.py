"""Grounding: boxes and points in a model's text, as pixels of the original picture, and back.

Each family writes them its own way; the table at the end of this module says which::

    Qwen2-VL    <|object_ref_start|>a cake<|object_ref_end|>
                <|box_start|>(176,106),(232,160)<|box_end|>              0 to 1000 of the sides
    Qwen2.5-VL  [{"bbox_2d": [341, 258, 397, 360], "label": "a cake"}]   pixels of the picture seen
    Qwen3-VL    [{"bbox_2d": [176, 106, 232, 160], "label": "a cake"}]   0 to 1000 of the sides
    Molmo       <point x="63.5" y="44.5" alt="a cake">a cake</point>     percent of the sides
    Molmo 2     <points coords="1 1 635 445 2 640 450">cakes</points>    0 to 1000 of the sides

What a model writes is not trusted: every reader takes time in proportion to the text, never raises
and drops what is no region. Knows text and numbers, neither models nor pictures.
"""

from __future__ import annotations

import html
import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

__all__ = ["Region", "plain", "regions", "written"]

Box = tuple[float, float, float, float]
Point = tuple[float, float]
Size = tuple[int, int]
"""Width and height in pixels."""


@dataclass(frozen=True, slots=True)
class Region:
    """What a model pointed at: a box or a point of the original picture.

    Attributes:
        label: what it is, on one line; may be empty.
        box: ``(x0, y0, x1, y1)`` in pixels, origin top left, ``x0 < x1`` and ``y0 < y1``.
        point: ``(x, y)`` in pixels.

    Raises:
        ValueError: both or neither of box and point are given.
    """

    label: str
    box: Box | None = None
    point: Point | None = None

    def __post_init__(self) -> None:
        if (self.box is None) == (self.point is None):
            raise ValueError("a region is a box or a point")
        if self.box is not None:
            x0, y0, x1, y1 = self.box  # a list, where it comes back from a checkpoint
            object.__setattr__(self, "box", (x0, y0, x1, y1))
        if self.point is not None:
            x, y = self.point
            object.__setattr__(self, "point", (x, y))


def regions(text: str, family: str, size: Size, seen: Size) -> list[Region]:
    """The boxes and points in a model's text, in order, in pixels of the original picture.

    Boxes are clipped to the picture and their corners put in order. What is empty, lies outside,
    or is no finite number is left out, and so is what was cut off before its last coordinate.

    Args:
        text: what the model wrote, special tokens included where they were kept. Where Qwen2-VL's
            were stripped, two pairs in a row, ``the eyes(176,106),(232,160)``, are still read as a
            box, labelled with the words before it; a single pair is not, since prose holds such.
        family: the ``model_type`` of transformers; one without grounding gives nothing.
        size: the original picture, turned upright.
        seen: the same picture as the model was given it, after resizing.

    Raises:
        ValueError: a side is below one pixel.
    """
    rules = _FAMILIES.get(family)
    full = _full(rules, size, seen)
    if rules is None:
        return []
    marks = (piece for piece in rules.read(text) if isinstance(piece, _Mark))
    found = (_region(mark, full, size) for mark in marks)
    return [region for region in found if region is not None]


def written(region: Region, family: str, size: Size, seen: Size) -> str:
    """A region as the family writes it: the inverse of `regions`, up to the format's resolution.

    A step of the format is 1/1000 of a side, or one pixel of the picture seen for Qwen2.5-VL. Each
    coordinate comes back within half a step; a box thinner than a step is written one step thin
    and comes back within one. ``<|`` in a label is broken up, since it would start a special token.

    Args:
        region: in pixels of the original; what lies outside the picture is moved to its edge.
        family: the ``model_type`` of transformers. One that only points (Molmo) gets the middle of
            a box; one without grounding gets the label.
        size: the original picture, turned upright.
        seen: the same picture as the model is given it, after resizing.

    Raises:
        ValueError: a side is below one pixel.
    """
    rules = _FAMILIES.get(family)
    full = _full(rules, size, seen)
    label = _one_line(region.label).replace("<|", "< |")
    if rules is None:
        return label
    most = [n * 10**rules.decimals for n in full]
    ends = map(_steps, _ends(region, rules.boxes), most, size)
    steps = [step for corner in zip(*ends, strict=True) for step in corner]
    return rules.write(label, [f"{n / 10**rules.decimals:.{rules.decimals}f}" for n in steps])


def plain(text: str, family: str) -> str:
    """A model's text as a person reads it: coordinates gone, the label in the place of the markup.

    Args:
        text: what the model wrote.
        family: the ``model_type`` of transformers; the text of one without grounding is unchanged.
    """
    rules = _FAMILIES.get(family)
    if rules is None:
        return text
    return "".join(piece for piece in rules.read(text) if isinstance(piece, str))


@dataclass(frozen=True, slots=True)
class _Mark:
    """A box or point as written: a label and two or four numbers in the family's units."""

    label: str
    numbers: tuple[float, ...]


_Pieces = Iterator[str | _Mark]


@dataclass(frozen=True, slots=True)
class _Rules:
    """How a family writes regions.

    Attributes:
        read: splits a text into what a person reads and the marks.
        write: a label and two or four formatted numbers as the family writes them.
        full: the number that stands for a whole side; None where it is that of the picture seen.
        decimals: digits written after the point.
        boxes: whether it writes boxes, or points alone.
    """

    read: Callable[[str], _Pieces]
    write: Callable[[str, list[str]], str]
    full: int | None
    decimals: int = 0
    boxes: bool = True


def _full(rules: _Rules | None, size: Size, seen: Size) -> Size:
    if min(*size, *seen) < 1:
        raise ValueError(f"a picture of {size}, seen as {seen}, has no pixels")
    return seen if rules is None or rules.full is None else (rules.full, rules.full)


def _region(mark: _Mark, full: Size, size: Size) -> Region | None:
    if not all(map(math.isfinite, mark.numbers)):
        return None
    at = [n / full[i % 2] * size[i % 2] for i, n in enumerate(mark.numbers)]
    label = _one_line(mark.label)
    if len(at) == 2:
        inside = 0 <= at[0] <= size[0] and 0 <= at[1] <= size[1]
        return Region(label, point=(at[0], at[1])) if inside else None
    left, right = (min(max(x, 0.0), float(size[0])) for x in sorted(at[0::2]))
    top, bottom = (min(max(y, 0.0), float(size[1])) for y in sorted(at[1::2]))
    return Region(label, (left, top, right, bottom)) if left < right and top < bottom else None


def _ends(region: Region, boxes: bool) -> list[tuple[float, ...]]:
    """The coordinates along x and along y: two of a box, one of a point."""
    at: tuple[float, ...] = region.box or region.point or ()
    sides = [at[0::2], at[1::2]]
    return sides if boxes else [(sum(side) / len(side),) for side in sides]


def _steps(values: tuple[float, ...], most: int, side: int) -> list[int]:
    """Pixels along a side in whole steps of the format, of which the side has ``most``."""
    exact = [min(max(value / side * most, 0.0), float(most)) for value in values]
    steps = [round(value) for value in exact]
    if len(steps) == 2 and steps[0] == steps[1]:
        first = min(math.floor(exact[0]), most - 1)
        return [first, first + 1]
    return steps


def _one_line(label: str) -> str:
    return " ".join(label.encode("utf-8", "replace").decode().split())


_NUMBER = re.compile(r"[-+]?[0-9]{1,40}(?:\.[0-9]{0,40})?(?:[eE][-+]?[0-9]{1,4})?")


def _numbers(words: list[str]) -> tuple[float, ...]:
    """All of the words as numbers; none where one of them is not."""
    if all(_NUMBER.fullmatch(word) for word in words):
        return tuple(map(float, words))
    return ()


# Qwen2-VL: special tokens around the words and around the pairs of coordinates.

_TOKEN = re.compile(r"<\|(object_ref|box|quad)_(start|end)\|>")
_PAIR = re.compile(r"\(\s{0,9}([-+.0-9]{1,40})\s{0,9},\s{0,9}([-+.0-9]{1,40})\s{0,9}\)")
_STRIPPED = re.compile(r"\([0-9]{1,4}, ?[0-9]{1,4}\)(?:, ?\([0-9]{1,4}, ?[0-9]{1,4}\))*+")
_BREAK = re.compile(r"\n|[.,:;!?]\s")
_LONGEST_LABEL = 200  # of words that are no marked label


def _read_tokens(text: str) -> _Pieces:
    if _TOKEN.search(text) is None:
        yield from _read_stripped(text)
        return
    label, within, at = "", "", 0
    for token in _TOKEN.finditer(text):
        words, at = text[at : token.start()], token.end()
        if within != "box":
            yield words
        elif token.groups() == ("box", "end"):
            yield from _boxes(label, words)
        if within == "object_ref":
            label = words
        within = token[1] if token[2] == "start" else ""
    if within != "box":
        yield text[at:]


def _boxes(label: str, words: str) -> Iterator[_Mark]:
    """One pair is a point, two are the corners of a box, four those of two boxes."""
    pairs = _PAIR.findall(words)
    size = 1 if len(pairs) == 1 else 2
    if len(pairs) % size or _PAIR.sub("", words).strip(", \n"):
        return
    for i in range(0, len(pairs), size):
        if numbers := _numbers([number for pair in pairs[i : i + size] for number in pair]):
            yield _Mark(label, numbers)


def _read_stripped(text: str) -> _Pieces:
    label, at = "", 0
    for match in _STRIPPED.finditer(text):
        numbers = tuple(float(n) for pair in _PAIR.findall(match[0]) for n in pair)
        if len(numbers) != 4 or max(numbers) > 1000:
            continue
        words, at = text[at : match.start()], match.end()
        yield words
        label = _BREAK.split(words[-_LONGEST_LABEL:])[-1].strip(" ,") or label
        yield _Mark(label, numbers)
    yield text[at:]


def _write_tokens(label: str, numbers: list[str]) -> str:
    pairs = ",".join(f"({x},{y})" for x, y in zip(numbers[0::2], numbers[1::2], strict=True))
    return f"<|object_ref_start|>{label}<|object_ref_end|><|box_start|>{pairs}<|box_end|>"


# Qwen2.5-VL and Qwen3-VL: flat JSON objects, alone or in a list, in a fence or not.

_OBJECT = re.compile(r'\{((?:[^{}"]++|"(?:[^"\\\n]++|\\.)*+"?+)*+)\}?+')
_COORDINATES = re.compile(r'"(bbox|point)_2d"\s*+:\s*+\[([^\[\]{}"]{0,400})\]')
_LABEL = re.compile(r'"label"\s*+:\s*+"((?:[^"\\\n]++|\\.)*+)"')


def _read_json(text: str) -> _Pieces:
    at = 0
    shown: set[str] = set()  # the labels of the list that is being read
    for match in _OBJECT.finditer(text):
        body = match[1]
        if '"bbox_2d"' not in body and '"point_2d"' not in body:
            continue
        between = text[at : match.start()]
        if at == 0 or between.strip(" \t\r\n,"):
            yield _before_list(_after_list(between) if at else between)
            shown = set()
        at, label = match.end(), _json_label(body)
        if label and label not in shown:
            yield f", {label}" if shown else label
            shown.add(label)
        for kind, numbers in _COORDINATES.findall(body):
            found = _numbers([word.strip() for word in numbers.split(",")])
            if len(found) == (4 if kind == "bbox" else 2):
                yield _Mark(label, found)
    yield _after_list(text[at:]) if at else text


def _json_label(body: str) -> str:
    match = _LABEL.search(body)
    if match is None:
        return ""
    try:
        return _one_line(str(json.loads(f'"{match[1]}"', strict=False)))
    except ValueError:  # an escape that JSON does not have
        return _one_line(match[1])


def _before_list(text: str) -> str:
    head, bracket, tail = text.rpartition("[")
    if bracket and not tail.strip():
        text = head
    head, fence, tail = text.rpartition("```")
    return head if fence and tail.strip() in ("", "json") else text


def _after_list(text: str) -> str:
    for end in ("]", "```"):
        head, found, tail = text.partition(end)
        if found and not head.strip():
            text = tail
    return text


def _write_json(label: str, numbers: list[str]) -> str:
    key = "bbox_2d" if len(numbers) == 4 else "point_2d"
    words = json.dumps(label, ensure_ascii=False)
    return f'{{"{key}": [{", ".join(numbers)}], "label": {words}}}'


# Molmo and Molmo 2: tags with the coordinates as attributes.

_TAG = re.compile(r"<(?P<end>/?)(?:points?|tracks)(?=[\s/>]|\Z)(?P<rest>[^<>]*+)(?P<whole>>|\Z)")
_ATTRIBUTE = re.compile(r'([a-z]{1,9}[0-9]{0,6})\s*+=\s*+"([^"]*+)"')
_ENTITY = re.compile(r"&(?:lt|gt|quot|amp|#x27);")  # those that html.escape writes

_Attributes = dict[str, str]


def _read_tags(points: Callable[[_Attributes], list[list[str]]], text: str) -> _Pieces:
    at, alt = 0, ""
    held: list[list[str]] = []  # the points of the tag that is open
    for tag in _TAG.finditer(text):
        words, at = text[at : tag.start()], tag.end()
        if tag["end"]:
            words = _unescaped(words) if words.strip() else alt
            yield words
            yield from _marks(words, held)
            alt, held = "", []
            continue
        yield words
        yield from _marks(alt, held)
        attributes: _Attributes = dict(_ATTRIBUTE.findall(tag["rest"])) if tag["whole"] else {}
        alt = _unescaped(attributes.get("alt", attributes.get("label", "")))
        held = points(attributes)
        if tag["rest"].endswith("/"):
            yield alt
            yield from _marks(alt, held)
            alt, held = "", []
    yield text[at:]
    yield from _marks(alt, held)


def _marks(label: str, points: list[list[str]]) -> Iterator[_Mark]:
    for words in points:
        if numbers := _numbers(words):
            yield _Mark(label, numbers)


def _percents(attributes: _Attributes) -> list[list[str]]:
    """``x`` and ``y`` of one point, ``x1``, ``y1``, ``x2``, ``y2`` of several."""
    numbers = [name[1:] for name in attributes if name[0] == "x" and "y" + name[1:] in attributes]
    return [[attributes["x" + n].strip(), attributes["y" + n].strip()] for n in numbers]


def _thousandths(attributes: _Attributes) -> list[list[str]]:
    """``image id x y id x y …``, the next image after a tab or one of ``;:,``.

    Images count from 1. Points of a later one are left out, since one picture is asked for, and so
    are those of a film, which have a time with a point (``8.5``) in the place of the image.
    """
    groups = [group.split() for group in re.split(r"[\t;:,]", attributes.get("coords", ""))]
    return [
        group[i + 1 : i + 3]
        for group in groups
        if group[:1] == ["1"]
        for i in range(1, len(group) - 2, 3)
    ]


def _unescaped(text: str) -> str:
    return _ENTITY.sub(lambda match: html.unescape(match[0]), text)


def _write_percents(label: str, numbers: list[str]) -> str:
    x, y = numbers
    words = html.escape(label)
    return f'<point x="{x}" y="{y}" alt="{words}">{words}</point>'


def _write_thousandths(label: str, numbers: list[str]) -> str:
    x, y = (number.zfill(3) for number in numbers)
    return f'<points coords="1 1 {x} {y}">{html.escape(label)}</points>'


_FAMILIES: Mapping[str, _Rules | None] = {
    "qwen2_vl": _Rules(_read_tokens, _write_tokens, full=1000),
    "qwen2_5_vl": _Rules(_read_json, _write_json, full=None),
    "qwen3_vl": _Rules(_read_json, _write_json, full=1000),
    "qwen3_vl_moe": _Rules(_read_json, _write_json, full=1000),
    "molmo": _Rules(
        partial(_read_tags, _percents), _write_percents, full=100, decimals=1, boxes=False
    ),
    "molmo2": _Rules(partial(_read_tags, _thousandths), _write_thousandths, full=1000, boxes=False),
    "llava": None,
    "llava_next": None,
    "llava_onevision": None,
    "chameleon": None,
}
"""The rules of each ``model_type``; None, like one that is not here, has no grounding.

Sources: Qwen2-VL, arXiv 2409.12191; Qwen2.5-VL and Qwen3-VL, ``spatial_understanding``
and ``2d_grounding`` in their cookbooks; Molmo, arXiv 2409.17146; Molmo 2, its model card and
``UnifiedPointFormatter`` of its training code.
"""
