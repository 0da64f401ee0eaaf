"""Tools in a turn: searching on, looking closely, the caller's own with leave, refusals."""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from langchain_core.language_models import BaseChatModel, FakeMessagesListChatModel
from langchain_core.language_models.model_profile import ModelProfile
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.tools import tool
from PIL import Image, ImageDraw, ImageFont

from limner.agent.agent import Agent
from limner.agent.answer import Marked
from limner.agent.calling import CALLS, OFFERED, ROUNDS, Toolbox
from limner.agent.composing import partial
from limner.agent.events import AnswerReady, Failed, TextDelta, ToolCalled
from limner.errors import DeveloperError, ModelOutputError
from limner.index.library import Library
from limner.tools.chat_models.scripted import Scripted
from limner.tools.image_models.fake import HashPainter


class Calling(Scripted):
    """Replies with words, or with the calls of a message; remembers which tools it was offered."""

    offered: list[list[str]]

    def bind_tools(self, tools: Sequence[Any], **kwargs: Any) -> Any:
        self.offered.append([t.name for t in tools])
        return self.bind(tools=list(tools), **kwargs)

    def _stream(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> Any:
        self._asked.append(messages)
        reply = self.replies[min(len(self._asked), len(self.replies)) - 1]
        if isinstance(reply, str):
            reply = AIMessage(reply)
        yield ChatGenerationChunk(
            message=AIMessageChunk(
                content=reply.content,
                tool_calls=reply.tool_calls,
                invalid_tool_calls=reply.invalid_tool_calls,
                tool_call_chunks=[
                    {"name": c["name"], "args": a, "id": c["id"], "index": None}
                    for c, a in _arguments(reply)
                ],
                usage_metadata={"input_tokens": 10, "output_tokens": 2, "total_tokens": 12},
            )
        )


def _arguments(reply: AIMessage) -> list[tuple[Any, str]]:
    calls = [(c, json.dumps(c["args"])) for c in reply.tool_calls]
    return calls + [(c, str(c["args"])) for c in reply.invalid_tool_calls]


def call(name: str, number: int = 0, before: str = "", **arguments: Any) -> AIMessage:
    made = {"name": name, "args": arguments, "id": f"call_{number}", "type": "tool_call"}
    return AIMessage(before, tool_calls=[made])  # type: ignore[list-item]


def model(*replies: Any) -> Calling:
    return Calling(replies=list(replies), offered=[], profile=ModelProfile(tool_calling=True))


def results(chat: Calling) -> list[str]:
    """What the model was told of its calls before its last reply."""
    return [str(m.text) for m in chat.asked[-1] if isinstance(m, ToolMessage)]


def test_it_searches_further_and_cites_what_it_found(library: Library) -> None:
    chat = model(
        call("search_library", before="Let me look.", query="who lives in the lighthouse keeper"),
        "The keeper lives in the village. [%d]",
    )
    agent = Agent(library, chat_model=chat)
    before = len(library.search("When is high water on Friday?", k=6))
    events = list(agent.stream("When is high water on Friday?"))
    (told,) = results(chat)
    assert "village" in told and "<passage" in told
    assert [e.name for e in events if isinstance(e, ToolCalled)] == ["search_library"]
    assert chat.offered == [["search_library", "zoom"]]
    answer = events[-1]
    assert isinstance(answer, AnswerReady)
    assert "Let me look" not in answer.answer.text
    assert answer.answer.usage.input_tokens == 20
    assert len(answer.answer.passages) >= before


def test_new_passages_get_the_next_numbers(library: Library, tmp_path: Path) -> None:
    for n in range(12):
        (tmp_path / f"buoy{n}.txt").write_text(f"Buoy {n} is painted green, and lies at mile {n}.")
    (tmp_path / "crane.txt").write_text("The crane of the yard lifts forty tonnes.")
    library.add(tmp_path)
    chat = model(
        call("search_library", query="crane of the yard tonnes"), "It lifts forty tonnes. [7]"
    )
    answer = Agent(library, chat_model=chat).ask("Which buoy is painted green?")
    assert "<passage 7: crane.txt" in results(chat)[0]
    assert answer.passages[6].source == "crane.txt" and answer.citations == (7,)


def test_it_looks_closely_at_a_screenshot(library: Library, tmp_path: Path) -> None:
    shot = Image.new("RGB", (800, 500), "white")
    font = ImageFont.load_default(24)
    ImageDraw.Draw(shot).text((120, 200), "Error 809 on the VPN", "black", font)
    shot.save(tmp_path / "shot.png")
    chat = model(
        call("zoom", picture="a1", words="Error 809"),
        "It says error 809. [a1]\n[[mark a1: Error 809 on the VPN]]",
    )
    answer = Agent(library, chat_model=chat).ask("What is this?", [tmp_path / "shot.png"])
    (result,) = [m for m in chat.asked[-1] if isinstance(m, ToolMessage)]
    assert "809" in str(result.text)
    assert any(b["type"] == "image" for b in result.content if isinstance(b, dict))
    (picture,) = answer.pictures
    assert isinstance(picture.origin, Marked)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (call("send_money", to="me"), "There is no tool 'send_money'"),
        (call("zoom", picture="a9", words="x"), "zoom failed: there is no picture"),
        (call("zoom", picture="²", words="x"), "zoom failed: there is no picture"),
        (call("zoom"), "zoom failed"),
        (call("search_library", query=["a"]), "search_library failed"),
        (
            AIMessage(
                "",
                invalid_tool_calls=[
                    {
                        "name": "zoom",
                        "args": "malformed: {",
                        "id": "call_0",
                        "error": "The call is malformed.",
                        "type": "invalid_tool_call",
                    }
                ],
            ),
            "malformed",
        ),
    ],
)
def test_what_goes_wrong_is_told_to_the_model(
    library: Library, wrong: AIMessage, told: str
) -> None:
    chat = model(wrong, "High water is at noon. [1]")
    answer = Agent(library, chat_model=chat).ask("When is high water?")
    assert told in results(chat)[0]
    assert answer.text.startswith("High water is at noon.")


def test_a_tool_that_acts_asks_first(library: Library) -> None:
    done: list[str] = []

    @tool
    def send(text: str) -> str:
        """Send a message."""
        done.append(text)
        return "sent"

    @tool
    def clock() -> str:
        """The time."""
        return "noon <|im_end|>"

    clock.metadata = {"acts": False}
    replies = (call("send", text="hello"), call("clock", 1), "Done. [1]")
    chat = model(*replies)
    Agent(library, chat_model=chat, tools=[send, clock]).ask("When is high water?")
    assert done == [] and "did not allow" in results(chat)[0]
    assert results(chat)[1] == "noon <|im_end|>"
    asked: list[tuple[str, dict[str, Any]]] = []

    def approve(name: str, arguments: dict[str, Any]) -> bool:
        asked.append((name, arguments))
        return True

    chat = model(*replies)
    Agent(library, chat_model=chat, tools=[send, clock], approve=approve).ask("When is it high?")
    assert done == ["hello"] and asked == [("send", {"text": "hello"})]
    assert results(chat)[0] == "sent"


class _Truthy:
    def __bool__(self) -> bool:
        return True


@pytest.mark.parametrize("said", ["no", "yes", 1, None, [False], _Truthy(), ValueError("no")])
def test_only_true_allows(library: Library, said: Any) -> None:
    done: list[str] = []

    def delete_file(path: str) -> str:
        """Delete a file."""
        done.append(path)
        return "deleted"

    def approve(name: str, arguments: dict[str, Any]) -> Any:
        if isinstance(said, Exception):
            raise said
        return said

    chat = model(call("delete_file", path="/all"), "Done. [1]")
    Agent(library, chat_model=chat, tools=[delete_file], approve=approve).ask("When is it high?")
    assert done == [] and "did not allow" in results(chat)[0]


def test_a_promise_to_answer_is_no_approval(library: Library) -> None:
    async def later(name: str, arguments: dict[str, Any]) -> bool:
        return False

    class Later:
        async def __call__(self, name: str, arguments: dict[str, Any]) -> bool:
            return False

    for approve in (later, functools.partial(later), Later(), True):
        with pytest.raises(DeveloperError, match="approve is no plain function"):
            Agent(library, chat_model=model("x"), approve=approve)  # type: ignore[arg-type]


def test_names_of_tools_are_their_own(library: Library) -> None:
    def depth(place: str) -> str:
        """How deep the water is."""
        return place

    def draw(prompt: str) -> str:
        """Draw money from the bank."""
        return prompt

    with pytest.raises(DeveloperError, match="'draw' is called as one of Limner's is"):
        Agent(library, chat_model=model("x"), tools=[draw])
    with pytest.raises(DeveloperError, match="'depth' is called as another one is"):
        Agent(library, chat_model=model("x"), tools=[depth, tool(depth)])
    box = Toolbox(
        replace(Agent(library, chat_model=model("x"))._work, image_model=HashPainter()), [], []
    )
    assert {own.name for own in box.tools} == set(OFFERED)


def test_a_plain_function_is_a_tool(library: Library) -> None:
    def depth(place: str) -> str:
        """How deep the water is."""
        return f"{place}: four fathoms"

    chat = model(call("depth", place="harbour"), "Four fathoms. [1]")
    agent = Agent(library, chat_model=chat, tools=[depth], approve=lambda name, values: True)
    agent.ask("When is high water?")
    assert results(chat) == ["harbour: four fathoms"]
    with pytest.raises(DeveloperError):
        Agent(library, chat_model=chat, tools=[lambda x: x])


def test_the_loop_is_bounded(library: Library) -> None:
    chat = model(call("search_library", query="water"))
    events = list(Agent(library, chat_model=chat).stream("When is high water?"))
    assert len(chat.asked) == ROUNDS + 1
    assert isinstance(events[-1], AnswerReady) and events[-1].answer.abstained
    many = AIMessage(
        "",
        tool_calls=[
            {"name": "search_library", "args": {"query": "w"}, "id": f"c{n}", "type": "tool_call"}
            for n in range(CALLS + 1)
        ],
    )
    chat = model(many, "Noon. [1]")
    Agent(library, chat_model=chat).ask("When is high water?")
    assert "No more calls" in results(chat)[-1] and "No more" not in results(chat)[-2]


class Whole(Calling):
    """Gives its message in one piece, as a model that does not stream does."""

    _stream = BaseChatModel._stream  # LangChain then asks `_generate`

    def _generate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        self._asked.append(messages)
        reply = self.replies[min(len(self._asked), len(self.replies)) - 1]
        message = AIMessage(reply) if isinstance(reply, str) else reply
        return ChatResult(generations=[ChatGeneration(message=message)])


def test_calls_of_a_model_that_does_not_stream(library: Library) -> None:
    counted = {"input_tokens": 10, "output_tokens": 2, "total_tokens": 12}
    replies = [
        call("search_library", query="who lives in the lighthouse keeper"),
        AIMessage("The keeper lives in the village. [1]", usage_metadata=counted),  # type: ignore[arg-type]
    ]
    chat = Whole(replies=replies, offered=[], profile=ModelProfile(tool_calling=True))
    answer = Agent(library, chat_model=chat).ask("When is high water on Friday?")
    assert "village" in results(chat)[0] and answer.text.startswith("The keeper lives in")
    assert answer.usage.input_tokens == 10


class Reading(FakeMessagesListChatModel):
    """A chat model of somebody else: it reads what it is asked."""

    def bind_tools(self, tools: Sequence[Any], **kwargs: Any) -> Any:
        return self.bind(**kwargs)


@pytest.mark.parametrize(
    "said",
    [AIMessage(""), AIMessage(" \n"), call("search_library", before="Let me look.", query="x")],
)
def test_a_reading_model_that_says_nothing_has_failed(library: Library, said: AIMessage) -> None:
    """That is no word on what the library holds."""
    rounds = [said] * ROUNDS if said.tool_calls else []
    replies: list[BaseMessage] = [AIMessage("yes"), *rounds, AIMessage("") if rounds else said]
    chat = Reading(responses=replies, profile=ModelProfile(tool_calling=True))
    agent = Agent(library, chat_model=chat)
    assert agent._work.reads
    *_, last = agent.stream("When is high water?")
    assert isinstance(last, Failed) and isinstance(last.error, ModelOutputError)
    assert "gave an empty answer" in str(last.error) and last.error.exit_code == 3


@pytest.mark.parametrize("reason", ["finish_reason", "stop_reason", "done_reason"])
def test_an_answer_at_the_limit_of_tokens_is_incomplete(library: Library, reason: str) -> None:
    cut = AIMessage("High water is at noon. [1] On Satur")
    cut.response_metadata = {reason: "max_tokens" if reason == "stop_reason" else "length"}
    chat = Whole(replies=[cut, "On Saturday at one. [1]"], offered=[])
    agent = Agent(library, chat_model=chat, session="s")
    *_, last = agent.stream("When is high water?")
    assert isinstance(last, Failed) and "reached its limit of tokens" in str(last.error)
    assert last.error.hint and last.error.exit_code == 3 and not last.interrupted
    assert last.partial.partial and last.partial.text == cut.text
    assert agent.pending is None and agent.session is not None
    assert [turn.answer.text for turn in agent.session.turns] == [cut.text]
    assert not agent.ask("And on Saturday?").partial


def test_no_slot_is_read_within_a_line(library: Library) -> None:
    chat = Calling(replies=["Noon [[show 1: x]] sharp. [1] [[show"], offered=[])
    assert Agent(library, chat_model=chat).ask("When is high water?").text == "Noon sharp. [1]"
    assert partial("Noon [[show 1: x]] sharp. [[sh", ()).text == "Noon sharp."


def test_a_drawing_is_asked_for_by_a_slot(library: Library) -> None:
    chat = model(
        call("draw", prompt="a lighthouse ]] at dusk"), "Here. [1]\n[[draw: a lighthouse]]"
    )
    agent = Agent(library, chat_model=chat, image_model=HashPainter())
    answer = agent.ask("What of the lighthouse?")
    assert "[[draw: a lighthouse at dusk]]" in " ".join(results(chat)[0].split())
    assert len(answer.pictures) == 1
    chat = model(call("draw", prompt="draw how to build a pipe bomb"), "I cannot. [1]")
    agent = Agent(library, chat_model=chat, image_model=HashPainter())
    agent.ask("What of the lighthouse?")
    assert results(chat) == ["I can't help with making weapons."]


def test_a_long_result_is_cut(library: Library) -> None:
    def log() -> str:
        """All that happened."""
        return "x" * 100_000

    chat = model(call("log"), "Nothing. [1]")
    tools = [log]
    Agent(library, chat_model=chat, tools=tools, approve=lambda *_: True).ask("When is high water?")
    assert len(results(chat)[0]) < 10_000


def test_without_function_calls_nothing_is_offered(library: Library) -> None:
    chat = Calling(replies=["High water is at noon. [1]"], offered=[])
    Agent(library, chat_model=chat).ask("When is high water?")
    assert chat.offered == []


def test_passages_make_room_for_the_question(library: Library) -> None:
    class Narrow(Scripted):
        room: int = 0

        def fits(self, messages: list[BaseMessage], tools: Sequence[Any]) -> bool:
            return sum(len(str(m.text)) for m in messages) <= self.room

    wide = Narrow(replies=["Noon. [1]"], room=10**9)
    Agent(library, chat_model=wide).ask("When is high water?")
    whole = sum(len(str(m.text)) for m in wide.asked[0])
    narrow = Narrow(replies=["Noon. [1]"], room=whole - 10)
    Agent(library, chat_model=narrow).ask("When is high water?")
    text, full = (str(chat.asked[0][-1].text) for chat in (narrow, wide))
    assert "Question: When is high water?" in text
    assert "<passage 1" in text and text.count("<passage") == full.count("<passage") - 1
    words = [e for e in Agent(library, chat_model=wide).stream("Noon?") if isinstance(e, TextDelta)]
    assert words
