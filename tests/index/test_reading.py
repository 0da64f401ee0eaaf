from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PIL import Image, ImageDraw

from limner.errors import LibraryReadOnly, LimnerError, SourceError
from limner.index import reading
from limner.index.loaders import Block, load
from limner.index.loaders.base import step, watched
from limner.index.loaders.confined import memory_for
from limner.index.loaders.wire import block_of, error_of, error_values, values_of
from limner.index.reading import Reader
from limner.tools.media import MediaStore

ROOT = Path(__file__).parents[2]
HANDBOOK = ROOT / "examples" / "handbook"


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    with Reader(tmp_path / "media") as reader:
        yield reader


@pytest.fixture
def notes(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / f"{n}.md" for n in range(20)]
    for n, path in enumerate(paths):
        path.write_text(f"# Note {n}\n\nSome words.")
    return paths


def children(process: int | str = "self") -> list[int]:
    tasks = Path(f"/proc/{process}/task").iterdir()
    return [int(c) for task in tasks for c in (task / "children").read_text().split()]


def is_alive(process: int) -> bool:
    try:
        return "State:\tZ" not in Path(f"/proc/{process}/status").read_text()
    except FileNotFoundError:
        return False


@pytest.mark.slow
def test_every_format_reads_as_in_process(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("Words\n\n- item\n- other")
    (tmp_path / "b.csv").write_text("day,hours\nFriday,9\n")
    (tmp_path / "c.json").write_text('[{"day": "Friday", "hours": 9}]')
    (tmp_path / "d.rst").write_text("Title\n=====\n\nWords.\n")
    image = Image.new("RGB", (300, 80), "white")
    ImageDraw.Draw(image).text((10, 10), "Some words to read", "black", font_size=24)
    kinds = ("jpg", "webp", "gif", "bmp", "tiff")
    for kind in kinds:
        image.save(tmp_path / f"e.{kind}")
    papers = sorted(HANDBOOK.rglob("*.*"), key=lambda path: -path.stat().st_size)
    smallest = {path.suffix: path for path in papers}  # of each format
    assert smallest.keys() == {".pdf", ".docx", ".html", ".md", ".png"}
    paths = [*sorted(tmp_path.iterdir()), *smallest.values()]
    media = MediaStore(tmp_path / "own")
    with Reader(tmp_path / "media") as reader:
        found = dict(reader.read(paths))
    assert list(found) == paths
    assert found == {path: load(path, media) for path in paths}
    assert list(MediaStore(tmp_path / "media")) == list(media)


def test_nothing_starts_before_a_file_is_read(tmp_path: Path, notes: list[Path]) -> None:
    before = children()
    with Reader(tmp_path / "media") as reader:
        assert list(reader.read([])) == []
        assert children() == before
        reader.read_one(notes[0])
        (first,) = set(children()) - set(before)
        reader.read_one(notes[1])
        assert set(children()) - set(before) == {first}
    assert children() == before


def test_order_and_how_far_ahead(tmp_path: Path, notes: list[Path]) -> None:
    asked = []

    def paths() -> Iterator[Path]:
        for path in notes * 6:
            asked.append(path)
            yield path

    with Reader(tmp_path / "media", workers=2) as reader:
        results = reader.read(paths())
        assert asked == []
        first, blocks = next(results)
        assert first == notes[0] and isinstance(blocks, list)
        assert len(asked) == 65
        assert [path for path, _ in results] == asked[1:]


def test_a_large_file_is_not_followed_by_others(tmp_path: Path, notes: list[Path]) -> None:
    large = tmp_path / "large.log"
    large.write_bytes(b"x" * 51_000_000)
    asked = []
    with Reader(tmp_path / "media") as reader:
        results = reader.read(path for path in [large, *notes] if not asked.append(path))
        next(results)
        assert asked == [large]


def test_errors_come_out_as_they_were(reader: Reader, tmp_path: Path) -> None:
    missing, empty = tmp_path / "missing.txt", tmp_path / "empty.txt"
    empty.write_text("")
    media = MediaStore(tmp_path / "own")
    for path, result in reader.read([missing, empty, tmp_path / "odd\udcff\n.md"]):
        with pytest.raises(SourceError) as caught:
            load(path, media)
        assert isinstance(result, SourceError)
        assert (str(result), result.hint) == (str(caught.value), caught.value.hint)
    with pytest.raises(SourceError, match="No such file") as caught:
        reader.read_one(missing)
    assert isinstance(caught.value.__cause__, OSError)
    assert caught.value.__cause__.errno == errno.ENOENT


def test_what_crosses_the_pipe() -> None:
    full = SourceError("no room", "make some")
    full.__cause__ = OSError(errno.ENOSPC, "No space left on device")
    back = error_of(json.loads(json.dumps(error_values(full))))
    assert type(back) is SourceError and back.hint == "make some"
    assert isinstance(back.__cause__, OSError) and back.__cause__.errno == errno.ENOSPC
    assert type(error_of(["LibraryReadOnly", "a", "b", None])) is LibraryReadOnly
    assert type(error_of(["SystemExit", "a", "b", None])) is SourceError
    block = Block("figure", "\ud800 é", 0, 3, (0.1, 1 / 3, 2, 1e300), f"{'a' * 64}.png")
    assert block_of(json.loads(json.dumps(values_of(block)))) == block
    for wrong in (
        ["other", "a", 0, None, None, None],
        ["row", "a", 0, None, None, "../../x.png"],
        ["row", 1, 0, None, None, None],
        ["row", "a", 0, None, [1, 2, 3], None],
        ["row", "a"],
    ):
        with pytest.raises(ValueError):
            block_of(wrong)


def test_a_full_disk_is_told_from_a_bad_file(tmp_path: Path) -> None:
    Image.new("RGB", (50, 50), "navy").save(tmp_path / "a.png")
    (tmp_path / "media").write_text("not a folder")
    with Reader(tmp_path / "media") as reader, pytest.raises(LibraryReadOnly) as caught:
        reader.read_one(tmp_path / "a.png")
    assert isinstance(caught.value.__cause__, OSError)
    assert caught.value.__cause__.errno in (errno.EEXIST, errno.ENOTDIR)


BEHAVIOURS = {
    "crash": "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)",
    "killed": "import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
    "left": "import os; os._exit(0)",
    "hang": "while True: pass",
    "sleep": "import time; time.sleep(100)",
    "memory": "kept = []\nwhile True: kept.append(bytearray(1 << 20))",
    "print": "import os, sys; print('a'); os.write(1, b'x' * 99); sys.stderr.write('y' * 99999)",
    "network": "import socket; socket.create_connection(('127.0.0.1', 9))",
    "program": "import subprocess; subprocess.run(['true'])",
    "shell": "import os; os.system('true')",
    "fork": "import os; os.fork()",
    "write": "open(path.parent / 'stray', 'w')",
    "remove": "path.unlink()",
    "core": "import resource; assert resource.getrlimit(resource.RLIMIT_CORE) == (0, 0)",
    "key": "import os; assert 'OPENAI_API_KEY' not in os.environ",
    "input": "import sys; assert sys.stdin.read() == ''",
}


@pytest.fixture
def behave(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], tuple[list[Block] | LimnerError, list[Block] | LimnerError]]:
    """Read a file whose loader does something else first, and a good file after it."""
    site = tmp_path / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(
        "import sys\n"
        "def behave(path):\n"
        "    code = path.read_text()\n"
        "    if code.startswith('#!'): exec(code, {'path': path})\n"
        "if 'worker' in ' '.join(sys.orig_argv):\n"
        "    from limner.index.loaders import text\n"
        "    read = text.read_text\n"
        "    text.read_text = lambda path: behave(path) or read(path)\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(site))
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    bad, good = tmp_path / "bad.txt", tmp_path / "good.txt"
    good.write_text("Good words.")

    def read(name: str) -> tuple[list[Block] | LimnerError, list[Block] | LimnerError]:
        bad.write_text(f"#!\n{BEHAVIOURS[name]}")
        with Reader(tmp_path / "media", workers=1) as reader:
            (_, first), (_, second) = reader.read([bad, good])
        assert bad.exists() and not (tmp_path / "stray").exists()
        return first, second

    return read


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("crash", "bad.txt: crashed the reader"),
        ("killed", "bad.txt: crashed the reader"),
        ("left", "bad.txt: crashed the reader"),
        ("memory", "bad.txt: needed more than 240 MB of memory"),
        ("network", "may not use socket"),
        ("program", "may not use subprocess.Popen"),
        ("shell", "may not use os.system"),
        ("fork", "may not use os.fork"),
        ("write", "may not write"),
        ("remove", "may not change"),
    ],
)
def test_a_parser_that_goes_wrong_loses_its_file_alone(
    behave: Callable[..., tuple], name: str, reason: str
) -> None:
    bad, good = behave(name)
    assert isinstance(bad, SourceError) and reason in str(bad)
    assert good == [Block("paragraph", "Good words.")]


def test_a_large_process_does_not_blame_a_crash_on_memory(behave: Callable[..., tuple]) -> None:
    much = bytearray(b"x") * 400_000_000  # a reader starts with the peak of its owner
    bad, _ = behave("crash")
    assert len(much) and "bad.txt: crashed the reader" in str(bad)


@pytest.mark.parametrize("name", ["print", "core", "key", "input"])
def test_a_parser_that_does_no_harm_is_heard(behave: Callable[..., tuple], name: str) -> None:
    bad, good = behave(name)
    assert isinstance(bad, list) and good == [Block("paragraph", "Good words.")]


@pytest.mark.parametrize("name", ["hang", "sleep"])
def test_a_parser_that_hangs_is_ended(
    behave: Callable[..., tuple], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "LONGEST_STEP", 1.0)
    bad, good = behave(name)
    assert isinstance(bad, SourceError) and "took more than 1 s" in str(bad)
    assert good == [Block("paragraph", "Good words.")]


def test_a_process_that_was_ended_between_files_is_replaced(
    reader: Reader, notes: list[Path]
) -> None:
    before = children()
    reader.read_one(notes[0])
    (worker,) = set(children()) - set(before)
    os.kill(worker, signal.SIGKILL)
    time.sleep(0.2)
    assert len(reader.read_one(notes[1])) == 2


def test_no_process_can_be_started(
    tmp_path: Path, notes: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    for executable, reason in (("/nowhere/python", "No such file"), ("/bin/false", "at once")):
        monkeypatch.setattr(sys, "executable", executable)
        with Reader(tmp_path / "media") as reader:
            with pytest.raises(LimnerError, match=reason) as caught:
                list(reader.read(notes))
            assert not isinstance(caught.value, SourceError) and caught.value.hint


SCRIPT = """
import sys, time
from pathlib import Path
from limner.index.reading import Reader
reader = Reader(Path(sys.argv[1]) / "media", 1)
print(len(reader.read_one(Path(sys.argv[2]))), flush=True)
time.sleep(20)
"""


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGINT])
def test_it_ends_with_its_owner(tmp_path: Path, notes: list[Path], end: int) -> None:
    command = [sys.executable, "-c", SCRIPT, str(tmp_path), str(notes[0])]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True) as owner:
        assert owner.stdout is not None and owner.stderr is not None
        assert owner.stdout.readline() == "2\n"
        (worker,) = children(owner.pid)
        os.kill(worker, signal.SIGINT)  # which it leaves to its owner
        time.sleep(0.2)
        assert is_alive(worker)
        owner.send_signal(end)
        assert "worker" not in owner.stderr.read()
    for _ in range(100):
        if not is_alive(worker):
            break
        time.sleep(0.05)
    assert not is_alive(worker)


def test_leaving_early_ends_what_is_at_work(behave: object, tmp_path: Path) -> None:
    path = tmp_path / "slow.txt"
    path.write_text(f"#!\n{BEHAVIOURS['sleep']}")
    good = tmp_path / "good.txt"
    started = time.perf_counter()
    with Reader(tmp_path / "media", workers=2) as reader:
        results = reader.read([good, path])
        next(results)
    assert time.perf_counter() - started < 8


def test_memory_goes_by_size(tmp_path: Path) -> None:
    small, large = tmp_path / "a.pdf", tmp_path / "b.pdf"
    small.write_bytes(b"x")
    with large.open("wb") as stream:
        stream.truncate(100_000_000)
    assert memory_for(small) == 240_000_040
    assert memory_for(large) == memory_for(tmp_path / "a.png") == 1_000_000_000


def test_steps_are_heard_only_by_who_watches(tmp_path: Path) -> None:
    heard: list[tuple[float, bool]] = []
    path = tmp_path / "a.md"
    path.write_text("# Words\n\nmore")
    with watched(lambda seconds, ocr: heard.append((seconds, ocr))):
        load(path, MediaStore(tmp_path / "media"))
    assert len(heard) > 3
    count = len(heard)
    step()
    assert len(heard) == count


def test_a_flate_bomb_is_refused_for_memory(reader: Reader, tmp_path: Path) -> None:
    packed = zlib.compress(bytes(600_000_000), 1)
    body = b"4 0 obj\n<< /Length %d /Filter /FlateDecode >>\nstream\n%b\nendstream\nendobj\n"
    path = tmp_path / "bomb.pdf"
    path.write_bytes(
        b"%PDF-1.7\n1 0 obj\n<< /Type /Catalog /Pages 2 0 R >>\nendobj\n"
        b"2 0 obj\n<< /Type /Pages /Count 1 /Kids [3 0 R] >>\nendobj\n"
        b"3 0 obj\n<< /Type /Page /Parent 2 0 R /MediaBox [0 0 9 9] /Contents 4 0 R >>\nendobj\n"
        + body % (len(packed), packed)
        + b"trailer << /Root 1 0 R >>\n%%EOF\n"
    )
    with pytest.raises(SourceError, match=r"memory|no text"):
        reader.read_one(path)


@pytest.mark.slow
def test_malformed_documents_and_bombs(tmp_path: Path) -> None:
    out = tmp_path / "malformed.json"
    command = [sys.executable, "malformed.py", "--inputs", "35", "--out", str(out)]
    done = subprocess.run(
        command, cwd=ROOT / "benchmarks", capture_output=True, text=True, timeout=900
    )
    figures = json.loads(out.read_text())
    assert figures["good"]["inputs"] == figures["good"]["equal_blocks"] > 0, done.stdout
    for part in ("malformed", "bombs"):
        assert not figures[part]["without_a_reason"], done.stdout
        assert not figures[part]["too_large"], done.stdout
    # Seconds are the machine's; that nothing is crashed or without end is not.
    assert not figures["malformed"]["crashed"] + figures["malformed"]["ended_for_time"]
    # Nested substitutions in .rst are slow enough to be ended on a busy machine.
    assert figures["bombs"]["ended_for_time"] <= 1
