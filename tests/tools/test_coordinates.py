from __future__ import annotations

import math
import time
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from limner.tools.coordinates import Region, Size, plain, regions, written

BOXED = ["qwen2_vl", "qwen2_5_vl", "qwen3_vl", "qwen3_vl_moe"]
POINTED = ["molmo", "molmo2"]
GROUNDED = [*BOXED, *POINTED]
UNGROUNDED = ["llava", "llava_next", "llava_onevision", "chameleon", "never-heard-of"]

SIZE = (2000, 1000)
SEEN = (1400, 700)


def read(text: str, family: str) -> list[Region]:
    return regions(text, family, SIZE, SEEN)


def step(family: str, size: Size, seen: Size) -> tuple[float, float]:
    """One step of the format in pixels of the original, along x and y.

    A side is written as 1000 steps (thousandths, or percent with one decimal), by Qwen2.5-VL as
    the pixels of the picture seen.
    """
    full = seen if family == "qwen2_5_vl" else (1000, 1000)
    return size[0] / full[0], size[1] / full[1]


def random_sizes(rng: np.random.Generator, count: int) -> list[tuple[Size, Size]]:
    sides = rng.integers(1, 6000, (count, 4)).tolist()
    return [((a, b), (c, d)) for a, b, c, d in sides]


@pytest.mark.parametrize("family", BOXED)
def test_boxes_come_back_within_half_a_step(family: str) -> None:
    rng = np.random.default_rng(4)
    for size, seen in random_sizes(rng, 10_000):
        xs, ys = np.sort(rng.random((2, 2)), axis=1) * np.array(size)[:, None]
        box = (float(xs[0]), float(ys[0]), float(xs[1]), float(ys[1]))
        [back] = regions(written(Region("it", box), family, size, seen), family, size, seen)
        assert back.box is not None and back.label == "it"
        for axis, unit in enumerate(step(family, size, seen)):
            ends = [(box[axis], back.box[axis]), (box[axis + 2], back.box[axis + 2])]
            # A box that rounds to nothing is written one step thin.
            thin = round(ends[0][0] / unit) == round(ends[1][0] / unit)
            bound = (1 if thin else 0.5) * unit + 1e-9 * size[axis]
            assert all(abs(a - b) <= bound for a, b in ends)


@pytest.mark.parametrize("family", GROUNDED)
def test_points_come_back_within_half_a_step(family: str) -> None:
    rng = np.random.default_rng(5)
    for size, seen in random_sizes(rng, 10_000):
        x, y = (rng.random(2) * size).tolist()
        text = written(Region("it", point=(x, y)), family, size, seen)
        [back] = regions(text, family, size, seen)
        assert back.point is not None and back.label == "it"
        for axis, unit in enumerate(step(family, size, seen)):
            assert abs(back.point[axis] - (x, y)[axis]) <= 0.5 * unit + 1e-9 * size[axis]


@pytest.mark.parametrize("family", BOXED)
def test_a_whole_picture_comes_back_whole(family: str) -> None:
    whole = Region("all", (0, 0, 2000, 1000))
    assert read(written(whole, family, SIZE, SEEN), family) == [whole]


@pytest.mark.parametrize("family", BOXED)
@pytest.mark.parametrize(
    "box",
    [
        (0, 0, 1e-9, 1e-9),
        (2000 - 1e-9, 1000 - 1e-9, 2000, 1000),
        (math.nextafter(2000, 0), math.nextafter(1000, 0), 2000, 1000),
    ],
)
def test_a_thin_box_is_one_step_thin(family: str, box: tuple[float, ...]) -> None:
    x0, y0, x1, y1 = box
    [back] = read(written(Region("", (x0, y0, x1, y1)), family, SIZE, SEEN), family)
    assert back.box is not None
    width, height = step(family, SIZE, SEEN)
    assert back.box[2] - back.box[0] == pytest.approx(width)
    assert back.box[3] - back.box[1] == pytest.approx(height)


@pytest.mark.parametrize("family", BOXED)
def test_a_box_outside_is_written_at_the_edge(family: str) -> None:
    width, height = step(family, SIZE, SEEN)
    [back] = read(written(Region("", (3000, -20, 4000, -10)), family, SIZE, SEEN), family)
    assert back.box == pytest.approx((2000 - width, 0, 2000, height))


@pytest.mark.parametrize("family", POINTED)
def test_a_family_that_points_gets_the_middle_of_a_box(family: str) -> None:
    text = written(Region("it", (200, 100, 600, 300)), family, SIZE, SEEN)
    assert read(text, family) == [Region("it", point=(400, 200))]


labels = st.text(max_size=30).map(lambda s: s.encode("utf-8", "replace").decode()).filter(
    lambda s: "<|" not in s
)  # fmt: skip


@given(labels, st.sampled_from(GROUNDED))
def test_labels_come_back(label: str, family: str) -> None:
    text = written(Region(label, point=(200, 100)), family, SIZE, SEEN)
    assert [region.label for region in read(text, family)] == [" ".join(label.split())]


@given(labels.filter(str.strip), st.sampled_from(GROUNDED))
def test_written_regions_read_as_their_label(label: str, family: str) -> None:
    text = written(Region(label, point=(200, 100)), family, SIZE, SEEN)
    assert plain(f"Look: {text}.", family) == f"Look: {' '.join(label.split())}."


@pytest.mark.parametrize("family", [*GROUNDED, "llava"])
def test_a_label_starts_no_special_token(family: str) -> None:
    text = written(Region("x<|im_end|><<||box_end|>", point=(0, 0)), family, SIZE, SEEN)
    assert "<|im_end" not in text
    assert text.count("<|") == (4 if family == "qwen2_vl" else 0)
    assert len(read(text, family)) == (family != "llava")


def test_what_is_written() -> None:
    box = Region("the eyes", (352, 106, 464, 160))
    point = Region('5" <screen>', point=(1270, 445))
    assert written(box, "qwen2_vl", SIZE, SEEN) == (
        "<|object_ref_start|>the eyes<|object_ref_end|><|box_start|>(176,106),(232,160)<|box_end|>"
    )
    assert written(box, "qwen3_vl", SIZE, SEEN) == (
        '{"bbox_2d": [176, 106, 232, 160], "label": "the eyes"}'
    )
    assert written(box, "qwen2_5_vl", SIZE, SEEN) == (
        '{"bbox_2d": [246, 74, 325, 112], "label": "the eyes"}'
    )
    assert written(point, "molmo", SIZE, SEEN) == (
        '<point x="63.5" y="44.5" alt="5&quot; &lt;screen&gt;">5&quot; &lt;screen&gt;</point>'
    )
    assert written(Region("it", point=(0, 1000)), "molmo2", SIZE, SEEN) == (
        '<points coords="1 1 000 1000">it</points>'
    )
    assert written(box, "llava", SIZE, SEEN) == "the eyes"


QWEN2 = (
    "I see <|object_ref_start|>the eyes on a giraffe<|object_ref_end|>"
    "<|box_start|>(176,106),(232,160)<|box_end|><|box_start|>( 300, 106), (350, 160)<|box_end|>"
    " and <|object_ref_start|>a leaf<|object_ref_end|><|box_start|>(500,500)<|box_end|>."
)


def test_qwen2_vl() -> None:
    assert read(QWEN2, "qwen2_vl") == [
        Region("the eyes on a giraffe", (352, 106, 464, 160)),
        Region("the eyes on a giraffe", (600, 106, 700, 160)),
        Region("a leaf", point=(1000, 500)),
    ]
    assert plain(QWEN2, "qwen2_vl") == "I see the eyes on a giraffe and a leaf."


def test_qwen2_vl_cut_off() -> None:
    assert plain("See <|object_ref_start|>the ey", "qwen2_vl") == "See the ey"
    assert plain("<|object_ref_start|>it<|object_ref_end|><|box_start|>(1", "qwen2_vl") == "it"


def test_several_boxes_within_one_pair_of_tokens() -> None:
    text = "<|box_start|>(0,0),(10,10),(20,20),(30,30)<|box_end|>"
    assert [r.box for r in read(text, "qwen2_vl")] == [(0, 0, 20, 10), (40, 20, 60, 30)]


def test_qwen2_vl_without_its_special_tokens() -> None:
    text = "I see two things. the eyes(176,106),(232,160)(300,106), (350,160)\na leaf(1,2),(3,4)"
    found = read(text, "qwen2_vl")
    assert [r.label for r in found] == ["the eyes", "the eyes", "a leaf"]
    assert found[0].box == (352, 106, 464, 160)
    assert plain(text, "qwen2_vl") == "I see two things. the eyes\na leaf"


@pytest.mark.parametrize(
    "text",
    [
        "The origin is (0,0), the year (1,999) and the triple (1,2),(3,4),(5,6).",
        "A point (100,200) alone is prose.",
        "beyond the scale (176,106),(1001,160)",
        "<|box_start|>(176,106),(232,160)",
        "<|box_start|>(176,106),(232,<|box_end|>",
        "<|box_start|>(176,106),(232,160),(1,1)<|im_end|>",
        "<|box_start|>(nan,106),(232,160)<|box_end|>",
        "<|box_start|>(1.2.3,106),(232,160)<|box_end|>",
        "<|box_start|>(5,5),(5,9)<|box_end|>",
        "<|quad_start|>(1,1),(2,2)<|quad_end|><|box_start|><|box_end|>",
        "<|object_ref_start|>the eyes",
        "",
    ],
)
def test_what_is_no_region_of_qwen2_vl(text: str) -> None:
    assert read(text, "qwen2_vl") == []


def test_an_odd_run_of_pairs_is_not_half_read() -> None:
    text = "curve (1,2),(3,4),(5,6)"
    assert read(text, "qwen2_vl") == [] and plain(text, "qwen2_vl") == text


CAKES = """Here they are:
```json
[
	{"bbox_2d": [341, 258, 397, 360], "label": "rainbow cake"},
	{"bbox_2d": [0, 0, 70, 70], "label": "a \\"plain\\" {cake}"},
	{"point_2d": [140, 210], "label": "rainbow cake"}
]
```
Enjoy!"""


def test_qwen2_5_vl_in_pixels_of_the_picture_seen() -> None:
    found = read(CAKES, "qwen2_5_vl")
    assert [r.label for r in found] == ["rainbow cake", 'a "plain" {cake}', "rainbow cake"]
    assert found[0].box == pytest.approx((341 / 0.7, 258 / 0.7, 397 / 0.7, 360 / 0.7))
    assert found[2].point == pytest.approx((200, 300))


def test_qwen3_vl_in_thousandths() -> None:
    found = read(CAKES, "qwen3_vl")
    assert found[0].box == pytest.approx((682, 258, 794, 360))
    assert found[2].point == pytest.approx((280, 210))


def test_json_reads_as_its_labels() -> None:
    expected = 'Here they are:\nrainbow cake, a "plain" {cake}\nEnjoy!'
    assert plain(CAKES, "qwen2_5_vl") == plain(CAKES, "qwen3_vl") == expected


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ('{"bbox_2d": [1, 2, 3, 4], "label": "a"}', ["a"]),
        ('{"label": "a", "score": 0.5, "bbox_2d": [1.5, 2, 3, 4]}', ["a"]),
        ('[{"bbox_2d":[1,2,3,4],"label":"a"},{"bbox_2d":[1,2,3,4],"lab', ["a", ""]),
        ('[{"bbox_2d":[1,2,3,4],"label":"a"},{"bbox_2d":[1,2,3', ["a"]),
        ('{"found": {"bbox_2d": [1, 2, 3, 4], "label": "a"}} as asked', ["a"]),
        ('The 5" one: {"bbox_2d": [1, 2, 3, 4], "label": "a"}', ["a"]),
        ('{"bbox_2d": [1, 2, 3, 4], "point_2d": [2, 2], "label": "a"}', ["a", "a"]),
        (r'{"bbox_2d": [1, 2, 3, 4], "label": "\ud800 \x"}', [r"\ud800 \x"]),
        (r'{"bbox_2d": [1, 2, 3, 4], "label": "\ud800"}', ["?"]),
        ('{"bbox_2d": [1, 2, 3, 4], "label": "a\tb\\nc"}', ["a b c"]),
        ('{"bbox_2d": [1, 2, 3, 4], "label": 7}', [""]),
    ],
)
def test_json_as_models_write_it(text: str, labels: list[str]) -> None:
    assert [r.label for r in read(text, "qwen2_5_vl")] == labels


@pytest.mark.parametrize(
    "numbers",
    [
        "NaN, 2, 3, 4",
        "Infinity, 2, 3, 4",
        "1e999, 2, 3, 4",
        "1" * 50 + ", 2, 3, 4",
        "1, 2, 3",
        "1, 2, 3, 4, 5",
        "true, 2, 3, 4",
        "1_0, 2, 30, 4",
        "١, 2, 3, 4",
        '"1", 2, 3, 4',
        "[1, 2, 3, 4]",
        "",
        "7, 2, 7, 4",
        "-9, -9, -1, -1",
        "5000, 0, 6000, 10",
    ],
)
@pytest.mark.parametrize("family", ["qwen2_5_vl", "qwen3_vl"])
def test_what_is_no_box(numbers: str, family: str) -> None:
    assert read(f'{{"bbox_2d": [{numbers}], "label": "x"}}', family) == []


def test_text_without_coordinates_is_unchanged() -> None:
    for text in ['{"label": "a"} ```json\n[{"x": 1}]``` ] [', "[", "{", 'say "bbox_2d"']:
        assert plain(text, "qwen3_vl") == text and read(text, "qwen3_vl") == []


def test_lists_with_words_between() -> None:
    one, two = CAKES.split("Enjoy!")[0], '[{"point_2d": [1, 1], "label": "two"}] is left'
    assert plain(f"{one}and {two}", "qwen3_vl").endswith("{cake}\nand two is left")


def test_molmo() -> None:
    text = (
        'The <point x="63.5" y="44.5" alt="left eye">eye</point> and '
        '<points x1="10.0" y1="20" x2="30.5" y2="40.0" alt="leaves">the leaves</points>, '
        '<point x="1" y="2" alt="a dot"/>'
    )
    expected: list[object] = [
        ("eye", pytest.approx((1270, 445))),
        ("the leaves", pytest.approx((200, 200))),
        ("the leaves", pytest.approx((610, 400))),
        ("a dot", pytest.approx((20, 20))),
    ]
    assert [(r.label, r.point) for r in read(text, "molmo")] == expected
    assert plain(text, "molmo") == "The eye and the leaves, a dot"


def test_molmo_2() -> None:
    text = (
        'Counting the <points coords="1 1 073 160 2 173 1000" alt="boats">boats</points> shows 2; '
        '<points label="oars" coords="1 1 500 500;2 2 142 418"/>'
    )
    expected: list[object] = [
        ("boats", pytest.approx((146, 160))),
        ("boats", pytest.approx((346, 1000))),
        ("oars", pytest.approx((1000, 500))),
    ]
    assert [(r.label, r.point) for r in read(text, "molmo2")] == expected
    assert plain(text, "molmo2") == "Counting the boats shows 2; oars"


@pytest.mark.parametrize(
    "text",
    [
        '<points coords="2 1 500 500">of the second picture</points>',
        '<points coords="8.5 1 500 500">of a film</points>',
        '<tracks coords="0.0 1 500 500\t1.0 1 510 500">of a film</tracks>',
        '<points coords="1 1 500">half</points>',
        '<points coords="1 1 nan 500">no number</points>',
        '<points coords="1 1 500 1001">outside</points>',
        '<points coords="1 1 500 500',
        "<points>none</points>",
        "coords=1 1 500 500",
    ],
)
def test_what_is_no_point_of_molmo_2(text: str) -> None:
    assert read(text, "molmo2") == []


@pytest.mark.parametrize(
    "text",
    [
        '<point x="163.5" y="44.5" alt="x">outside</point>',
        '<point x="-1" y="44.5" alt="x">outside</point>',
        '<point x="1e999" y="44.5" alt="x">huge</point>',
        '<point x="63.5" alt="x">half</point>',
        '<pointer x="63.5" y="44.5">another tag</pointer>',
        '<point x="63.5" y="4',
    ],
)
def test_what_is_no_point_of_molmo(text: str) -> None:
    assert read(text, "molmo") == []


def test_a_tag_that_is_cut_off_is_not_shown() -> None:
    assert plain('The eye <point x="63.5" y="4', "molmo") == "The eye "
    assert plain('The <point x="1" y="2" alt="eye">ey', "molmo") == "The ey"
    assert read('The <point x="1" y="2" alt="eye">ey', "molmo")[0].label == "eye"
    assert plain("a < b > c <b>bold</b>", "molmo") == "a < b > c <b>bold</b>"


@pytest.mark.parametrize("family", UNGROUNDED)
def test_a_family_without_grounding_gives_nothing(family: str) -> None:
    for text in (QWEN2, CAKES, '<point x="1" y="2" alt="a">a</point>'):
        assert read(text, family) == [] and plain(text, family) == text


def test_boxes_are_clipped_and_their_corners_ordered() -> None:
    def box(a: int, b: int, c: int, d: int) -> object:
        [region] = read(f'{{"bbox_2d": [{a}, {b}, {c}, {d}]}}', "qwen3_vl")
        return region.box

    assert box(232, 160, 176, 106) == (352, 106, 464, 160)
    assert box(-50, 900, 500, 1200) == (0, 900, 1000, 1000)
    assert box(-(10**30), 0, 10**30, 10) == (0, 0, 2000, 10)


@pytest.mark.parametrize("sizes", [((0, 5), (5, 5)), ((5, 5), (5, -1))])
def test_a_picture_without_pixels_is_an_error(sizes: tuple[Size, Size]) -> None:
    for family in ("qwen2_vl", "llava"):
        with pytest.raises(ValueError, match="no pixels"):
            regions("", family, *sizes)
        with pytest.raises(ValueError, match="no pixels"):
            written(Region("", point=(0, 0)), family, *sizes)


def test_a_region_is_a_box_or_a_point() -> None:
    for box, point in [(None, None), ((0, 0, 1, 1), (0, 0))]:
        with pytest.raises(ValueError, match="a box or a point"):
            Region("", box, point)


def test_a_region_from_a_checkpoint_is_the_same() -> None:
    box, point = (0.0, 0.0, 1.0, 1.0), (0.0, 1.0)
    assert hash(Region("", list(box))) == hash(Region("", box))  # type: ignore[arg-type]
    assert Region("", None, list(point)) == Region("", None, point)  # type: ignore[arg-type]


SCRAPS = [
    *["<|box_start|>", "<|box_end|>", "<|object_ref_start|>", "<|object_ref_end|>", "(1,2)", ","],
    *['{"bbox_2d": [', '"label": "', "1, 2, 3, 4", "]", "}", '"', "\\", "\n", "```json", "[{"],
    *["<point ", "<points ", 'x="1" ', 'y1="2" ', 'coords="1 1 100 100', "/>", ">", "</point>"],
    *["NaN", "1e400", "&#x27;"],
]
scraps = st.lists(
    st.sampled_from([*SCRAPS, " ", "9" * 60, "&#" + "9" * 5000 + ";"]) | st.text(max_size=4),
    max_size=25,
).map("".join)


@given(scraps, st.sampled_from([*GROUNDED, "llava"]))
def test_nothing_a_model_writes_raises_or_leaves_the_picture(text: str, family: str) -> None:
    assert isinstance(plain(text, family), str)
    for region in read(text, family):
        at = region.box or region.point or ()
        assert all(0 <= n <= SIZE[i % 2] for i, n in enumerate(at))
        if region.box:
            assert region.box[0] < region.box[2] and region.box[1] < region.box[3]


ADVERSARIAL = [
    "<|box_start|>",
    "<|box_start|>(1,2),",
    "<|object_ref_start|><|box_end|>",
    "(1,2),",
    "the eyes(1,2),(3,4)",
    "( ",
    "(" + "1" * 39,
    "{",
    "[",
    "[{",
    '{"a":',
    '{"',
    '{"\\"',
    '"\\"',
    "\\",
    '{"bbox_2d": [1, 2, 3, 4], "x": {',
    '{"bbox_2d": [1, 2, 3, 4], "label": "',
    '{"bbox_2d":[1,2,3,4],"label":"a"},',
    '"bbox_2d": [',
    '"bbox_2d"     ',
    '{"label":"\\"label\\":',
    "```json\n[",
    "]",
    "<point ",
    '<point x="',
    '<point x="<point y=" ',
    '<points x1="1" y1="2" ',
    "<points",
    "</point>",
    '<point x="1" y="2">',
    ' coords="1 1 ',
    "1 1 100 100 ",
    "a",
    " ",
    "\n",
    '"',
    "=",
    "é",
]


@pytest.mark.parametrize("family", GROUNDED)
@pytest.mark.parametrize("unit", ADVERSARIAL)
def test_a_megabyte_of_anything_is_read_in_time_that_grows_with_it(unit: str, family: str) -> None:
    starts = ["", "<|box_start|>", '{"bbox_2d": ["', '<points coords="1 ', '{"bbox_2d":[1,2,3,4],"']
    slowest = 0.0
    for start in starts:
        text = start + unit * (1_000_000 // len(unit) // len(starts))
        began = time.process_time()
        read(text, family)
        plain(text, family)
        slowest = max(slowest, time.process_time() - began)
    assert slowest < 2.0


def test_a_long_list_is_read_whole_and_in_order() -> None:
    items = [f'{{"bbox_2d": [{i}, 0, {i + 1}, 1], "label": "n{i}"}}' for i in range(999)]
    found = read("[" + ",\n".join(items) + "]", "qwen3_vl")
    assert len(found) == 999
    assert all(a.box < b.box for a, b in pairwise(found) if a.box and b.box)
