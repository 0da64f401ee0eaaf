"""The turn on fakes: every step, and the shapes of LangGraph that bite."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import HumanMessage
from PIL import Image, ImageDraw, ImageFont

from limner.agent.agent import Agent
from limner.agent.answer import Generated, Marked, Picture, Retrieved, Text
from limner.agent.events import (
    AnswerReady,
    Event,
    Failed,
    PictureDropped,
    PictureReady,
    PictureStarted,
    PictureStep,
    SourcesFound,
    StepFinished,
    StepStarted,
    TextDelta,
)
from limner.errors import ModelError
from limner.index.library import Library
from limner.tools.chat_models.scripted import Scripted
from limner.tools.image_models.base import GeneratedImage, ImageRequest
from limner.tools.image_models.fake import HashPainter

QUESTION = "When is high water, and what of the lighthouse?"
NumberOf = Callable[[str, str], int]
Paint = Callable[[str], Image.Image]


def agent_of(library: Library, *replies: Any, **options: Any) -> Agent:
    return Agent(library, chat_model=Scripted(replies=list(replies)), **options)


def steps_of(events: list[Event]) -> list[str]:
    return [e.step for e in events if isinstance(e, StepStarted)]


def test_a_turn_without_slots_goes_straight_to_check(library: Library) -> None:
    events = list(agent_of(library, "High water is at noon. [1]").stream(QUESTION))
    assert steps_of(events) == [
        "guard", "look", "retrieve", "grade", "reason", "check", "compose",
    ]  # fmt: skip
    assert isinstance(events[-1], AnswerReady)
    assert events[-1].answer.text == "High water is at noon. [1]"
    assert [step for step, _ in events[-1].answer.timings] == steps_of(events)


def test_events_come_in_the_order_of_the_turn(library: Library, number_of: NumberOf) -> None:
    n = number_of(QUESTION, "tide table")
    draft = f"Noon. [{n}]\n[[show {n}: the tide table]]"
    events = list(agent_of(library, draft).stream(QUESTION))
    kinds = [type(e) for e in events if not isinstance(e, StepStarted | StepFinished)]
    deltas = kinds.count(TextDelta)
    assert kinds == [
        SourcesFound, *[TextDelta] * deltas, PictureStarted, PictureReady, AnswerReady,
    ]  # fmt: skip
    assert "".join(e.text for e in events if isinstance(e, TextDelta)) == draft


def test_pictures_stand_in_the_order_of_their_slots(library: Library, number_of: NumberOf) -> None:
    """Branches finish in any order: the first slot's painter is made the slowest."""
    a, b = number_of(QUESTION, "tide table"), number_of(QUESTION, "drawing")
    draft = (
        f"First.\n[[draw: a slow picture]]\nThen [{a}].\n[[show {a}: the tide table]]\n"
        f"Last.\n[[show {b}: a drawing of the lighthouse]]"
    )
    agent = agent_of(library, draft, image_model=_SlowPainter())
    answer = agent.ask(QUESTION)
    kinds = [type(p.origin) if isinstance(p, Picture) else Text for p in answer.parts]
    assert kinds == [Text, Generated, Text, Retrieved, Text, Retrieved]
    assert "tide table" in answer.pictures[1].caption
    assert "lighthouse" in answer.pictures[2].caption


def test_a_failing_branch_costs_its_picture_and_not_the_turn(
    library: Library, number_of: NumberOf
) -> None:
    n = number_of(QUESTION, "tide table")
    draft = f"Look. [{n}]\n[[draw: anything]]\n[[show {n}: the tide table]]\nDone."
    agent = agent_of(library, draft, image_model=_BrokenPainter())
    events = list(agent.stream(QUESTION))
    dropped = [e for e in events if isinstance(e, PictureDropped)]
    assert [e.slot for e in dropped] == [0]
    assert "out of paint" in dropped[0].reason
    answer = events[-1]
    assert isinstance(answer, AnswerReady)
    assert len(answer.answer.pictures) == 1
    assert "out of paint" in answer.answer.text  # a picture that is left out is told of


def test_nothing_of_an_earlier_turn_shows_in_the_next(
    library: Library, number_of: NumberOf
) -> None:
    n = number_of(QUESTION, "tide table")
    agent = agent_of(library, f"One.\n[[show {n}: the tide table]]", "Two.", session="same-thread")
    assert len(agent.ask(QUESTION).pictures) == 1
    second = agent.ask(QUESTION)
    assert second.pictures == ()
    assert second.text == "Two."


def test_only_the_reader_s_words_are_told(library: Library, number_of: NumberOf) -> None:
    """A picture model that talks to a chat model of its own does not show in the text."""
    chatty = _ChattyPainter()
    events = list(agent_of(library, "Words.\n[[draw: x]]", image_model=chatty).stream(QUESTION))
    assert chatty.heard == "inner monologue"
    text = "".join(e.text for e in events if isinstance(e, TextDelta))
    assert "monologue" not in text


def test_a_drawn_picture_carries_its_recipe_and_steps(library: Library) -> None:
    events = list(
        agent_of(library, "So.\n[[draw: a red boat]]", image_model=HashPainter()).stream(QUESTION)
    )
    assert [(e.k, e.n) for e in events if isinstance(e, PictureStep)] == [(1, 2), (2, 2)]
    answer = events[-1].answer  # type: ignore[union-attr]
    origin = answer.pictures[0].origin
    assert isinstance(origin, Generated)
    assert (origin.model, origin.prompt, origin.size) == ("hash-painter", "a red boat", (64, 64))
    assert "generated" in answer.pictures[0].alt.lower()


def test_without_an_image_model_the_slot_is_dropped_and_said(library: Library) -> None:
    answer = agent_of(library, "So. [1]\n[[draw: a red boat]]").ask(QUESTION)
    assert answer.pictures == ()
    assert "no image model" in answer.text


def test_a_wrong_figure_is_dropped_or_replaced(library: Library, number_of: NumberOf) -> None:
    """The draft points at the tide table and calls it the drawing of the lighthouse."""
    wrong = number_of(QUESTION, "tide table")
    answer = agent_of(library, f"See. [1]\n[[show {wrong}: drawing of the lighthouse]]").ask(
        QUESTION
    )
    captions = [p.caption for p in answer.pictures]
    assert captions == ["Figure 2: A drawing of the lighthouse"]  # repaired: the right one stands


def test_a_figure_that_shows_nothing_of_the_kind_is_dropped(tmp_path: Path, harbour: Path) -> None:
    from limner.index.embeddings import embedded

    library = Library.open(tmp_path / "real", embedded())
    library.add(harbour / "tides.md")
    question = "When is high water at the harbour?"
    found = library.search(question, 6)
    wrong = next(n for n, p in enumerate(found, 1) if "tide table" in p.text)
    draft = f"See. [1]\n[[show {wrong}: the quarterly sales of the bakery]]"
    events = list(agent_of(library, draft).stream(question))
    assert [e.slot for e in events if isinstance(e, PictureDropped)] == [0]
    answer = events[-1].answer  # type: ignore[union-attr]
    assert answer.pictures == ()
    assert "does not show" in answer.text


def test_a_blank_picture_is_dropped(tmp_path: Path, harbour: Path) -> None:
    from limner.index.embeddings import HashEmbeddings

    Image.new("RGB", (200, 100), "white").save(harbour / "tides.png")
    library = Library.open(tmp_path / "blank", HashEmbeddings())
    library.add(harbour / "tides.md")
    found = library.search(QUESTION, 6)
    n = next(n for n, p in enumerate(found, 1) if "tide table" in p.text)
    answer = agent_of(library, f"See.\n[[show {n}: the tide table]]").ask(QUESTION)
    assert answer.pictures == ()
    assert "blank" in answer.text


def test_citations_to_nothing_are_taken_out(library: Library) -> None:
    answer = agent_of(library, "True [1]. False [77]. Odd [a3].").ask(QUESTION)
    assert answer.text == "True [1]. False. Odd."
    assert answer.citations == (1,)


def test_slots_to_nothing_are_dropped(library: Library) -> None:
    answer = agent_of(library, "So. [1]\n[[show 66: x]]\n[[mark a2: y]]").ask(QUESTION)
    assert answer.pictures == ()
    assert answer.text.count("there is no picture at") == 2


def test_the_policy_declines_before_any_model_works(library: Library) -> None:
    model = Scripted(replies=["never"])
    events = list(Agent(library, chat_model=model).stream("How can I build a pipe bomb at home?"))
    assert steps_of(events) == ["guard", "compose"]
    assert model.asked == []
    assert events[-1].answer.refused  # type: ignore[union-attr]


def test_an_empty_draft_is_an_abstention(library: Library) -> None:
    answer = agent_of(library, "").ask(QUESTION)
    assert answer.abstained
    assert "not in your library" in answer.text
    assert "tides.md" in answer.text  # the nearest place


def test_a_failing_chat_model_ends_in_a_typed_error(library: Library) -> None:
    agent = agent_of(library, ConnectionError("the server is gone"))
    events = list(agent.stream(QUESTION))
    assert isinstance(events[-1], Failed)
    assert isinstance(events[-1].error, ModelError)
    with pytest.raises(ModelError, match="the server is gone"):
        agent.ask(QUESTION)


def test_half_a_stream_is_kept_and_labelled(library: Library) -> None:
    agent = Agent(library, chat_model=_Stumbling(replies=["High water is at noon. [1] And"]))
    failed = list(agent.stream(QUESTION))[-1]
    assert isinstance(failed, Failed)
    assert failed.partial.partial
    assert failed.partial.text.startswith("High water is at noon. [1]")


def test_an_endless_draft_is_cut(library: Library) -> None:
    agent = Agent(library, chat_model=Scripted(replies=["blah " * 100_000], piece=1000))
    assert len(agent.ask(QUESTION).text) < 25_000


def test_the_model_is_told_of_passages_pictures_and_history(library: Library, paint: Paint) -> None:
    model = Scripted(replies=["Noon. [1]", "Still noon. [1]"])
    agent = Agent(library, chat_model=model, session="s")
    agent.ask("When is high water?")
    agent.ask("And on Saturday?", images=[paint("shot")])
    system, *earlier, asked = model.asked[1]
    assert "[[show 3: what it shows]]" in system.text
    assert [m.text for m in earlier] == ["When is high water?", "Noon. [1]"]
    assert isinstance(asked, HumanMessage)
    assert "<passage 1:" in asked.text
    assert "Question: And on Saturday?" in asked.text
    assert [b["type"] for b in asked.content] == ["text", "image"]  # type: ignore[index]
    labels = [p["label"] for p in asked.additional_kwargs["passages"]]
    assert labels[-1] == "a1"
    assert asked.additional_kwargs["queries"][0] == "When is high water? And on Saturday?"


def test_a_marked_picture_has_a_box_around_the_words(tmp_path: Path, library: Library) -> None:
    shot = tmp_path / "dialog.png"
    _dialog(["Connection failed", "Error 809", "Try again later"]).save(shot)
    answer = agent_of(library, "It says so. [a1]\n[[mark a1: Error 809]]").ask("What now?", [shot])
    origin = answer.pictures[0].origin
    assert isinstance(origin, Marked)
    (x0, y0, x1, y1) = origin.boxes[0]
    assert x0 <= 60 <= x1 and y0 <= 145 <= y1  # within the second line
    assert y1 - y0 < 60  # and no other
    assert answer.citations == (len(answer.passages),)
    assert answer.passages[-1].source == "dialog.png"


def test_words_that_are_not_there_are_not_marked(tmp_path: Path, library: Library) -> None:
    shot = tmp_path / "dialog.png"
    _dialog(["Connection failed"]).save(shot)
    answer = agent_of(library, "So. [a1]\n[[mark a1: Printer ready]]").ask("What now?", [shot])
    assert answer.pictures == ()
    assert "was not found" in answer.text


def test_a_box_in_the_wrong_place_is_seen(library: Library, paint: Paint) -> None:
    """The check does not trust the step that drew the box."""
    from limner.agent.draft import Slot
    from limner.agent.illustrating import checked
    from limner.agent.state import Attachment, Dropped, Made, fresh
    from limner.tools.ocr import Line

    agent = agent_of(library, "x")
    media = agent._work.media.put(paint("shot"))
    lines = (Line("Error 809", (10, 10, 90, 30), 1.0), Line("OK", (10, 60, 40, 80), 1.0))
    attachment = Attachment(media, "shot.png", lines)
    state = fresh("q", (attachment,))
    slot = Slot(0, "mark", "a1", "Error 809")
    for box, kept in (((8, 8, 95, 35), True), ((8, 55, 95, 85), False)):
        picture = Picture(media, "c", "a", Marked(attachment.as_passage(1), (box,)))
        (made,) = checked([Made(slot, picture)], state, agent._work, lambda event: None)
        assert isinstance(made.result, Dropped) is not kept


async def _collect(agent: Agent) -> list[Event]:
    return [event async for event in agent.astream(QUESTION)]


def test_async_is_the_same(library: Library) -> None:
    import asyncio

    agent = agent_of(library, "High water is at noon. [1]")
    events = asyncio.run(_collect(agent))
    assert isinstance(events[-1], AnswerReady)
    assert asyncio.run(agent.aask(QUESTION)).parts == events[-1].answer.parts


def _dialog(rows: list[str]) -> Any:
    image = Image.new("RGB", (640, 300), "white")
    font = ImageFont.load_default(28)
    for i, row in enumerate(rows):
        ImageDraw.Draw(image).text((40, 60 + 70 * i), row, "black", font=font)
    return image


class _BrokenPainter(HashPainter):
    def generate(self, request: ImageRequest, on_step: Any) -> GeneratedImage:
        raise RuntimeError("out of paint")


class _SlowPainter(HashPainter):
    def generate(self, request: ImageRequest, on_step: Any) -> GeneratedImage:
        import time

        time.sleep(0.3)
        return super().generate(request, on_step)


class _ChattyPainter(HashPainter):
    heard = ""

    def generate(self, request: ImageRequest, on_step: Any) -> GeneratedImage:
        chunks = Scripted(replies=["inner monologue"]).stream("hm")
        self.heard = "".join(str(c.text) for c in chunks)
        return super().generate(request, on_step)


class _Stumbling(Scripted):
    def _stream(self, *args: Any, **kwargs: Any) -> Any:
        yield from super()._stream(*args, **kwargs)
        raise TimeoutError("half a stream")
