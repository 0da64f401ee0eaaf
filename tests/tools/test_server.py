"""Against real servers in processes of their own: see chat_server.py for its modes."""

from __future__ import annotations

import asyncio
import base64
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)
from pydantic import BaseModel

from limner.errors import DeveloperError, ModelError, ModelMissing, ModelOutputError
from limner.tests.tools.chat_server import HALF, REPLY, TOOLLESS, Serve, nowhere, serving, stats
from limner.tools.chat_models import server
from limner.tools.chat_models.server import connect, models_of

PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n not much of a picture").decode()


@pytest.fixture(autouse=True)
def no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LIMNER_CHAT_KEY", raising=False)


@pytest.fixture
def serve() -> Iterator[Serve]:
    with serving() as begin:
        yield begin


class Built(BaseModel):
    """When something was built."""

    year: int


def model(address: str, name: str = "letters", **options: Any) -> Any:
    return connect(address, name, **{"backoff": 0.001, "attempts": 3, **options})


def gathered(chunks: Iterator[AIMessageChunk]) -> AIMessageChunk:
    first, *others = chunks
    return sum(others, first)


def test_an_answer_comes_in_pieces_and_is_counted(serve: Serve) -> None:
    chunks = list(model(serve()).stream("When?"))
    assert [c.text for c in chunks if c.text] == [HALF, REPLY[len(HALF) :]]
    whole = gathered(iter(chunks))
    assert whole.usage_metadata is not None
    assert (whole.usage_metadata["input_tokens"], whole.usage_metadata["output_tokens"]) == (
        1400,
        9,
    )
    assert whole.usage_metadata["input_token_details"]["image"] == 1334
    assert whole.response_metadata["finish_reason"] == "stop"


@pytest.mark.parametrize("mode", ["good", "running", "busy-once", "breaks-once", "gateway-once",
                                  "loading-once", "old"])  # fmt: skip
def test_whatever_the_server_is_like(serve: Serve, mode: str) -> None:
    """A running count is not added up, what may help is tried again, usage can be missing."""
    address = serve(mode)
    answer = model(address).invoke("When?")
    assert answer.text == REPLY
    if mode != "old":
        assert answer.usage_metadata["input_tokens"] == 1400
    assert stats(address)["requests"] == 1 + (mode == "old" or mode.endswith("-once"))


def test_the_asynchronous_calls_are_the_same(serve: Serve) -> None:
    chat = model(serve())

    async def ask() -> tuple[str, str]:
        streamed = "".join([chunk.text async for chunk in chat.astream("When?")])
        return (await chat.ainvoke("When?")).text, streamed

    assert asyncio.run(ask()) == (REPLY, REPLY)
    with pytest.raises(ModelError, match="CUDA out of memory"):
        asyncio.run(model(serve("error")).ainvoke("When?"))


def test_what_is_sent(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """The words and the pictures, and nothing that other programs have in their variables."""
    for name in ("OPENAI_ORG_ID", "OPENAI_PROJECT_ID", "OPENAI_API_KEY", "OPENAI_ADMIN_KEY"):
        monkeypatch.setenv(name, "of-another-program")
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "X-Other: of-another-program")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    monkeypatch.setenv("OPENAI_API_BASE", "http://127.0.0.1:9/v1")
    monkeypatch.setenv("OPENAI_PROXY", "http://127.0.0.1:9")
    address = serve()
    asked = HumanMessage(
        [
            {"type": "text", "text": "A \ud800 lone one. zwölf 水"},
            {"type": "image", "base64": PNG, "mime_type": "image/png"},
        ],
        additional_kwargs={"passages": [{"text": "not twice"}], "question": "What?"},
    )
    model(address).invoke([SystemMessage("You answer."), asked])
    (call,) = stats(address)["calls"]
    assert call["body"]["messages"] == [
        {"role": "system", "content": "You answer."},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "A ? lone one. zwölf 水"},
                {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}},
            ],
        },
    ]
    assert call["body"]["model"] == "letters" and call["body"]["stream"]
    assert call["body"]["stream_options"] == {"include_usage": True}
    assert "of-another-program" not in json.dumps(call)
    assert not {name.lower() for name in call["headers"]} & {"authorization", "openai-project"}


@pytest.mark.parametrize(
    "block",
    [
        {"type": "image", "url": "http://127.0.0.1:9/pixel.png"},
        {"type": "image_url", "image_url": {"url": "file:///etc/passwd"}},
        {"type": "image_url", "image_url": "https://example.org/a.png"},
    ],
)
def test_addresses_of_pictures_are_not_passed_on(serve: Serve, block: dict[str, Any]) -> None:
    address = serve()
    with pytest.raises(DeveloperError, match="only pictures themselves"):
        model(address).invoke([HumanMessage([block])])
    assert stats(address)["requests"] == 0


def test_what_cannot_be_asked(serve: Serve) -> None:
    address = serve()
    with pytest.raises(DeveloperError, match=r"cannot be asked .TypeError.*flavour"):
        model(address).bind(flavour="sweet").invoke("When?")
    assert stats(address)["requests"] == 0


@pytest.mark.parametrize("mode", sorted(TOOLLESS))
def test_a_server_that_refuses_tools_is_asked_without(serve: Serve, mode: str) -> None:
    address = serve(mode)
    plain = model(address)
    offering = plain.bind_tools([Built])
    assert offering.invoke("When?").text == REPLY
    assert gathered(offering.stream("When?")).text == REPLY
    offered = ["tools" in call["body"] for call in stats(address)["calls"]]
    assert offered == [True, False, False]
    with pytest.raises(ModelError):  # what must be a call is not answered in words
        plain.bind_tools([Built], tool_choice="any").invoke("When?")


@pytest.mark.parametrize("mode", ["long", "nested", "breaks", "pinned"])
def test_another_refusal_is_none_of_tools(serve: Serve, mode: str) -> None:
    address = serve(mode)
    with pytest.raises(ModelError):
        model(address, attempts=1).bind_tools([Built]).invoke("When?")
    assert ["tools" in call["body"] for call in stats(address)["calls"]] == [True]


def test_pictures_of_a_call_follow_its_words(serve: Serve) -> None:
    address = serve()
    calls = [{"name": "zoom", "args": {}, "id": n, "type": "tool_call"} for n in ("a", "b")]
    words = {"type": "text", "text": "It says Save."}
    image = {"type": "image", "base64": PNG, "mime_type": "image/png"}
    asked = [
        HumanMessage("What?"),
        AIMessage("", tool_calls=calls),
        ToolMessage([words, image], tool_call_id="a"),
        ToolMessage("Nothing.", tool_call_id="b"),
    ]
    model(address).invoke(asked)
    (call,) = stats(address)["calls"]
    sent = call["body"]["messages"]
    assert [m["role"] for m in sent] == ["user", "assistant", "tool", "tool", "user"]
    assert [m["content"] for m in sent[2:4]] == ["It says Save.", "Nothing."]
    (shown,) = sent[4]["content"]
    assert shown["image_url"]["url"] == f"data:image/png;base64,{PNG}"


def test_tools_and_structured_output(serve: Serve) -> None:
    address = serve("tools")
    called = model(address).bind_tools([Built]).invoke("When?")
    assert [(c["name"], c["args"]) for c in called.tool_calls] == [("Built", {"year": 1871})]
    by_tool = model(address).with_structured_output(Built, method="function_calling")
    assert by_tool.invoke("When?") == Built(year=1871)
    by_schema = model(address).with_structured_output(Built)
    assert by_schema.invoke("When?") == Built(year=1871) == list(by_schema.stream("When?"))[-1]
    assert stats(address)["calls"][-1]["body"]["response_format"]["type"] == "json_schema"
    with pytest.raises(ModelError, match="CUDA"):
        model(serve("breaks")).with_structured_output(Built).invoke("When?")


@pytest.mark.parametrize(
    ("mode", "kind", "words", "hint", "requests"),
    [
        ("key", ModelError, "wants a key .401", "LIMNER_CHAT_KEY", 1),
        ("forbidden", ModelError, "wants a key .403", "LIMNER_CHAT_KEY", 1),
        ("pinned", ModelMissing, "no model 'letters'", "is the path", 1),
        ("long", ModelError, "longer than letters reads .400", "longer context", 1),
        ("blind", ModelError, "refuses .400: letters is not a multimodal", "log", 1),
        ("busy", ModelError, "busy .429: rate limit", "ask again", 3),
        ("busy+wait=1000", ModelError, "busy", "in 1000 seconds", 1),
        ("busy+wait=Fri,_01_Jan_2100_00:00:00_GMT", ModelError, "busy", "seconds", 1),
        ("busy+wait=soon", ModelError, "busy", "in a minute", 3),
        ("breaks", ModelError, "failed .500: CUDA fault", "log", 3),
        ("nested", ModelError, "refuses .422: body messages fault", "log", 1),
        ("gateway", ModelError, "failed .502", "log", 3),
        ("loading", ModelError, "failed .503: Loading", "log", 3),
        ("redirects", ModelError, "307", "redirects are not followed", 1),
        ("teapot", ModelError, "refuses .418: short and stout", "log", 1),
        ("vanishes", ModelError, "the connection broke", "log", 1),
        ("html", ModelOutputError, "nothing of a stream", "OpenAI-compatible", 1),
        ("empty", ModelOutputError, "empty answer .stop", "other words", 1),
        ("spent", ModelOutputError, "empty answer .length", "out of tokens", 1),
    ],
)
def test_a_server_that_refuses(
    serve: Serve, mode: str, kind: type, words: str, hint: str, requests: int
) -> None:
    address = serve(mode)
    for ask in (lambda m: m.invoke("When?"), lambda m: list(m.stream("When?"))):
        before = stats(address)["requests"]
        with pytest.raises(kind, match=words) as caught:
            ask(model(address))
        assert hint in caught.value.hint and str(caught.value).isprintable()
        assert str(caught.value).startswith(address)
        assert "picture" not in f"{caught.value} {caught.value.hint}"  # none was attached
        assert stats(address)["requests"] - before == requests


def test_a_server_that_refuses_a_picture(serve: Serve) -> None:
    asked = [HumanMessage([{"type": "image", "base64": PNG, "mime_type": "image/png"}])]
    for mode, words, hint in (
        ("blind", "letters takes no such picture", "without -a"),
        ("long", "longer than letters reads", "fewer or smaller pictures"),
    ):
        with pytest.raises(ModelError, match=words) as caught:
            model(serve(mode)).invoke(asked)
        assert hint in caught.value.hint


def test_what_a_server_says_is_quoted_without_its_colours(serve: Serve) -> None:
    with pytest.raises(ModelError, match=r"503: CUDA fault\)$"):
        models_of(serve("models-down"))


@pytest.mark.parametrize(
    ("mode", "kind", "words"),
    [
        ("half", ModelError, "the connection broke"),
        ("clean-half", ModelError, "broke off .its end is missing"),
        ("stalls", ModelError, "fell silent for 0.4 seconds"),
        ("oops", ModelOutputError, "cannot be read .JSONDecodeError"),
        ("latin", ModelOutputError, "cannot be read .UnicodeDecodeError"),
        ("odd", ModelOutputError, "cannot be read"),
        ("error", ModelError, "broke off .CUDA out of memory"),
    ],
)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_what_had_come_stays_with_the_caller(
    serve: Serve, mode: str, kind: type, words: str
) -> None:
    address, came = serve(mode), ""
    with pytest.raises(kind, match=words) as caught:
        for chunk in model(address, timeout=0.4).stream("When?"):
            came += chunk.text
    assert came == HALF and caught.value.hint
    assert stats(address)["requests"] == 1  # never again once words have come


@pytest.mark.parametrize("mode", ["hang", "mute", "pings"])
def test_a_server_that_says_nothing(serve: Serve, mode: str) -> None:
    """No answer, an answer without a word, or comments that keep the connection open."""
    address = serve(mode)
    with pytest.raises(ModelError, match=r"no word of an answer within 0.6 seconds") as caught:
        model(address, timeout=0.6).invoke("When?")
    assert "longer --timeout" in caught.value.hint
    assert stats(address)["requests"] == 1


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf"), 1e9])
def test_times_that_are_none(seconds: float) -> None:
    with pytest.raises(DeveloperError, match="given up after") as caught:
        connect("http://127.0.0.1:9", "m", timeout=seconds)
    assert "86400" in caught.value.hint


def test_a_reader_may_take_its_time(serve: Serve) -> None:
    came = ""
    for chunk in model(serve(), timeout=0.2).stream("When?"):
        came += chunk.text
        time.sleep(0.5)
    assert came == REPLY


def test_an_endless_answer_ends_with_its_reader(serve: Serve) -> None:
    address = serve("endless")
    chunks = model(address).stream("When?")
    came = [next(chunks).text for _ in range(20)]
    assert any(came)
    chunks.close()
    until = time.monotonic() + 20
    while not stats(address)["closed"] and time.monotonic() < until:
        time.sleep(0.05)
    assert stats(address)["closed"] == 1


def test_a_server_that_is_down() -> None:
    address = nowhere()
    for ask in (lambda: model(address).invoke("When?"), lambda: model(address, "")):
        with pytest.raises(ModelMissing, match=f"{address}: no chat server answers") as caught:
            ask()
        assert caught.value.hint == f"start it, then try: limner doctor --endpoint {address}"


def test_a_server_that_is_only_starting(serve: Serve) -> None:
    """Refused at first; the same port answers a little later."""
    address = nowhere()
    port = int(address.split(":")[2].removesuffix("/v1"))
    code = f"import sys; sys.argv = ['', 'good']; import runpy, http.server\nPORT = {port}\n"
    source = Path(server.__file__).parents[2] / "tests" / "tools" / "chat_server.py"
    code += (
        f"exec(open({str(source)!r}).read().replace('(\"127.0.0.1\", 0)', '(\"127.0.0.1\", PORT)'))"
    )
    late = subprocess.Popen(
        [sys.executable, "-c", f"import time; time.sleep(0.5)\n{code}"], stdout=subprocess.DEVNULL
    )
    try:
        chat = connect(address, "", attempts=8, backoff=0.2)
        assert chat.invoke("When?").text == REPLY
    finally:
        late.kill()
        late.wait()


def test_which_model(serve: Serve) -> None:
    address = serve()
    assert models_of(address) == ["letters", "others"] == models_of(address.removesuffix("/v1"))
    model(address, "").invoke("When?")
    model(address, "others").invoke("When?")
    assert [c["body"]["model"] for c in stats(address)["calls"]] == ["letters", "others"]
    with pytest.raises(ModelMissing, match="lists no model") as caught:
        model(serve("none"), "")
    assert "--chat-model" in caught.value.hint
    for mode, words in (("no-models", "404"), ("models-odd", "not JSON"), ("key", "401")):
        with pytest.raises(ModelError, match=words):
            model(serve(mode), "")
    with pytest.raises(ModelError, match=r"within 0\.3 seconds"):
        models_of(serve("models-hang"), timeout=0.3)


def test_an_unknown_model_is_told_with_those_that_exist(serve: Serve) -> None:
    with pytest.raises(ModelMissing, match=r"no model 'gpt-99' here .404") as caught:
        model(serve("unknown"), "gpt-99").invoke("When?")
    assert caught.value.hint == "name one that it has, --chat-model NAME: letters, others"
    with pytest.raises(ModelMissing, match="404") as caught:
        model(serve("unknown+no-models"), "gpt-99").invoke("When?")
    assert "curl" in caught.value.hint


def test_the_key_is_sent_and_never_shown(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    address = serve("key")
    monkeypatch.setenv("LIMNER_CHAT_KEY", "wrong-secret")
    chat = model(address)
    for ask in (lambda: chat.invoke("When?"), lambda: models_of(address)):
        with pytest.raises(ModelError) as caught:
            ask()
        error = caught.value
        told = f"{error} {error.hint} {error.__context__} {error.__cause__} {chat!r} {chat}"
        assert "wrong-secret" not in told + repr(chat.model_dump()) + caplog.text
    monkeypatch.setenv("LIMNER_CHAT_KEY", "sesame")
    assert model(address).invoke("When?").text == REPLY and models_of(address)
    monkeypatch.setenv("LIMNER_CHAT_KEY", "se\ncret")
    with pytest.raises(ModelError, match="characters") as caught:
        model(address)
    assert "cret" not in str(caught.value)


def test_proxies_are_not_used(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("http_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(variable, "socks5://127.0.0.1:9")
    assert model(serve(), "").invoke("When?").text == REPLY


@pytest.mark.parametrize(
    "endpoint",
    ["", "localhost:8000", "file:///etc/passwd", "http://", "http://h:port/v1", "http://[::1/v1",
     "http://h/v1?key=1", "http://h/v1#m", "http://user:hunter2@h/v1"],
)  # fmt: skip
def test_endpoints_that_are_none(endpoint: str) -> None:
    with pytest.raises(DeveloperError) as caught:
        connect(endpoint, "m")
    assert caught.value.hint and "hunter2" not in str(caught.value)


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "find_spec", lambda name: None)
    with pytest.raises(ModelMissing, match="langchain-openai") as caught:
        connect("http://127.0.0.1:9", "m")
    assert caught.value.hint == "pip install 'limner[server]'"
    code = "import sys, limner.tools.chat_models.server; print('langchain_openai' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"
