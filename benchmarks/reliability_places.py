"""Row 18: the command line in strange places. Documented behaviour is a message, never a traceback.

A folder that may only be read and a home that cannot be written are tried as another user, which
needs root; no network is a network namespace of its own, or proxies that lead nowhere.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

__all__ = ["strange"]

_NOBODY = 65534
_LOCALES = ({"LC_ALL": "C"}, {"LC_ALL": "POSIX"}, {"LC_ALL": "en_US.ISO-8859-1"}, {})
_COMMANDS = (
    ("add", ["add", "{docs}"]),
    ("ls", ["ls"]),
    ("search", ["search", "high water"]),
    ("search --json", ["search", "--json", "high water"]),
    ("sync", ["sync"]),
    ("rm", ["rm", "plain.txt"]),
)


def strange(folder: Path) -> dict[str, Any]:
    """Run every command everywhere and count how each ended."""
    folder = folder.resolve()
    folder.chmod(0o755)
    docs = _documents(folder / "docs")
    runs: list[dict[str, Any]] = []
    for number, locale in enumerate(_LOCALES):
        for flag in ({}, {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}):
            name = f"locale {locale.get('LC_ALL', 'unset')}{' forced' if flag else ''}"
            library = folder / f"locale{number}{len(flag)}"
            runs += _all(name, library, docs, locale | flag)
    runs += _all("no network", folder / "offline", docs, _offline(), isolated=True)
    if os.getuid() == 0:
        runs += _as_nobody(folder, docs)
    bad = [run for run in runs if run["traceback"] or run["code"] not in run["wanted"]]
    return {
        "commands": len(runs),
        "tracebacks": sum(run["traceback"] for run in runs),
        "unexpected exit codes": sum(run["code"] not in run["wanted"] for run in runs),
        "places": sorted({run["place"] for run in runs}),
        "examples": [f"{r['place']}, {r['name']}: {r['code']} {r['words'][-300:]}" for r in bad][
            :8
        ],
        "as nobody": {
            f"{run['place']}, {run['name']}": run["words"][-160:].strip()
            for run in runs
            if run["code"] and run not in bad
        },
    }


def _documents(folder: Path) -> Path:
    folder.mkdir()
    (folder / "plain.txt").write_text("High water is at noon.\n")
    (folder / "größe €.md").write_text("# Größe\n\nDie Flut kommt um zwölf. 水は高い。\n")
    latin = folder / os.fsdecode(b"caf\xe9.txt")
    latin.write_bytes("Un café au port.\n".encode("latin-1"))
    return folder


def _offline() -> dict[str, str]:
    """No proxy to be reached, and no permission to look for one."""
    nowhere = "http://127.0.0.1:9"
    return {"http_proxy": nowhere, "https_proxy": nowhere, "HF_HUB_OFFLINE": "0"}


def _as_nobody(folder: Path, docs: Path) -> list[dict[str, Any]]:
    """Another user: a library of root's, a closed one, and a home that cannot be written."""
    _all("root", folder / "readable", docs, {}, only=("add",))
    shutil.copytree(folder / "readable", folder / "closed")
    (folder / "closed").chmod(0o700)
    (folder / "own").mkdir()
    os.chown(folder / "own", _NOBODY, _NOBODY)
    home = {"HOME": "/proc/nowhere", "XDG_CACHE_HOME": "/proc/nowhere", "LIMNER_CACHE": ""}
    refused = {"add": (1,), "sync": (1,), "rm": (1,)}
    closed = {name: (2,) for name, _ in _COMMANDS}  # the parser of the command line says so
    new = ("add",)
    return [
        *_all(
            "a library that may only be read", folder / "readable", docs, {}, refused, user=_NOBODY
        ),
        *_all("a library that may not be read", folder / "closed", docs, {}, closed, user=_NOBODY),
        *_all("a folder that may not be written", folder / "new", docs, {}, refused, new, _NOBODY),
        *_all("a home that cannot be written", folder / "own" / "x", docs, home, user=_NOBODY),
    ]


def _all(
    place: str,
    library: Path,
    docs: Path,
    environment: dict[str, str],
    wanted: dict[str, Sequence[int]] | None = None,
    only: Sequence[str] = (),
    user: int = 0,
    isolated: bool = False,
) -> list[dict[str, Any]]:
    runs = []
    for name, words in _COMMANDS:
        if only and name not in only:
            continue
        command = [word.replace("{docs}", str(docs)) for word in words]
        done = _run([*command, "--library", str(library)], environment, user, isolated)
        said = (done.stdout + done.stderr).decode("utf-8", "replace")
        runs.append(
            {
                "place": place,
                "name": name,
                "code": done.returncode,
                "wanted": (wanted or {}).get(name, (0,)),
                "traceback": "Traceback" in said,
                "words": said.replace(str(library.parent), ""),
            }
        )
    return runs


def _run(
    words: list[str], environment: dict[str, str], user: int, isolated: bool
) -> subprocess.CompletedProcess[bytes]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("LC_", "LANG", "LD_"))}
    command = [sys.executable, __file__, json.dumps({"user": user, "words": words})]
    if isolated and shutil.which("unshare") and os.getuid() == 0:
        command = ["unshare", "--net", *command]
    return subprocess.run(
        command, env=kept | environment, capture_output=True, timeout=120, cwd="/"
    )


def _main(user: int, words: list[str]) -> None:
    """The command line with hashed words for vectors, as another user where asked."""
    from limner.agent import cli, terminal  # noqa: F401
    from limner.index import library
    from limner.index.embeddings import HashEmbeddings

    if user:
        sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "index"))
        import child  # Python's own folder may be closed to the user that this process becomes

        tempfile.tempdir = "/tmp"
        child.import_everything()
        library.Reader = child.InProcess  # type: ignore[misc,assignment]
        _rehearse(cli.main, words)
        os.setgroups([])
        os.setgid(user)
        os.setuid(user)
    library.find_embeddings = lambda name: HashEmbeddings()  # type: ignore[assignment]
    sys.argv = ["limner", *words]
    cli.main()


def _rehearse(main: Callable[[], None], words: list[str]) -> None:
    """Import whatever the command line imports on its way, with another library."""
    from limner.index import library
    from limner.index.embeddings import HashEmbeddings

    library.find_embeddings = lambda name: HashEmbeddings()  # type: ignore[assignment]
    with tempfile.TemporaryDirectory() as name, Path(os.devnull).open("w") as quiet:
        docs = _documents(Path(name) / "docs")
        for _, command in _COMMANDS:
            some = [word.replace("{docs}", str(docs)) for word in command]
            sys.argv = ["limner", *some, "--library", f"{name}/library"]
            out, err = contextlib.redirect_stdout(quiet), contextlib.redirect_stderr(quiet)
            with out, err, contextlib.suppress(SystemExit):
                main()


if __name__ == "__main__":
    asked = json.loads(sys.argv[1])
    _main(asked["user"], asked["words"])
