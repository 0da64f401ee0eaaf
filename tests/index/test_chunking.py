from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from limner.index.chunking import Chunk, chunk
from limner.index.embeddings import embedded
from limner.index.loaders import load
from limner.index.loaders.base import Block
from limner.tools.media import MediaStore

HANDBOOK = Path(__file__).parents[2] / "examples" / "handbook"


def count(texts: Sequence[str]) -> list[int]:
    return [len(re.findall(r"\w+|[^\w\s]", text)) for text in texts]


def sentences(first: int, n: int, length: int = 9) -> str:
    """Sentences of ten tokens whose words are all different."""
    return " ".join(" ".join(f"W{first + i}x{j}" for j in range(length)) + "." for i in range(n))


def numbered(text: str) -> list[str]:
    return re.findall(r"w\d+", text)


@st.composite
def documents(draw: st.DrawFn) -> list[Block]:
    """Blocks of every kind and length, in which no word occurs twice."""
    blocks, following = [], 0
    for _ in range(draw(st.integers(1, 12))):
        kind = draw(
            st.sampled_from(["heading", "paragraph", "item", "row", "code", "figure", "screenshot"])
        )
        size = draw(st.sampled_from([0, 1, 3, 12, 40, 90, 200, 500]))
        end, gap = draw(st.sampled_from([". ", " ", ": ", "\n", ".\n\n"])), size // 7 + 2
        names = [f"w{following + i}" + (end if i % gap == 1 else " ") for i in range(size)]
        following += size
        blocks.append(
            Block(
                kind,
                "".join(names).strip(),
                draw(st.integers(1, 6)) if kind == "heading" else 0,
                draw(st.sampled_from([None, 1, 2])),
                (0, 0, 1, 1),
                "image" if kind in ("figure", "screenshot") else None,
            )
        )
    return blocks


@settings(max_examples=150, deadline=None)
@given(blocks=documents(), max_tokens=st.sampled_from([16, 32, 64, 128, 256, 1000]))
def test_nothing_is_lost_and_nothing_is_too_long(blocks: list[Block], max_tokens: int) -> None:
    chunks = chunk(blocks, max_tokens, count)
    assert all(count([c.searchable])[0] <= max_tokens - 2 for c in chunks)
    said = {word for c in chunks for word in numbered(c.searchable)}
    assert said == {word for b in blocks for word in numbered(b.text)}
    body = [w for b in blocks if b.kind not in ("heading", "figure") for w in numbered(b.text)]
    seen = dict.fromkeys(w for c in chunks if c.modality != "figure" for w in numbered(c.text))
    assert [word for word in seen if word in set(body)] == body
    assert all(c.text.strip() or c.image for c in chunks)


@settings(max_examples=100, deadline=None)
@given(blocks=documents(), max_tokens=st.sampled_from([32, 128, 256]))
def test_a_chunk_has_one_page_and_one_picture(blocks: list[Block], max_tokens: int) -> None:
    of_word = {w: b for b in blocks if b.kind != "heading" for w in numbered(b.text)}
    for c in chunk(blocks, max_tokens, count):
        places = {(of_word[w].page, of_word[w].image) for w in numbered(c.text) if w in of_word}
        assert places <= {(c.page, c.image)}


@settings(max_examples=300, deadline=None)
@given(text=st.text(max_size=2000), max_tokens=st.sampled_from([16, 64]))
def test_any_text_at_all(text: str, max_tokens: int) -> None:
    chunks = chunk([Block("paragraph", text)], max_tokens, count)
    assert all(count([c.searchable])[0] <= max_tokens - 2 for c in chunks)
    joined = "".join("".join(c.text.split()) for c in chunks)
    kept = set("".join(text.split()))
    assert kept <= set(joined)


def test_a_paragraph_that_is_cut_repeats_one_sentence() -> None:
    text = sentences(0, 40)
    first, second, *_ = chunk([Block("paragraph", text)], 256, count)
    assert first.text.rpartition(". ")[2] == second.text.partition(". ")[0] + "."
    assert first.text in text and second.text in text  # as it stands there


def test_two_long_paragraphs_do_not_repeat_into_each_other() -> None:
    blocks = [Block("paragraph", sentences(0, 40)), Block("paragraph", sentences(100, 40))]
    chunks = chunk(blocks, 256, count)
    numbers = [{int(n) for n in re.findall(r"W(\d+)x", c.text)} for c in chunks]
    assert all(max(n) < 100 or min(n) >= 100 for n in numbers)


def test_a_table_stays_whole_and_apart_from_the_prose_before() -> None:
    rows = [Block("row", f"Room: {i}; Size: {i} square metres; Floor: ground") for i in range(12)]
    before = Block("paragraph", sentences(0, 9))
    chunks = chunk([before, *rows], 256, count)
    assert [c.text for c in chunks] == [before.text, "\n".join(r.text for r in rows)]


def test_a_list_stays_with_its_lead_in() -> None:
    lead = Block("paragraph", f"{sentences(0, 6)} These rules apply:")
    items = [Block("item", f"Rule {i} is short.") for i in range(10)]
    after = Block("paragraph", sentences(50, 6))
    chunks = chunk([Block("paragraph", sentences(90, 6)), lead, *items, after], 256, count)
    assert chunks[1].text == "\n".join(b.text for b in (lead, *items))
    assert chunks[2].text == after.text


def test_a_long_list_repeats_what_leads_to_it() -> None:
    items = [Block("item", f"{i}. {sentences(i, 1)}") for i in range(60)]
    chunks = chunk([Block("paragraph", "Do this in order:"), *items], 256, count)
    assert len(chunks) > 2
    assert all(c.text.startswith("Do this in order:\n") for c in chunks)
    assert sum(c.text.count("\n") for c in chunks) == 60  # and no item twice


def test_short_paragraphs_are_joined_and_long_ones_are_not() -> None:
    short = [Block("paragraph", f"Note {i} is short.") for i in range(3)]
    long = [Block("paragraph", sentences(i * 10, 7)) for i in range(3)]
    assert len(chunk(short, 256, count)) == 1
    assert len(chunk(long, 256, count)) == 3


def test_headings_stand_above() -> None:
    blocks = [
        Block("heading", "Guide", 1),
        Block("heading", "Doors", 2),
        Block("paragraph", "Pull."),
        Block("heading", "Windows", 2),
        Block("paragraph", "Push."),
        Block("heading", "Nothing follows", 2),
    ]
    assert chunk(blocks, 256, count) == [
        Chunk("Pull.", "Guide › Doors"),
        Chunk("Push.", "Guide › Windows"),
        Chunk("Nothing follows", "Guide"),
    ]


def test_a_heading_too_long_for_the_context_is_text() -> None:
    long = sentences(0, 8)
    chunks = chunk([Block("heading", long, 1), Block("paragraph", "Yes.")], 256, count)
    assert long in "\n".join(c.text for c in chunks)


def test_a_figure_carries_its_caption_and_surroundings() -> None:
    blocks = [
        Block("heading", "Tides", 1),
        Block("paragraph", "Before it."),
        Block("figure", "Figure 1: The tide", 0, 3, (1, 2, 3, 4), "ref"),
        Block("paragraph", "After it."),
    ]
    *texts, figure = chunk(blocks, 256, count)
    assert [c.text for c in texts] == ["Before it.\nAfter it."]
    assert figure == Chunk(
        "Figure 1: The tide", "Tides", "Before it. After it.", 3, (1, 2, 3, 4), "ref", "figure"
    )


def test_a_figure_without_a_caption_is_called_by_its_heading() -> None:
    blocks = [Block("heading", "Floor plan", 2), Block("figure", "", image="ref")]
    assert [c.text for c in chunk(blocks, 256, count)] == ["Floor plan"]


def test_boxes_are_united_and_pages_kept() -> None:
    blocks = [
        Block("item", "One.", page=2, box=(10, 10, 50, 20)),
        Block("item", "Two.", page=2, box=(5, 30, 40, 60)),
        Block("item", "Three.", page=3, box=(0, 0, 1, 1)),
    ]
    first, second = chunk(blocks, 256, count)
    assert (first.page, first.box) == (2, (5, 10, 50, 60))
    assert (second.page, second.box) == (3, (0, 0, 1, 1))


def test_an_endless_word_is_cut() -> None:
    chunks = chunk([Block("paragraph", "a" * 10_000)], 256, count)
    assert "".join(c.text for c in chunks) == "a" * 10_000
    assert max(len(c.text) for c in chunks) < 5_000


@pytest.fixture(scope="module")
def handbook(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Chunk]]:
    model, media = embedded(), MediaStore(tmp_path_factory.mktemp("media"))
    names = ("machines.pdf", "membership.html", "network.md", "safety.docx")
    return {
        name: chunk(load(HANDBOOK / name, media), model.max_tokens, model.count_tokens)
        for name in names
    }


def test_the_handbook_is_cut_as_a_reader_would(handbook: dict[str, list[Chunk]]) -> None:
    everything = [c for chunks in handbook.values() for c in chunks]
    assert 70 <= len(everything) <= 95
    assert embedded().max_tokens == 256
    sizes = embedded().count_tokens([c.searchable for c in everything])
    assert max(sizes) <= 254 and min(sizes) >= 40
    fees = next(c for c in handbook["membership.html"] if "Tier: Off-peak" in c.text)
    assert fees.text.count("\n") == 2 and fees.text.count("Monthly fee:") == 3
    steps = next(c for c in handbook["network.md"] if "Registry Editor" in c.text)
    assert steps.text.startswith("On Windows, error 809 is cured by") and "4. " in steps.text
    assert steps.heading.endswith("VPN error 809 on Windows")
    extinguishers = [c for c in handbook["safety.docx"] if "Extinguisher:" in c.text]
    assert len(extinguishers) == 1 and extinguishers[0].text.count("Room:") == 4
    plan = next(c for c in handbook["machines.pdf"] if c.modality == "figure")
    assert plan.text.startswith("Figure 1: Floor plan") and plan.page == 1 and plan.box
