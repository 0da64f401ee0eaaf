"""A small embedding server for the tests: ``python embedding_server.py MODE [PORT]``.

Prints its port. Vectors are counted letters, so that like texts get like vectors. ``GET /stats``
tells what it saw. A mode is a set of words joined by ``+``; see `Handler`.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import socket
import struct
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np

DIMENSIONS = 8
MODES = set(sys.argv[1].split("+")) if len(sys.argv) > 1 else set()
LIMIT = 200  # characters of a text, where texts can be too long
LOCK = threading.Lock()
GATHER = threading.Barrier(4, timeout=20)
STATS = {"requests": 0, "in_flight": 0, "most_in_flight": 0, "largest": 0, "calls": []}


def vector(text: str, dimensions: int = DIMENSIONS) -> np.ndarray:
    """Not normalised, never zero."""
    counts = np.full(dimensions, 0.25, np.float32)
    for letter in text:
        counts[ord(letter) % dimensions] += 1
    return counts


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.path == "/stats":
            self.answer(200, STATS)
        elif self.path == "/info" and "tei" in MODES:
            said = {"model_id": "tei-model", "model_sha": "abc", "max_input_length": 300}
            self.answer(200, said)
        elif self.path != "/v1/models" or MODES & {"no-models", "tei"}:
            self.answer(404, {"error": "no such path"})
        else:
            names = ["letters", "others"] if "two" in MODES else ["letters"]
            length = {"max_model_len": 1024, "root": "/models/letters"} if "vllm" in MODES else {}
            self.answer(200, {"data": [{"id": name} | length for name in names]})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        with LOCK:
            STATS["requests"] += 1
            number = STATS["requests"]
            STATS["in_flight"] += 1
            STATS["most_in_flight"] = max(STATS["most_in_flight"], STATS["in_flight"])
            STATS["largest"] = max(STATS["largest"], len(body["input"]))
            STATS["calls"].append({"body": body, "key": self.headers.get("authorization")})
        try:
            self.embed(body, number)
        finally:
            with LOCK:
                STATS["in_flight"] -= 1

    def embed(self, body: dict, number: int) -> None:
        if "hang" in MODES:
            time.sleep(600)
        if "gather" in MODES:
            GATHER.wait()
        if "slow" in MODES:
            time.sleep(0.02)
        if "dies" in MODES and number == 3:
            os._exit(1)
        if "reset" in MODES and number <= 2:
            return self.reset()
        if "busy" in MODES or ("busy-once" in MODES and number <= 2):
            return self.answer(503, {"error": "busy"}, {"Retry-After": "0"})
        if "overloaded" in MODES and number == 1:
            return self.answer(429, {"error": "rate"}, {"Retry-After": "0"})
        if "key" in MODES and self.headers.get("authorization") != "Bearer sesame":
            return self.answer(401, {"error": f"not {self.headers.get('authorization')}"})
        if "redirects" in MODES:
            return self.answer(307, {}, {"Location": "http://127.0.0.1:9/v1/embeddings"})
        if "breaks" in MODES:
            return self.answer(500, {"error": "CUDA \x1b[31mfault"})
        if "no-base64" in MODES and "encoding_format" in body:
            return self.answer(400, {"error": "unknown field encoding_format"})
        if "small-batches" in MODES and len(body["input"]) > 8:
            return self.answer(422, {"error": "batch size 32 > maximum allowed batch size 8"})
        if "short" in MODES and any(len(text) > LIMIT for text in body["input"]):
            return self.answer(400, {"error": {"message": "maximum context length is 200 tokens"}})
        if "unknown" in MODES:
            return self.answer(404, {"error": "no such model"})
        if "never" in MODES:
            return self.answer(413, {"error": "too large"})
        if "not-json" in MODES:
            return self.answer(200, b"<html>hello</html>")
        if "other-json" in MODES:
            return self.answer(200, {"vectors": []})
        self.answer(200, {"data": self.entries(body)})

    def entries(self, body: dict) -> list[dict]:
        size = body.get("dimensions", DIMENSIONS) if "matryoshka" in MODES else DIMENSIONS
        vectors = [vector(text, size) for text in body["input"]]
        if "late-dimension" in MODES and len(vectors) > 1:
            vectors = [v[:-1] for v in vectors]
        for mode, value in (("nan", np.nan), ("infinite", np.inf)):
            if mode in MODES:
                vectors[-1][0] = value
        if "zero" in MODES:
            vectors[-1][:] = 0
        if "words" in MODES:
            return [{"index": 0, "embedding": "!!!"}] * len(vectors)
        if "nested" in MODES:
            return [{"index": n, "embedding": [[1.0]]} for n in range(len(vectors))]
        plain = "floats" in MODES or body.get("encoding_format") != "base64"
        entries = [
            {"index": n, "embedding": v.tolist() if plain else base64.b64encode(v).decode()}
            for n, v in enumerate(vectors)
        ]
        if "few" in MODES:
            entries.pop()
        if "twice" in MODES:
            entries[-1]["index"] = 0
        if "unnumbered" in MODES:
            for entry in entries:
                del entry["index"]
        return entries[::-1] if "shuffled" in MODES else entries

    def reset(self) -> None:
        """Close so that the client sees a reset, not an end."""
        linger = struct.pack("ii", 1, 0)
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.connection.close()
        self.close_connection = True

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
        except (OSError, ValueError):  # reset by us, or by a client that gave up
            self.close_connection = True

    def finish(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            super().finish()

    def log_message(self, *_: object) -> None: ...


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64


if __name__ == "__main__":
    server = Server(("127.0.0.1", int(sys.argv[2]) if len(sys.argv) > 2 else 0), Handler)
    print(server.server_address[1], flush=True)
    server.serve_forever()
