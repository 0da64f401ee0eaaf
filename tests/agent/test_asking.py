"""Small questions to a chat model that reads, and what becomes of its odd answers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from PIL import Image

from limner.agent.agent import Agent
from limner.agent.answer import Retrieved
from limner.errors import ModelError
from limner.index.library import Library


class Reader(BaseChatModel):
    """Answers each prompt by the first of its words that is known; drafts otherwise."""

    answers: dict[str, Any]
    draft: str = "High water is at noon. [1]"
    asked: list[str]

    @property
    def _llm_type(self) -> str:
        return "reader"

    def _generate(self, messages: list[BaseMessage], *_: Any, **__: Any) -> ChatResult:
        text = str(messages[-1].text)
        self.asked.append(text)
        reply = next((said for words, said in self.answers.items() if words in text), self.draft)
        if isinstance(reply, Exception):
            raise reply
        return ChatResult(generations=[ChatGeneration(message=AIMessage(str(reply)))])


def why(library: Library, reader: Reader) -> list[tuple[str, ...]]:
    """The queries of the searches of a conversation of two questions."""
    searched: list[tuple[str, ...]] = []
    search = library.search

    def watched(queries: Any, **options: Any) -> Any:
        searched.append(tuple(queries))
        return search(queries, **options)

    library.search = watched  # type: ignore[method-assign]
    with Agent(library, chat_model=reader, session="s") as agent:
        agent.ask("When is high water at the harbour?")
        agent.ask("And who keeps it?")
    return searched


def test_a_follow_up_is_searched_for_as_it_is_meant(library: Library) -> None:
    meant = "Who keeps the lighthouse of the harbour?"
    reader = Reader(answers={"Next question: And who keeps it?": f" “{meant}” "}, asked=[])
    first, second, *_ = why(library, reader)
    assert meant not in first
    assert second[0] == meant and len(second) > 1
    (wording,) = [text for text in reader.asked if "Next question" in text]
    assert "When is high water at the harbour?" in wording and "High water is at noon" in wording


@pytest.mark.parametrize("said", ["", "x" * 400, "one\ntwo"])
def test_odd_wordings_are_left_out(library: Library, said: Any) -> None:
    reader = Reader(answers={"Next question": said}, asked=[])
    _, second, *_ = why(library, reader)
    assert "And who keeps it?" in second[0]


@pytest.mark.parametrize(("said", "kept"), [("Yes.", 1), ("no", 0), ("perhaps", 0)])
def test_a_picture_is_looked_at(
    library: Library, number_of: Callable[[str, str], int], said: str, kept: int
) -> None:
    question = "What of the lighthouse?"
    n = number_of(question, "drawing of the lighthouse")
    reader = Reader(
        answers={"Does this picture show": said},
        draft=f"It stands there. [{n}]\n[[show {n}: something with quite other words]]",
        asked=[],
    )
    answer = Agent(library, chat_model=reader).ask(question)
    assert len(answer.pictures) == kept
    assert all(isinstance(p.origin, Retrieved) for p in answer.pictures)
    assert any("quite other words" in text for text in reader.asked)


@pytest.mark.parametrize(("said", "abstained"), [("No.", True), ("yes", False), ("hm", False)])
def test_whether_passages_answer_is_asked(library: Library, said: str, abstained: bool) -> None:
    """The vectors of these tests have no threshold that was fitted."""
    reader = Reader(answers={"Do these passages hold": said}, asked=[])
    answer = Agent(library, chat_model=reader).ask("When is high water?")
    assert answer.abstained == abstained
    assert "High water at the harbour" in reader.asked[0]


def test_what_a_photograph_shows_is_the_models_to_say(tmp_path: Path) -> None:
    """With the shipped embedding model, whose threshold knows texts alone."""
    Image.new("RGB", (300, 200), "teal").save(tmp_path / "photo.png")
    with Library.open(tmp_path / "library") as library:
        reader = Reader(answers={}, draft="A plain teal surface. [a1]", asked=[])
        answer = Agent(library, chat_model=reader).ask("What is this?", [tmp_path / "photo.png"])
    assert not answer.abstained and answer.text == "A plain teal surface. [1]"


def test_a_model_that_fails_ends_the_turn(library: Library) -> None:
    reader = Reader(answers={"Next question": ValueError("no")}, asked=[])
    with Agent(library, chat_model=reader, session="s") as agent:
        agent.ask("When is high water at the harbour?")
        with pytest.raises(ModelError, match="ValueError: no"):
            agent.ask("And who keeps it?")
