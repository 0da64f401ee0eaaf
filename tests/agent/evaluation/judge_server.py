"""What the tests of judges share: runs on disk, and a judge behind OpenAI's protocol on loopback.

The server is a thread of the test, so that a test says what is replied and sees what was asked.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from limner.agent.answer import Answer, Part, Picture, Retrieved, Text
from limner.agent.evaluation.questions import Question
from limner.agent.evaluation.rows import Row
from limner.agent.evaluation.runs import Manifest, Run, SetRecord
from limner.agent.journal import Journal
from limner.index.passage import Passage
from limner.tests.conftest import painted
from limner.tools.media import MediaStore

FULLY = json.dumps({"reason": "all there", "verdict": "fully"})
MARKS = json.dumps({"reason": "fits", "coherence": 10, "helpfulness": 5, "reference": 0})
A, B, TIE = (json.dumps({"reason": "so", "better": letter}) for letter in ("A", "B", "tie"))


def picture(folder: Path, words: str, caption: str = "") -> Picture:
    """A picture that lies in a folder."""
    reference = MediaStore(folder).put(painted(words))
    return Picture(reference, caption or words, words, Retrieved(Passage("p", words, "a.md")))


def said(*parts: str | Part, folder: Path | str = "") -> Answer:
    """An answer of texts and pictures."""
    made = tuple(Text(part) if isinstance(part, str) else part for part in parts)
    return Answer(made, folder=str(folder))


def made_run(folder: Path, answers: Mapping[Question, Answer | None]) -> Run:
    """A run on disk."""
    digests = tuple(question.digest for question in answers)
    manifest = Manifest("run", (SetRecord("set", "0", len(answers)),), digests, "letters")
    folder.mkdir(parents=True, exist_ok=True)
    manifest.write(folder)
    journal = Journal(folder / "rows.jsonl")
    for question, answer in answers.items():
        row = Row(question, answer=answer, error="" if answer else "it failed")
        journal.append({"row": row.to_dict()})
    return Run.open(folder)


def asked_of(body: Mapping[str, Any]) -> tuple[str, str]:
    """What a request tells the judge to do, and the material, without pictures."""
    system, human = body["messages"][:2]
    blocks = [block.get("text", "") for block in human["content"]]
    return str(system["content"]), "\n".join(blocks)


Reply = str | int
"""Words, or the status of a refusal."""


@dataclass
class Server:
    """A judge on loopback.

    Attributes:
        reply: what a request is answered with.
        bodies: every request so far.
        address: up to ``/v1``.
    """

    reply: Callable[[dict[str, Any]], Reply]
    bodies: list[dict[str, Any]] = field(default_factory=list)
    address: str = ""


@contextmanager
def judging(reply: Callable[[dict[str, Any]], Reply]) -> Iterator[Server]:
    """A server that is there for as long as this is open."""
    server = Server(reply)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.answer(200, {"object": "list", "data": [{"id": "letters"}]})

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            server.bodies.append(body)
            words = server.reply(body)
            if isinstance(words, int):
                return self.answer(words, {"error": {"message": "response_format is not known"}})
            if body.get("stream"):
                return self.stream(words)
            message = {"role": "assistant", "content": words}
            choice = {"index": 0, "message": message, "finish_reason": "stop"}
            self.answer(200, {"id": "1", "model": "letters", "choices": [choice]})

        def stream(self, words: str) -> None:
            head = {"id": "1", "object": "chat.completion.chunk", "model": "letters"}
            choices: Sequence[dict[str, Any]] = (
                {"index": 0, "delta": {"content": words}, "finish_reason": None},
                {"index": 0, "delta": {}, "finish_reason": "stop"},
            )
            events = [f"data: {json.dumps(head | {'choices': [one]})}\n\n" for one in choices]
            self.send("text/event-stream", "".join([*events, "data: [DONE]\n\n"]).encode())

        def answer(self, status: int, content: object) -> None:
            self.send("application/json", json.dumps(content).encode(), status)

        def send(self, kind: str, data: bytes, status: int = 200) -> None:
            with suppress(OSError):  # a client that was killed
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

        def log_message(self, *_: object) -> None: ...

    class Listening(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None: ...

    listening = Listening(("127.0.0.1", 0), Handler)
    server.address = f"http://127.0.0.1:{listening.server_address[1]}/v1"
    threading.Thread(target=listening.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield server
    finally:
        listening.shutdown()
        listening.server_close()


def lines(path: Path) -> list[dict[str, Any]]:
    """What a journal holds."""
    return list(Journal(path))
