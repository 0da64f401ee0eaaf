"""What a turn costs around its models: the graph, the session, and with the embedded model.

Claims: the product's graph takes at most 1.3 times a bare LangGraph graph with the same nodes,
edges, fan-out and work; a session's durable write costs at most 4 ms a turn; turn 200 takes at most
1.2 times turn 10; a turn of 1 kB is kept in at most 2 kB; and a turn with the embedded model takes,
without OCR, at most twice as long as encoding its question and candidate sentences.

    python benchmarks/turn.py [--part graph|session|growth|model|all]

Fakes for the first three: hashed words for vectors, a scripted chat model, painted hashes for
pictures. All comparisons are interleaved, in one warm process.
"""

from __future__ import annotations

import json
import sqlite3
import tempfile
import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from statistics import median
from typing import Any

from common import arguments, interleaved, limner, ratios, seconds, show, spread, spread_text, write

# isort: split
from bare_graph import bare, idle
from PIL import Image

from limner.agent.agent import Agent
from limner.agent.checkpoints import Checkpoints
from limner.agent.grading import CALIBRATIONS
from limner.agent.graph import build
from limner.agent.sessions import Sessions
from limner.agent.state import fresh
from limner.agent.workbench import Workbench
from limner.index.embeddings import HashEmbeddings
from limner.index.library import Library
from limner.tools.chat_models.scripted import Scripted
from limner.tools.image_models.fake import HashPainter
from limner.tools.media import MediaStore
from limner.tools.quoting import quotable

_EXAMPLES = Path(__file__).parents[1] / "examples"
_SET = _EXAMPLES / "questions" / "handbook.jsonl"
_QUESTION = "When is high water at the harbour, and what of the lighthouse and its keeper?"
_SECTION = (
    "High water at quay {n} is {n} minutes after noon on Friday, and low water follows six hours "
    "later. The harbour master posts the table at gate {n}, beside the lighthouse keeper's notes. "
    "Boats longer than {n} metres wait outside the pier until the signal shows green. A mooring "
    "fee of {n} euros is due at the office before ten in the morning, or on the next working day."
)


def library_of_fakes(folder: Path) -> Library:
    """Forty sections of about sixty words, two with figures; hashed words for vectors."""
    folder.mkdir(parents=True)
    text = "\n\n".join(f"# Quay {n}\n\n{_SECTION.format(n=n)}" for n in range(1, 41))
    for name, colour in (("tides", "navy"), ("lighthouse", "maroon")):
        image = Image.new("RGB", (160, 100), "white")
        image.paste(colour, (20, 20, 90, 70))
        image.save(folder / f"{name}.png")
        text += f"\n\n# {name.title()}\n\n![Figure: the {name} of the harbour]({name}.png)"
    (folder / "harbour.md").write_text(text)
    library = Library.open(folder / "library", HashEmbeddings())
    assert not library.add(folder / "harbour.md").failed
    return library


def draft_of(size: int) -> str:
    """A reply of about so many characters, with three pictures where it is a short one."""
    sentence = "High water is at noon on Friday and low water follows six hours later. [1] "
    text = sentence * max(size // len(sentence), 1)
    return (
        text if size > 200 else f"{text}\n[[draw: a harbour]]\n[[draw: a boat]]\n[[draw: a pier]]"
    )


def milliseconds(found: dict[str, list[float]]) -> dict[str, Any]:
    return {name: spread([1000 * value for value in values]) for name, values in found.items()}


def table(title: str, found: dict[str, list[float]], base: str, marks: dict[str, str]) -> None:
    """Medians in milliseconds, and each one's ratio to a base, round by round."""
    rows = [
        [
            name,
            spread_text([1000 * v for v in values], digits=2),
            f"{median(ratios(values, found[base])):.2f}",
            marks.get(name, ""),
        ]
        for name, values in found.items()
    ]
    show(title, ["", "ms: median (min–max)", f"of {base}", "mark"], rows)


# ── the graph ────────────────────────────────────────────────────────────────────────────────


def graph(folder: Path, rounds: int) -> dict[str, Any]:
    """The product's compiled graph against the same steps without its wrapper, and idle nodes."""
    body = {}
    for slots, draft in ((0, "High water is at noon. [1]"), (3, draft_of(0))):
        library = library_of_fakes(folder / f"graph-{slots}")
        work = Workbench(
            library=library,
            chat_model=Scripted(replies=[draft], piece=40),
            encoder=library.embeddings,
            calibration=None,
            media=MediaStore(library.folder / "answers", library.media),
            image_model=HashPainter(),
        )
        agent = Agent(library, chat_model=work.chat_model, image_model=work.image_model)
        product, plain, nothing = build(None), bare(), idle(slots)
        runs: dict[str, Callable[[], float]] = {
            "Agent.ask": lambda agent=agent: seconds(lambda: agent.ask(_QUESTION)),
            "product graph": lambda g=product, w=work: driven(g, w),
            "bare graph, same steps": lambda g=plain, w=work: driven(g, w),
            "bare graph, idle nodes": lambda g=nothing, w=work: driven(g, w),
        }
        found = interleaved(runs, rounds, warm=20)
        marks = {"product graph": "≤ 1.3", "Agent.ask": "≤ 1.3"}
        table(f"A turn on fakes, {slots} pictures", found, "bare graph, same steps", marks)
        base = found["bare graph, same steps"]
        body[f"{slots} pictures"] = {
            "ms": milliseconds(found),
            "ratios": {name: median(ratios(found[name], base)) for name in found},
        }
        library.close()
    return body


def driven(compiled: Any, work: Workbench) -> float:
    """One turn, driven as the product drives it."""
    config = {"configurable": {"thread_id": uuid.uuid4().hex}}
    start = fresh(_QUESTION)
    started = time.perf_counter()
    for _ in compiled.stream(start, config, context=work, stream_mode="custom"):
        pass
    return time.perf_counter() - started


# ── the session ──────────────────────────────────────────────────────────────────────────────


def session(folder: Path, rounds: int) -> dict[str, Any]:
    """Turns with and without a session, and what either part of it writes, alone."""
    library = library_of_fakes(folder / "session")
    reply = Scripted(replies=[draft_of(900)], piece=40)
    plain = Agent(library, chat_model=reply)
    answer = plain.ask(_QUESTION)
    kept = Sessions(library.folder).open("alone")
    saved = Checkpoints(library.folder / "apart")
    (library.folder / "apart").mkdir()
    without, within = build(None), build(saved.saver)
    work = Workbench(library, reply, library.embeddings, None, MediaStore(folder / "media"))
    written = json.dumps(answer.to_dict())
    pairs: dict[str, tuple[Callable[[], float], Callable[[], float]]] = {
        "turn: with, without a session": (
            lambda: first_turn(library, reply),
            lambda: seconds(lambda: plain.ask(_QUESTION)),
        ),
        "graph: with, without its checkpointer": (
            lambda: checkpointed(within, work, saved),
            lambda: driven(without, work),
        ),
        "one durable write: ours, bare SQLite": (
            lambda: seconds(lambda: kept.append(_QUESTION, (), answer)),
            lambda: bare_write(folder / "bare.db", written),
        ),
    }
    rows, body = [], {}
    for name, (ours, other) in pairs.items():
        found = interleaved({"with": ours, "without": other}, rounds, warm=5)
        with_, bare_ = ([1000 * value for value in values] for values in found.values())
        more = median(a - b for a, b in zip(with_, bare_, strict=True))
        ratio = median(ratios(with_, bare_))
        times = [spread_text(with_, digits=2), spread_text(bare_, digits=2)]
        rows.append([name, *times, f"{more:.2f}", f"{ratio:.2f}"])
        body[name] = {"ms": milliseconds(found), "more in ms": more, "ratio": ratio}
    head = ["ms: median (min–max)", "first", "second", "first − second", "ratio"]
    show("What a session costs a turn (mark: one durable write ≤ 4 ms)", head, rows)
    return body


def first_turn(library: Library, reply: Scripted) -> float:
    """A turn of a fresh session, opened before the clock runs."""
    with Agent(library, chat_model=reply, session=uuid.uuid4().hex) as agent:
        agent.ask(_QUESTION)
        return seconds(lambda: agent.ask(_QUESTION))


def checkpointed(compiled: Any, work: Workbench, saved: Checkpoints) -> float:
    config = saved.config("thread")
    start = fresh(_QUESTION)

    def run() -> None:
        saved.forget("thread")
        for _ in compiled.stream(
            start, config, context=work, stream_mode="custom", durability="sync"
        ):
            pass
        saved.forget("thread")

    return seconds(run)


def bare_write(path: Path, text: str) -> float:
    """One row, committed with SQLite's defaults."""

    def run() -> None:
        with closing(sqlite3.connect(path)) as db, db:
            db.execute("CREATE TABLE IF NOT EXISTS turns (at REAL, body TEXT)")
            db.execute("INSERT INTO turns VALUES (?, ?)", (time.time(), text))

    return seconds(run)


def growth(folder: Path, rounds: int) -> dict[str, Any]:
    """Turns of 1 kB about the 10th and about the 200th, interleaved, and what is kept of them."""
    trials = [grown(folder / f"growth-{n}") for n in range(3)]
    ratio = [median(trial["late"]) / median(trial["early"]) for trial in trials]
    early, late = ([1000 * v for trial in trials for v in trial[key]] for key in ("early", "late"))
    last = trials[-1]
    rows = [
        ["turns 5 to 20, ms", spread_text(early, digits=2), ""],
        ["turns 195 to 210, ms", spread_text(late, digits=2), ""],
        ["ratio, of three pairs of sessions", spread_text(ratio, digits=2), "≤ 1.2"],
        ["question and answer, bytes a turn", last["said"], "1,000"],
        ["sessions.db, bytes a turn", last["sessions"] // 210, ""],
        ["passages among them, bytes a turn", last["passages"], ""],
        ["running.db, bytes in all", last["running"], ""],
        ["both, bytes a turn", (last["sessions"] + last["running"]) // 210, "≤ 2,000"],
    ]
    show("Sessions of 210 turns", ["", "median (min–max)", "mark"], rows)
    kept = {key: last[key] for key in ("said", "sessions", "passages", "running")}
    times = milliseconds({"turns 5 to 20": early, "turns 195 to 210": late})
    return {"ratio": spread(ratio), "ms": times, "bytes": kept}


def grown(folder: Path) -> dict[str, Any]:
    """One session of 5 turns and one of 195 go on in turns, in libraries of their own."""
    reply = Scripted(replies=[draft_of(900)], piece=200)
    places = {"early": (folder / "early", 5), "late": (folder / "late", 195)}
    agents = {}
    for key, (place, turns) in places.items():
        agents[key] = Agent(library_of_fakes(place), chat_model=reply, session="long")
        for _ in range(turns):
            answer = agents[key].ask(_QUESTION)
    runs = {
        key: lambda agent=agent: seconds(lambda: agent.ask(_QUESTION))
        for key, agent in agents.items()
    }
    found: dict[str, Any] = interleaved(runs, rounds=15, warm=0)
    for agent in agents.values():
        agent.close()
    for name in ("sessions", "running"):
        files = agents["late"].library.folder.glob(f"{name}.db*")
        found[name] = sum(path.stat().st_size for path in files)
    found["said"] = len(_QUESTION) + len(answer.text.encode())
    found["passages"] = len(json.dumps([p.to_dict() for p in answer.passages]).encode())
    return found


# ── with the embedded model ──────────────────────────────────────────────────────────────────


def model(folder: Path, rounds: int) -> dict[str, Any]:
    """Every handbook question: the turn without OCR against encoding what it looks at."""
    place = folder / "handbook"
    limner("add", _EXAMPLES / "handbook", "--library", place)
    lines = _SET.read_text(encoding="utf-8").splitlines()
    rows = []
    with Library.open(place) as library:
        name = library.embeddings.name.partition("@")[0]
        assert name in CALIBRATIONS
        for line in lines:
            asked = json.loads(line)
            images = [_SET.parent / name for name in asked["images"]]
            rows.append({"id": asked["id"], **turn_row(library, asked["question"], images)})
    for kind, chosen in (("all", rows), ("without pictures", [r for r in rows if not r["images"]])):
        found = {key: [1000 * r[key] for r in chosen] for key in ("turn", "encoding")}
        shown = [[f"{key}, ms", spread_text(values, digits=1)] for key, values in found.items()]
        shown.append(["ratio", spread_text([r["ratio"] for r in chosen], digits=2)])
        show(
            f"Turns with the embedded model, {kind}: {len(chosen)}", ["", "median (min–max)"], shown
        )
    steps = {
        step: median(r["steps"].get(step, 0.0) for r in rows) * 1000 for step in rows[0]["steps"]
    }
    show("Median ms by step", ["", "ms"], steps.items())
    return {"ratio": spread([r["ratio"] for r in rows]), "steps in ms": steps, "questions": rows}


def turn_row(library: Library, question: str, images: Sequence[Path]) -> dict[str, Any]:
    """Three interleaved pairs; a fresh agent each, so that no vector is remembered."""
    steps: dict[str, float] = {}
    looked_at: list[str] = []

    def turn() -> float:
        with Agent(library) as agent:
            agent.graph  # noqa: B018
            started = time.perf_counter()
            answer = agent.ask(question, images)
            taken = time.perf_counter() - started
        steps.update(answer.timings)
        attached = len(images) and not answer.abstained
        passages = [*answer.passages[:5], *(answer.passages[-len(images) :] if attached else ())]
        looked_at[:] = [s for p in passages for s in quotable(p.text, p.modality)]
        return taken - steps.get("look", 0.0)

    def encoding() -> float:
        def encode() -> None:
            library.embeddings.encode_query([question])
            library.embeddings.encode_document(list(dict.fromkeys(looked_at)))

        return seconds(encode)

    found = interleaved({"turn": turn, "encoding": encoding}, rounds=3)
    taken = {name: median(values) for name, values in found.items()}
    ratio = median(ratios(found["turn"], found["encoding"]))
    return {
        **taken,
        "ratio": ratio,
        "images": len(images),
        "steps": steps,
        "sentences": len(looked_at),
    }


def main() -> None:
    parser = arguments(__doc__ or "", "turn")
    parser.add_argument("--rounds", type=int, default=200)
    parts = {"graph": graph, "session": session, "growth": growth, "model": model}
    parser.add_argument("--part", choices=[*parts, "all"], default="all")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        wanted = [name for name in parts if args.part in (name, "all")]
        body = {name: parts[name](Path(scratch), args.rounds) for name in wanted}
    write(args.out, body)


if __name__ == "__main__":
    main()
