"""Against the server that comes with transformers, and a model made from its configuration."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from limner.errors import LimnerError
from limner.tools.chat_models.server import connect, models_of


@pytest.fixture(scope="module")
def transformers_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The server that comes with transformers, and a Qwen3 of random weights in its cache."""
    from limner.tests.tiny_models import qwen3_reranker

    place = tmp_path_factory.mktemp("serve")
    made, commit = qwen3_reranker(place / "made"), "0123456789" * 4
    kept = place / "hub" / "models--tiny--qwen3"
    shutil.copytree(made, kept / "snapshots" / commit)
    (kept / "refs").mkdir()
    (kept / "refs" / "main").write_text(commit)
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    command = [Path(sys.executable).with_name("transformers"), "serve", "--host", "127.0.0.1"]
    environment = {**os.environ, "HF_HUB_CACHE": str(place / "hub"), "HF_HUB_OFFLINE": "1"}
    with (place / "log").open("w") as log:
        server = subprocess.Popen(
            [*map(str, command), "--port", str(port), "--device", "cpu"],
            env=environment,
            stdout=log,
            stderr=log,
        )
    try:
        for _ in range(600):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/health").close()
                break
            except OSError:
                assert server.poll() is None, (place / "log").read_text()
                time.sleep(0.1)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        server.kill()
        server.wait()


@pytest.mark.slow
def test_the_server_of_transformers(transformers_server: str) -> None:
    """A real path: its list, its stream, its counts, and what it says of a model it has not."""
    assert models_of(transformers_server) == ["tiny/qwen3"]
    chat = connect(transformers_server)
    chunks = list(chat.bind(max_tokens=24, temperature=1.0).stream("When is high water?"))
    whole = sum(chunks[1:], chunks[0])
    assert whole.text and sum(bool(c.text) for c in chunks) > 1
    assert whole.usage_metadata is not None
    assert whole.usage_metadata["input_tokens"] > 5 and whole.usage_metadata["output_tokens"] == 24
    assert whole.response_metadata["finish_reason"] == "length"
    with pytest.raises(LimnerError, match="500") as caught:
        connect(transformers_server, "no/such", attempts=1).invoke("When?")
    assert caught.value.hint
