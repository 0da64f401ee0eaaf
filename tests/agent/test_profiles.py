"""Which chat model a profile and the names beside it come to."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from limner.agent.agent import Agent
from limner.agent.conversation import Conversation
from limner.agent.events import AnswerReady, Failed
from limner.agent.profiles import PROFILES, amounts_to, chat_model_of, profile_of
from limner.errors import DeveloperError, ModelError, ModelMissing
from limner.index.embeddings import HashEmbeddings
from limner.index.library import Library
from limner.tests.tools.chat_server import HALF, REPLY, Serve, nowhere, serving, stats
from limner.tools.chat_models.extractive import Extractive
from limner.tools.chat_models.scripted import Scripted

URL = "http://127.0.0.1:9/v1"
QUESTION = "When was the lighthouse built?"


@pytest.fixture
def serve() -> Iterator[Serve]:
    with serving() as begin:
        yield begin


@pytest.mark.parametrize(
    ("profile", "chat_model", "endpoint", "comes_to"),
    [
        ("embedded", None, None, "embedded"),
        ("local", None, None, "local"),
        ("server", None, URL, "server"),
        ("server", None, None, "server"),
        ("embedded", None, URL, "server"),
        ("local", None, URL, "server"),
        ("embedded", "Qwen/Qwen2-VL-7B-Instruct", None, "local"),
        ("server", "a-name-there", URL, "server"),
        ("local", "embedded", None, "embedded"),
        ("server", "embedded", URL, "embedded"),
    ],
)
def test_what_it_comes_to(
    profile: str, chat_model: str | None, endpoint: str | None, comes_to: str
) -> None:
    assert amounts_to(profile_of(profile), chat_model, endpoint) == PROFILES[comes_to]


def test_profiles_are_light() -> None:
    code = "import sys, limner.agent.profiles; print('langchain_core' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"


def test_the_models(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    from limner.tools.chat_models import qwen2_vl

    loaded: list[str] = []

    def load(name: str) -> Any:
        loaded.append(name)
        return Scripted(replies=[""])

    monkeypatch.setattr(qwen2_vl.Qwen2VL, "load", load)
    encoder, embedded, local = HashEmbeddings(), PROFILES["embedded"], PROFILES["local"]
    assert isinstance(chat_model_of(embedded, encoder), Extractive)
    assert isinstance(chat_model_of(local, encoder, "embedded", URL), Extractive)
    chat_model_of(local, encoder)
    chat_model_of(embedded, encoder, "some/folder")
    assert loaded == ["Qwen/Qwen2-VL-2B-Instruct", "some/folder"]
    address = serve()
    assert chat_model_of(embedded, encoder, None, address).invoke(QUESTION).text == REPLY
    chat_model_of(PROFILES["server"], encoder, "others", address).invoke(QUESTION)
    assert [c["body"]["model"] for c in stats(address)["calls"]] == ["letters", "others"]


def test_what_is_missing_is_named(library: Library) -> None:
    with pytest.raises(DeveloperError, match="'cloud'") as caught:
        Agent(library, "cloud")
    assert caught.value.hint == "one of: embedded, local, server"
    with pytest.raises(DeveloperError, match="needs the address") as caught:
        Agent(library, "server")
    assert "--endpoint" in caught.value.hint and "LIMNER_ENDPOINT" in caught.value.hint
    with pytest.raises(ModelMissing, match="no chat server answers"):
        Agent(library, endpoint=nowhere())
    with pytest.raises(ModelMissing):
        Agent(library, chat_model="no/such/folder")


def test_an_agent_on_a_server(library: Library, serve: Serve) -> None:
    address = serve()
    with Agent(library, endpoint=address) as agent:
        assert agent.profile.name == "server"
        answer = agent.ask(QUESTION)
    assert answer.text == REPLY and answer.citations == (1,)
    assert (answer.usage.input_tokens, answer.usage.image_tokens) == (1400, 1334)


def test_what_had_come_is_told(
    library: Library, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("limner.agent.steps.answers", lambda *_: None)  # only the draft breaks off
    with Agent(library, endpoint=serve("half")) as agent:
        *_, last = agent.stream(QUESTION)
        assert isinstance(last, Failed) and isinstance(last.error, ModelError)
        assert last.partial.partial and last.partial.text == HALF.strip()
        with pytest.raises(ModelError, match="the connection broke"):
            agent.ask(QUESTION)


def test_a_conversation_changes_its_profile_and_back(library: Library, serve: Serve) -> None:
    talk = Conversation(library, "embedded", "s", endpoint=serve("half-once"))
    try:
        assert talk.profile == "server"
        assert isinstance(talk.ask(QUESTION, lambda event: None), Failed)
        last = talk.ask(QUESTION, lambda event: None)
        assert isinstance(last, AnswerReady) and last.answer.text == REPLY
        talk.use_profile("embedded")
        last = talk.ask(QUESTION, lambda event: None)
        assert isinstance(last, AnswerReady) and last.answer.usage.input_tokens != 1400
        talk.use_profile("server")
        last = talk.ask(QUESTION, lambda event: None)
        assert isinstance(last, AnswerReady) and last.answer.usage.input_tokens == 1400
        with pytest.raises(DeveloperError):
            talk.use_profile("cloud")
        assert talk.profile == "server"
    finally:
        talk.close()
    with pytest.raises(DeveloperError):
        Conversation(library, "cloud")
