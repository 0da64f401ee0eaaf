"""What is refused of a question, and mended, before anything is loaded for it."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limner.agent.agent import Agent
from limner.agent.conversation import Conversation
from limner.agent.questions import checked_question, sendable
from limner.errors import QuestionError
from limner.index.library import Library
from limner.tests.tiny_chat_models import chat_model
from limner.tools.chat_models.scripted import Scripted


@given(st.text(st.characters() | st.characters(categories=["Cs"])))
def test_whatever_is_typed_can_be_written_down(text: str) -> None:
    sent = sendable(text)
    assert len(sent) == len(text) and sent.encode("utf-8").decode("utf-8") == sent
    assert all(a == b or "\ud800" <= a <= "\udfff" for a, b in zip(text, sent, strict=True))


def test_an_empty_question_is_refused() -> None:
    for nothing in ("", " \t\n"):
        with pytest.raises(QuestionError, match="is empty"):
            checked_question(nothing)
    with pytest.raises(QuestionError, match="32,001 characters"):
        checked_question("a" * 32_001)
    assert checked_question(" When? \n") == "When?"


def test_a_conversation_loads_no_agent_for_nothing(library: Library) -> None:
    talk = Conversation(library, chat_model="no/such/folder")
    with pytest.raises(QuestionError):
        talk.ask("  ", lambda event: None)
    talk.close()


def test_what_is_no_text_reaches_no_model(library: Library) -> None:
    asked = "When is E-26 \udcff high water?"
    model = Scripted(replies=["Noon. [1]"])
    with Agent(library, chat_model=model, session="s") as agent:
        assert agent.ask(asked).text == "Noon. [1]"
        assert agent.session is not None and "\udcff" not in agent.session.turns[0].question
    assert "Question: When is E-26 ? high water?" in str(model.asked[0][-1].text)
    talk = Conversation(library, session="t", chat_model=model)
    talk.ask(asked, lambda event: None)
    assert talk.last is not None and "\udcff" not in talk.last.question
    talk.close()


def test_a_local_model_is_asked_with_what_is_no_text(library: Library, tmp_path: Path) -> None:
    from limner.tools.chat_models.qwen2_vl import Qwen2VL

    model = Qwen2VL.load(str(chat_model(tmp_path / "model")), max_tokens=4)
    *_, last = Agent(library, chat_model=model).stream("When is high water, \udcff?")
    assert "TypeError" not in str(last)
