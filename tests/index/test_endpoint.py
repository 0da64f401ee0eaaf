"""Against a real server in a process of its own: see embedding_server.py for its modes."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from limner.errors import DeveloperError, LimnerError, ModelError, ModelMissing, ModelOutputError
from limner.index.embeddings import Embeddings
from limner.index.endpoint import EndpointEmbeddings
from limner.prompts import prompt
from limner.tests.index.embedding_server import DIMENSIONS, LIMIT, vector

SERVER = Path(__file__).with_name("embedding_server.py")
TEXTS = [f"text number {n} {'abcdefgh'[n % 8] * n}" for n in range(100)]
Serve = Callable[..., str]


@pytest.fixture(autouse=True)
def no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LIMNER_EMBEDDING_KEY", raising=False)


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Starts a server and gives its address."""
    running: list[subprocess.Popen[str]] = []

    def begin(mode: str = "good", port: int = 0) -> str:
        command = [sys.executable, str(SERVER), mode, str(port)]
        running.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
        said = running[-1].stdout.readline()  # type: ignore[union-attr]
        return f"http://127.0.0.1:{int(said)}/v1"

    begin.running = running  # type: ignore[attr-defined]
    yield begin
    for process in running:
        process.kill()
        process.communicate()


def model(address: str, **options: object) -> EndpointEmbeddings:
    return EndpointEmbeddings(address, **{"backoff": 0.001, **options})  # type: ignore[arg-type]


def stats(address: str) -> dict:
    with urllib.request.urlopen(address.removesuffix("/v1") + "/stats") as response:
        return json.load(response)


def expected(texts: list[str], dimensions: int = DIMENSIONS) -> np.ndarray:
    rows = np.stack([vector(text, dimensions) for text in texts])
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_the_contract(serve: Serve) -> None:
    embeddings = model(serve())
    assert isinstance(embeddings, Embeddings)
    texts = ["high water", "", "the keeper " * 20, "\ud800 lone", "zwölf 水"]
    for encode in (embeddings.encode_query, embeddings.encode_document):
        vectors = encode(texts)
        assert vectors.shape == (5, DIMENSIONS) and vectors.dtype == np.float32
        assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
        assert encode([]).shape == (0, DIMENSIONS)
    assert embeddings.name == "letters" and embeddings.max_tokens == 512
    assert embeddings.count_tokens([]) == [] and embeddings.count_tokens([""]) == [0]


@pytest.mark.parametrize(
    "mode",
    ["good", "slow", "shuffled", "floats", "no-base64", "unnumbered", "no-models", "small-batches",
     "busy-once", "overloaded", "reset", "slow+shuffled+floats"],
)  # fmt: skip
def test_every_order_and_form_gives_the_same_vectors(serve: Serve, mode: str) -> None:
    address = serve(mode)
    vectors = model(f"{address}#letters").encode_document(TEXTS)
    assert np.allclose(vectors, expected(TEXTS), atol=1e-6)
    assert stats(address)["largest"] <= 64


def test_requests_in_flight_are_bounded_and_used(serve: Serve) -> None:
    """Each request waits until four are there, so four are; and never more."""
    address = serve("gather")
    texts = [f"text {n}" for n in range(32 * 12)]
    vectors = model(f"{address}?dimensions=8#letters", concurrency=4).encode_document(texts)
    assert np.allclose(vectors, expected(texts), atol=1e-6)
    assert stats(address)["most_in_flight"] == 4
    with pytest.raises(DeveloperError):
        model(address, concurrency=9)


def test_a_server_that_restarts_in_the_middle(serve: Serve) -> None:
    address = serve("dies")
    port = int(address.split(":")[2].removesuffix("/v1"))
    first = serve.running[0]  # type: ignore[attr-defined]

    def restart() -> None:
        first.wait()
        serve("good", port)

    other = threading.Thread(target=restart)
    other.start()
    texts = TEXTS * 5
    vectors = model(f"{address}#letters", backoff=0.3).encode_document(texts)
    other.join()
    assert np.allclose(vectors, expected(texts), atol=1e-6)


def test_a_server_that_stays_away(serve: Serve) -> None:
    with pytest.raises(ModelMissing, match="no embedding server answers") as caught:
        model(f"{serve('dies')}#letters", attempts=3).encode_document(TEXTS * 5)
    assert "curl" in caught.value.hint


def test_a_server_that_is_down() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{unused.getsockname()[1]}/v1"
    for use in ("name", "dimensions", "max_tokens", "recipe"):
        with pytest.raises(ModelMissing, match=f"{address}: no embedding server answers") as caught:
            getattr(model(address), use)
        assert caught.value.hint.startswith("start it")
    assert model(f"{address}#m").name == "m"  # a library can be opened while the server is down


@pytest.mark.parametrize(
    ("mode", "kind", "words"),
    [
        ("nan", ModelOutputError, "NaN"),
        ("nan+floats", ModelOutputError, "NaN"),
        ("infinite", ModelOutputError, "NaN, infinite"),
        ("zero", ModelOutputError, "zero"),
        ("few", ModelOutputError, "31 vectors for 32 texts|0 vectors for 1"),
        ("twice", ModelOutputError, "not numbered"),
        ("words", ModelOutputError, "neither numbers nor base64|not numbered"),
        ("nested", ModelOutputError, "neither numbers"),
        ("late-dimension", ModelOutputError, "length 7 where 8"),
        ("not-json", ModelOutputError, "not JSON"),
        ("other-json", ModelOutputError, "no list of vectors"),
        ("busy", ModelError, "still busy after 3 attempts"),
        ("breaks", ModelError, "500: .*CUDA"),
        ("redirects", ModelError, "307"),
        ("key", ModelError, "401"),
        ("unknown", ModelMissing, "404.*no such model"),
        ("never", ModelError, "413"),
    ],
)
def test_a_server_that_misbehaves(serve: Serve, mode: str, kind: type, words: str) -> None:
    with pytest.raises(kind, match=words) as caught:
        model(f"{serve(mode)}#letters", attempts=3).encode_document(TEXTS)
    assert caught.value.hint and str(caught.value).isprintable()


def test_a_server_that_hangs(serve: Serve) -> None:
    address = serve("hang")
    with pytest.raises(ModelError, match=r"no answer within 0.5 seconds"):
        model(f"{address}#letters", timeout=0.5).encode_document(["one"])
    assert stats(address)["requests"] == 1


def test_dimensions_in_the_address(serve: Serve) -> None:
    address = serve("matryoshka")
    for form in (f"{address}?dimensions=5#letters", f"{address}#letters?dimensions=5"):
        short = model(form)
        assert short.dimensions == 5 and short.name == "letters?dimensions=5"
        assert np.allclose(short.encode_document(TEXTS), expected(TEXTS, 5), atol=1e-6)
    full = model(f"{address}#letters")
    assert full.name == "letters" and full.recipe != short.recipe
    with pytest.raises(ModelOutputError, match="length 8 where 5 is expected") as caught:
        model(f"{serve()}?dimensions=5").encode_document(["one"])
    assert "dimensions" in caught.value.hint


def test_which_model(serve: Serve) -> None:
    two = serve("two")
    with pytest.raises(ModelMissing, match="letters, others") as caught:
        model(two).encode_document(["one"])
    assert caught.value.hint == f"name one: {two}#letters"
    model(f"{two}#others").encode_document(["one"])
    assert {call["body"]["model"] for call in stats(two)["calls"]} == {"others"}
    with pytest.raises(ModelMissing, match="lists none"):
        _ = model(serve("no-models")).name


def test_what_servers_say_of_themselves(serve: Serve) -> None:
    vllm, tei, plain = (model(serve(mode)) for mode in ("vllm", "tei", "good"))
    assert (vllm.max_tokens, tei.max_tokens, plain.max_tokens) == (1024, 300, 512)
    assert tei.name == "tei-model"
    assert "/models/letters" in vllm.recipe and '"abc"' in tei.recipe


def test_the_instruction_of_a_question(serve: Serve) -> None:
    address = serve()
    model(f"{address}#Qwen/Qwen3-Embedding-0.6B").encode_query(["why"])
    model(f"{address}#Qwen/Qwen3-Embedding-0.6B").encode_document(["because"])
    model(f"{address}#bge-m3").encode_query(["why"])
    model(f"{address}#bge-m3", query_prompt="query: ").encode_query(["why"])
    sent = [call["body"]["input"][0] for call in stats(address)["calls"]]
    asked = [text for text in sent if text != "length"]
    assert asked == [
        prompt("embedding_query", task=prompt("embedding_task"), query="why"),
        "because",
        "why",
        "query: why",
    ]


def test_a_text_that_is_too_long_is_halved(serve: Serve) -> None:
    long = "the tide comes in at noon " * 30
    assert len(long) > 3 * LIMIT
    texts = [*TEXTS, long, "aaaa"]
    vectors = model(serve("short")).encode_document(texts)
    assert np.allclose(vectors[:100], expected(TEXTS), atol=1e-6)
    assert np.allclose(vectors[101], expected(["aaaa"])[0], atol=1e-6)
    assert vectors[100] @ expected([long])[0] > 0.99
    assert np.isclose(np.linalg.norm(vectors[100]), 1)


def test_the_key_is_sent_and_never_shown(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    address = serve("key")
    monkeypatch.setenv("OPENAI_API_KEY", "sesame")  # is not for whoever the user names
    with pytest.raises(ModelError, match=r"401|403"):
        model(address).encode_document(["one"])
    monkeypatch.setenv("LIMNER_EMBEDDING_KEY", "wrong-secret")
    with pytest.raises(ModelError) as caught:
        model(address).encode_document(["one"])
    assert "wrong-secret" not in f"{caught.value} {caught.value.hint} {caught.value.__context__}"
    assert "LIMNER_EMBEDDING_KEY" in caught.value.hint
    monkeypatch.setenv("LIMNER_EMBEDDING_KEY", "sesame")
    assert model(address).encode_document(["one"]).shape == (1, DIMENSIONS)
    monkeypatch.setenv("LIMNER_EMBEDDING_KEY", "se\ncret")
    with pytest.raises(ModelError, match="characters") as caught:
        model(address)
    assert "cret" not in str(caught.value)


def test_proxies_are_not_used(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("http_proxy", "HTTP_PROXY", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(variable, "http://127.0.0.1:9")
    assert model(serve() + "#letters").encode_document(["one"]).shape == (1, DIMENSIONS)


@pytest.mark.parametrize(
    "address",
    ["", "localhost:8000", "file:///etc/passwd", "http://", "http://h:port/v1", "http://[::1/v1",
     "http://h/v1?dimensions=", "http://h/v1?dimensions=-1", "http://h/v1?pooling=cls#m",
     "http://user:hunter2@h/v1#m"],
)  # fmt: skip
def test_addresses_that_are_none(address: str) -> None:
    with pytest.raises(LimnerError) as caught:
        model(address)
    assert caught.value.hint and "hunter2" not in str(caught.value)


def test_the_estimate_is_seldom_too_low() -> None:
    from limner.index.embeddings import embedded

    texts = [
        "High water at the harbour is at noon on Friday; low water follows six hours later.",
        "def count_tokens(self, texts: Sequence[str]) -> list[int]: return [len(t) for t in texts]",
        "Die Donaudampfschifffahrtsgesellschaft fährt übermorgen um 17:45 Uhr ab.",
        "aGVsbG8gd29ybGQgdGhpcyBpcyBiYXNlNjQgdGV4dA== 9f86d081884c7d659a2feaa0c55ad015",
        "潮位在星期五中午最高。", "Прилив в полдень в пятницу, отлив через шесть часов.",
    ]  # fmt: skip
    guess = EndpointEmbeddings("http://127.0.0.1:9/v1#m").count_tokens(texts)
    real = embedded().count_tokens(texts)
    assert all(g >= 0.9 * r for g, r in zip(guess, real, strict=True)), (guess, real)
    assert guess[0] <= 2 * real[0]
