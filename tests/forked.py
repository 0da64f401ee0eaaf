"""The command line in processes of their own that need not import everything anew.

One warm process has imported what every command imports, and forks for each call: what a command
reads (arguments, folder, environment, standard input) and what it leaves (two streams, an exit
code) are as from a shell. What importing costs or reads is another matter: `test_cli` starts some
commands cold.
"""

from __future__ import annotations

import atexit
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path

__all__ = ["limner"]

_SERVER = """
import json, os, signal, sys
replies = os.fdopen(os.dup(1), "w")
import faiss, langgraph.graph, sentence_transformers, torch, transformers
import limner.agent.agent, limner.agent.asking, limner.agent.cli, limner.agent.graph
import limner.agent.render, limner.index.library, limner.index.ingest

def run(call):
    os.setsid()
    for number, flags in ((0, os.O_RDONLY), (1, os.O_WRONLY), (2, os.O_WRONLY)):
        handle = os.open(call["streams"][number], flags)
        os.dup2(handle, number)
        os.close(handle)
    os.chdir(call["cwd"])
    os.environ.clear()
    os.environ.update(call["env"])
    sys.argv = ["limner", *call["arguments"]]
    code = 0
    try:
        limner.agent.cli.main()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        import traceback
        traceback.print_exc()
        code = 1
    import atexit
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)

for line in sys.stdin:
    child = os.fork()
    if not child:
        try:
            run(json.loads(line))
        finally:
            os._exit(70)
    print(child, file=replies, flush=True)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    print(code, file=replies, flush=True)
"""


@cache
def _server(pid: int) -> subprocess.Popen[str]:
    """The warm process of this one; it ends with it."""
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    server = subprocess.Popen([sys.executable, "-c", _SERVER], stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE, text=True, env=environment)  # fmt: skip
    atexit.register(server.kill)
    return server


def limner(
    *arguments: str | Path,
    cwd: Path,
    env: Mapping[str, str] | None = None,
    typed: str = "",
    timeout: float = 180,
) -> subprocess.CompletedProcess[str]:
    """Run ``limner ARGUMENTS``.

    Args:
        arguments: of the command line.
        cwd: folder that it runs in.
        env: variables on top of this process's.
        typed: standard input.
        timeout: seconds, after which it is killed.

    Raises:
        AssertionError: it was killed.
    """
    server = _server(os.getpid())
    assert server.stdin and server.stdout
    with tempfile.TemporaryDirectory() as folder:
        streams = [f"{folder}/{name}" for name in ("stdin", "stdout", "stderr")]
        for stream, text in zip(streams, (typed, "", ""), strict=True):
            Path(stream).write_text(text, encoding="utf-8")
        call = {
            "arguments": [str(argument) for argument in arguments],
            "cwd": str(cwd),
            "env": {**os.environ, "HF_HUB_OFFLINE": "1", **(env or {})},
            "streams": streams,
        }
        server.stdin.write(json.dumps(call) + "\n")
        server.stdin.flush()
        child = int(server.stdout.readline())
        previous = signal.signal(signal.SIGALRM, lambda *_: os.killpg(child, signal.SIGKILL))
        signal.setitimer(signal.ITIMER_REAL, timeout)
        try:
            code = int(server.stdout.readline())
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, previous)
        said = (Path(stream).read_text(encoding="utf-8") for stream in streams[1:])
        run = subprocess.CompletedProcess(call["arguments"], code, *said)
    assert code != -signal.SIGKILL, f"killed: {arguments}\n{run.stderr}"
    return run
