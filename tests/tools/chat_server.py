"""A small chat server for the tests: ``python chat_server.py MODE``.

Prints its port, speaks OpenAI's protocol, and has the faults that real servers have. ``GET
/stats`` tells what it was sent. A mode is a set of words joined by ``+``, see `Handler`; a word
that ends in ``-once`` holds for the first question only.
"""

from __future__ import annotations

import json
import socket
import struct
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

MODES = set(sys.argv[1].split("+")) if len(sys.argv) > 1 else set()
REPLY = "The lighthouse was built in 1871. [1]"
HALF = REPLY[: len(REPLY) // 2]
MARKED = "The button is called Save. [a1]\n\n[[mark a1: Save]]\n"
LOCK = threading.Lock()
STATS = {"requests": 0, "closed": 0, "calls": []}
USAGE = {"prompt_tokens": 1400, "completion_tokens": 9, "total_tokens": 1409}
REFUSALS = {
    "key": (401, {"error": {"message": "bad key {key}"}}),
    "forbidden": (403, {"error": {"message": "not for you"}}),
    "unknown": (404, {"error": {"message": "The model `letters` does not exist."}}),
    "pinned": (400, {"detail": "the model is unknown here"}),
    "long": (400, {"error": {"message": "maximum context length is 2048 tokens, got 5000"}}),
    "blind": (400, {"error": {"message": "letters is not a multimodal model"}}),
    "busy": (429, {"error": {"message": "rate limit"}}),
    "breaks": (500, {"error": "CUDA \x1b[31mfault\x1b[0m"}),
    "nested": (422, {"detail": {"error": {"message": "body messages \\x1b[1;31mfault"}}}),
    "gateway": (502, b"<html>bad gateway</html>"),
    "loading": (503, {"error": {"message": "Loading model"}}),
    "redirects": (307, {}),
    "teapot": (418, b"short and stout"),
}
TOOLLESS = {
    "no-tools": (400, {"error": {"message": "letters does not support tools"}}),
    "no-auto": (400, {"message": '"auto" tool choice requires --enable-auto-tool-choice'}),
    "no-use": (404, {"error": {"message": "No endpoints found that support tool use"}}),
    "no-field": (422, {"detail": [{"loc": ["body", "tools"], "msg": "Extra inputs"}]}),
    "no-jinja": (500, {"error": {"message": "tools param requires --jinja flag"}}),
    "no-functions": (501, {"error": {"message": "function calling is not implemented"}}),
}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.path == "/stats":
            self.answer(200, STATS)
        elif self.path != "/v1/models" or "no-models" in MODES:
            self.answer(404, {"error": "no such path"})
        elif "key" in MODES and not self.knows_the_key():
            self.answer(401, {"error": f"not {self.headers.get('authorization')}"})
        elif "models-down" in MODES:
            self.answer(503, REFUSALS["breaks"][1])
        elif "models-hang" in MODES:
            time.sleep(600)
        elif "models-odd" in MODES:
            self.answer(200, b"<html>hello</html>")
        else:
            names = [] if "none" in MODES else ["letters", "others"]
            self.answer(200, {"object": "list", "data": [{"id": name} for name in names]})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        with LOCK:
            STATS["requests"] += 1
            number = STATS["requests"]
            STATS["calls"].append({"body": body, "headers": dict(self.headers)})
        modes = {m.removesuffix("-once") for m in MODES if number == 1 or not m.endswith("-once")}
        refused = next((REFUSALS[mode] for mode in sorted(modes & set(REFUSALS))), None)
        if "key" in modes and self.knows_the_key():
            refused = None
        if "old" in modes and "stream_options" in body:
            refused = (400, {"error": {"message": "unexpected field stream_options"}})
        if "tools" in body:
            refused = next((TOOLLESS[mode] for mode in modes & set(TOOLLESS)), refused)
        if "blind-pictures" in modes and "image_url" in json.dumps(body):
            refused = REFUSALS["blind"]
        if refused:
            status, said = refused
            if status == 401:
                said = {"error": {"message": f"bad key {self.headers.get('authorization')}"}}
            wait = next((m.partition("=")[2] for m in modes if m.startswith("wait=")), "0")
            place = {"Location": "http://127.0.0.1:9/v1"} if status == 307 else {}
            self.answer(status, said, {"Retry-After": wait.replace("_", " "), **place})
        elif "hang" in modes:
            time.sleep(600)
        elif "vanishes" in modes:
            self.reset()
        elif not body.get("stream"):
            self.whole(body)
        else:
            self.streamed(body, modes)

    def knows_the_key(self) -> bool:
        return self.headers.get("authorization") == "Bearer sesame"

    def whole(self, body: dict) -> None:
        words = json.dumps({"year": 1871}) if "response_format" in body else REPLY
        message = {"role": "assistant", "content": words}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        self.answer(200, {"id": "1", "model": "letters", "choices": [choice], "usage": USAGE})

    def streamed(self, body: dict, modes: set[str]) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html" if "html" in modes else "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        if "html" in modes:
            self.piece(b"<html>hello</html>")
        else:
            self.events(body, modes)
        self.wfile.write(b"0\r\n\r\n")

    def events(self, body: dict, modes: set[str]) -> None:
        self.delta({"role": "assistant", "content": ""})
        if "mute" in modes:
            time.sleep(600)
        while "pings" in modes:
            self.piece(b": still here\n\n")
            time.sleep(0.05)
        called = any(message["role"] == "tool" for message in body["messages"])
        if body.get("tools") and ("tools" in modes or ("searches" in modes and not called)):
            self.call_tool(body, modes)
            return self.end("tool_calls", body, modes)
        if "empty" in modes or "spent" in modes:
            return self.end("length" if "spent" in modes else "stop", body, modes)
        while "endless" in modes:
            self.delta({"content": "more and more "})
            time.sleep(0.002)
        self.say(body, modes)

    def say(self, body: dict, modes: set[str]) -> None:
        reply = MARKED if "mark" in modes else REPLY
        if "response_format" in body:
            reply = json.dumps({"year": 1871})
        middle = 0 if "whole" in modes else len(reply) // 2
        for word in (reply[:middle], reply[middle:]):
            self.delta({"content": word})
            if modes & {"half", "clean-half", "stalls", "oops", "latin", "odd", "error"}:
                return self.go_wrong(modes)
        self.end("length" if "limit" in modes else "stop", body, modes)

    def go_wrong(self, modes: set[str]) -> None:
        """After half of the words."""
        if "half" in modes:
            self.reset()
        elif "stalls" in modes:
            time.sleep(600)
        elif "oops" in modes:
            self.piece(b'data: {"choices": [{"delta": {"content": \n\n')
        elif "latin" in modes:
            self.piece('data: {"choices": [{"delta": {"content": "Fähre"}}]}\n\n'.encode("cp1252"))
        elif "odd" in modes:
            self.piece(b'data: {"choices": [7]}\n\n')
        elif "error" in modes:
            self.piece(b'data: {"error": {"message": "CUDA out of memory"}}\n\n')

    def call_tool(self, body: dict, modes: set[str]) -> None:
        name = body["tools"][0]["function"]["name"]
        pieces = ['{"year"', ": 1871}"] if "tools" in modes else ['{"query": "the li', 'ghthouse"}']
        for n, piece in enumerate(pieces):
            call = {"index": 0, "function": {"arguments": piece}}
            if n == 0:
                call |= {"id": "call-1", "type": "function"}
                call["function"]["name"] = name  # type: ignore[index]
            self.delta({"tool_calls": [call]})

    def end(self, reason: str, body: dict, modes: set[str]) -> None:
        counts = USAGE | {"prompt_tokens_details": {"image_tokens": 1334}}
        running = {"usage": counts} if "running" in modes else {}
        self.event({"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]} | running)
        if body.get("stream_options", {}).get("include_usage"):
            self.event({"choices": [], "usage": counts})
        self.piece(b"data: [DONE]\n\n")

    def delta(self, delta: dict) -> None:
        self.event({"choices": [{"index": 0, "delta": delta, "finish_reason": None}]})

    def event(self, event: dict) -> None:
        event = {"id": "1", "object": "chat.completion.chunk", "model": "letters"} | event
        self.piece(b"data: " + json.dumps(event).encode() + b"\n\n")

    def piece(self, data: bytes) -> None:
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()

    def reset(self) -> None:
        """Close so that the client sees a reset, not an end."""
        linger = struct.pack("ii", 1, 0)
        time.sleep(0.05)  # let the client read what was sent before
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.connection.shutdown(socket.SHUT_RDWR)
        self.connection.close()
        self.close_connection = True
        raise ConnectionResetError

    def answer(self, status: int, content: object, headers: dict | None = None) -> None:
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in {**(headers or {}), "Content-Length": str(len(data))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def handle(self) -> None:
        try:
            super().handle()
        except (OSError, ValueError):  # reset by us, or by a client that went away
            self.close_connection = True
            STATS["closed"] += 1  # type: ignore[operator]

    def finish(self) -> None:
        with suppress(OSError, ValueError):
            super().finish()

    def log_message(self, *_: object) -> None: ...


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64


# ── for the tests ────────────────────────────────────────────────────────────────────────────

Serve = Callable[..., str]


@contextmanager
def serving() -> Iterator[Serve]:
    """A function that starts a server in a process of its own and gives its address."""
    running: list[subprocess.Popen[str]] = []

    def begin(mode: str = "good") -> str:
        command = [sys.executable, str(Path(__file__)), mode]
        running.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
        said = running[-1].stdout.readline()  # type: ignore[union-attr]
        return f"http://127.0.0.1:{int(said)}/v1"

    try:
        yield begin
    finally:
        for process in running:
            process.kill()
            process.communicate()


def stats(address: str) -> dict:
    """What a server was asked."""
    with urllib.request.urlopen(address.removesuffix("/v1") + "/stats") as response:
        return json.load(response)


def nowhere() -> str:
    """An address at which nothing listens."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{unused.getsockname()[1]}/v1"


if __name__ == "__main__":
    server = Server(("127.0.0.1", 0), Handler)
    print(server.server_address[1], flush=True)
    server.serve_forever()
