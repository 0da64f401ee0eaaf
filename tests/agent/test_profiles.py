"""Which chat model a profile and the names beside it come to."""

from __future__ import annotations

import itertools
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import astuple
from typing import Any

import pytest

from limner.agent.agent import Agent
from limner.agent.conversation import Conversation
from limner.agent.events import AnswerReady, Failed, ToolCalled
from limner.agent.profiles import (
    PROFILES,
    Choice,
    chat_model_of,
    checker_of,
    image_model_of,
    label_of,
)
from limner.errors import DeveloperError, ModelError, ModelMissing
from limner.index.embeddings import HashEmbeddings
from limner.index.library import Library
from limner.tests.tools.chat_server import HALF, REPLY, Serve, nowhere, serving, stats
from limner.tools.chat_models.extractive import Extractive
from limner.tools.chat_models.scripted import Scripted
from limner.tools.image_models.fake import HashPainter
from limner.tools.pocket_checker import PocketChecker

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
        (None, None, None, "embedded"),
        (None, None, URL, "server"),
        ("embedded", None, "", "embedded"),
        (None, "Qwen/Qwen2-VL-7B-Instruct", None, "local"),
        ("embedded", "Qwen/Qwen2-VL-7B-Instruct", None, "local"),
        ("server", "a-name-there", URL, "server"),
        ("local", "embedded", None, "embedded"),
        ("server", "embedded", None, "embedded"),
    ],
)
def test_what_it_comes_to(
    profile: str | None, chat_model: str | None, endpoint: str | None, comes_to: str
) -> None:
    assert Choice(profile, chat_model, endpoint).amounts_to() == PROFILES[comes_to]


@pytest.mark.parametrize(
    ("profile", "chat_model"), [("embedded", None), ("local", None), ("server", "embedded")]
)
def test_an_endpoint_beside_what_answers_here_is_a_contradiction(
    library: Library, profile: str, chat_model: str | None
) -> None:
    for make in (
        lambda: Choice(profile, chat_model, URL).amounts_to(),
        lambda: Choice().completed(Choice(profile, chat_model, URL)),  # two variables
        lambda: Agent(library, profile, chat_model=chat_model, endpoint=URL),
        lambda: Conversation(library, profile, chat_model=chat_model, endpoint=URL),
    ):
        with pytest.raises(DeveloperError, match="contradict") as caught:
            make()
        assert "LIMNER_ENDPOINT" in caught.value.hint


SAID = [
    Choice(*named)
    for named in itertools.product(
        (None, "embedded", "local", "server"), (None, "embedded", "a/model"), (None, "", URL)
    )
]


@pytest.mark.parametrize("said", SAID, ids=str)
def test_no_variable_goes_against_what_is_said(said: Choice) -> None:
    """Whatever is set for always, a profile or an endpoint that is named now is what counts."""
    try:
        meant = said.amounts_to().name
    except DeveloperError:
        meant = "nothing"
    for variables in SAID:
        try:
            whole = said.completed(variables)
        except DeveloperError:  # a contradiction within what is said, or between variables
            assert meant == "nothing" or said.profile is None
            continue
        assert all(v in (None, w) for v, w in zip(astuple(said), astuple(whole), strict=True))
        if said.profile or said.endpoint or said.chat_model == "embedded":
            assert whole.amounts_to().name == meant
        if said.endpoint == "" or (said.profile, said.chat_model) == ("embedded", None):
            assert not whole.endpoint


def test_variables_fill_what_is_left_open() -> None:
    both = Choice(None, "others", URL)
    assert Choice().completed(both) == both
    assert Choice("server").completed(both) == Choice("server", "others", URL)
    assert Choice("embedded").completed(both) == Choice("embedded")
    assert Choice(None, "embedded").completed(both) == Choice(None, "embedded")
    assert Choice(endpoint=URL).completed(Choice("embedded", "embedded")) == Choice(endpoint=URL)


def test_a_variable_that_names_no_profile_is_an_error() -> None:
    for said in (Choice(), Choice(endpoint=URL), Choice(chat_model="embedded")):
        with pytest.raises(DeveloperError, match="no profile 'bogus'"):
            said.completed(Choice("bogus"))
    assert Choice("embedded").completed(Choice("bogus")) == Choice("embedded")


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
    encoder = HashEmbeddings()
    assert label_of(chat_model_of(Choice(), encoder)) == "embedded"
    assert isinstance(chat_model_of(Choice("local", "embedded"), encoder), Extractive)
    chat_model_of(Choice("local"), encoder)
    chat_model_of(Choice("embedded", "some/folder"), encoder)
    assert loaded == ["Qwen/Qwen2-VL-2B-Instruct", "some/folder"]
    address = serve()
    first = chat_model_of(Choice(endpoint=address), encoder)
    assert first.invoke(QUESTION).text == REPLY and label_of(first) == f"letters at {address}"
    chat_model_of(Choice("server", "others", address), encoder).invoke(QUESTION)
    assert [c["body"]["model"] for c in stats(address)["calls"]] == ["letters", "others"]


@pytest.mark.parametrize(
    ("profile", "named", "drawing"),
    [
        ("embedded", None, "pocket-sdxl"), ("embedded", "none", ""), ("embedded", "DIR", "DIR"),
        ("embedded", " NONE", ""), ("embedded", "", "pocket-sdxl"), ("local", " ", ""),
        ("local", None, ""), ("server", None, ""), ("server", "pocket-sdxl", "pocket-sdxl"),
    ],
)  # fmt: skip
def test_what_draws(profile: str, named: str | None, drawing: str) -> None:
    assert image_model_of(PROFILES[profile], named) == drawing


def test_a_chat_model_of_your_own_draws_with_nothing_unless_told(library: Library) -> None:
    with Agent(library, chat_model=Scripted(replies=["So."])) as agent:
        assert agent._work.image_model is None
    with Agent(library, chat_model="embedded") as agent:
        assert agent._work.image_model is not None
        assert agent._work.image_model.name == "pocket-sdxl"
    with Agent(library, image_model="none") as agent:
        assert agent._work.image_model is None


@pytest.mark.parametrize(
    ("profile", "named", "looks"),
    [
        ("embedded", None, True), ("embedded", "pocket-sdxl", True), ("embedded", "", True),
        ("embedded", "DIR", False), ("embedded", "none", False), ("embedded", HashPainter(), False),
        ("local", None, False), ("server", "pocket-sdxl", False),
    ],
)  # fmt: skip
def test_the_small_eye_looks_at_what_its_own_image_model_draws(
    profile: str, named: str | HashPainter | None, looks: bool
) -> None:
    checker = checker_of(PROFILES[profile], named)
    assert isinstance(checker, PocketChecker) is looks


def test_an_agent_has_its_profiles_eye_or_the_one_that_was_given(library: Library) -> None:
    class Blind:
        def shows(self, picture: object, words: str) -> None:
            return None

    given = Blind()
    with Agent(library) as own, Agent(library, picture_checker=given) as other:
        assert isinstance(own._work.picture_checker, PocketChecker)
        assert other._work.picture_checker is given
    with Agent(library, image_model=HashPainter()) as foreign:
        assert foreign._work.picture_checker is None


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
        assert agent.profile.name == "server" and agent.model == f"letters at {address}"
        answer = agent.ask(QUESTION)
    assert answer.text == REPLY and answer.citations == (1,)
    assert (answer.usage.input_tokens, answer.usage.image_tokens) == (1400, 1334)


def test_a_model_on_a_server_searches_further(library: Library, serve: Serve) -> None:
    address = serve("searches")
    with Agent(library, endpoint=address, session="s") as agent:
        events = list(agent.stream(QUESTION))
    (called,) = [event for event in events if isinstance(event, ToolCalled)]
    assert (called.name, called.arguments) == ("search_library", {"query": "the lighthouse"})
    last = events[-1]
    assert isinstance(last, AnswerReady) and last.answer.text == REPLY
    bodies = [call["body"] for call in stats(address)["calls"] if "tools" in call["body"]]
    first, second = bodies
    assert [t["function"]["name"] for t in first["tools"]] == ["search_library", "zoom"]
    assert first["stream"] and second["messages"][-1]["role"] == "tool"
    assert "The lighthouse was built in 1871" in second["messages"][-1]["content"]


def test_a_server_without_tools_answers_too(library: Library, serve: Serve) -> None:
    address = serve("no-tools")
    with Agent(library, endpoint=address) as agent:
        assert agent.ask(QUESTION).text == agent.ask(QUESTION).text == REPLY
    assert sum("tools" in call["body"] for call in stats(address)["calls"]) == 1


def test_a_server_s_limit_of_tokens_is_told(library: Library, serve: Serve) -> None:
    with Agent(library, endpoint=serve("limit")) as agent:
        *_, last = agent.stream(QUESTION)
    assert isinstance(last, Failed) and last.partial.partial and last.partial.text == REPLY
    assert "letters at http" in str(last.error) and "limit of tokens" in str(last.error)


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
    talk = Conversation(library, None, "s", endpoint=serve("half-once"))
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
