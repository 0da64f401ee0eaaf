"""The command line as a person or a script meets it: real processes, the embedded model."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import pytest

from limner.index import manifest
from limner.index.embeddings import HashEmbeddings, embedded
from limner.index.library import Library
from limner.tests.forked import limner

CONTROL = [chr(c) for c in (*range(0, 9), *range(11, 32), 127, *range(128, 160))]


def cold(*arguments: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    """As from a shell: nothing is imported yet."""
    command = [sys.executable, "-m", "limner", *map(str, arguments)]
    return subprocess.run(
        command, cwd=cwd, capture_output=True, text=True, encoding="utf-8", timeout=120
    )


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a library of one document, made by the command line."""
    place = tmp_path_factory.mktemp("a folder with spaces")
    (place / "tides.md").write_text(
        "# Tides\n\nHigh water at the harbour is at noon on Friday. The lighthouse was built in "
        "1871 by Ada Berg. The ferry leaves from pier 4 every hour.\n"
    )
    added = cold("add", "tides.md", cwd=place)
    assert (added.returncode, added.stdout) == (0, ""), added.stderr
    assert "1 added" in added.stderr
    return place


def test_a_question_is_answered_on_stdout(place: Path) -> None:
    run = cold("ask", "When was the lighthouse built?", cwd=place)
    assert run.returncode == 0
    assert "The lighthouse was built in 1871 by Ada Berg. [1]" in run.stdout
    assert "tides.md" in run.stdout


def test_json_is_one_object_of_the_stated_shape(place: Path) -> None:
    run = limner("ask", "When was the lighthouse built?", "--json", cwd=place)
    answer = json.loads(run.stdout)
    assert {"text", "parts", "passages", "usage", "timings", "refused", "abstained"} <= set(answer)
    assert answer["parts"][0]["type"] == "text"
    assert answer["parts"][0]["citations"] == [1]
    assert {"source", "page", "box", "text", "score"} == set(answer["passages"][0])
    assert set(answer["usage"]) == {"input_tokens", "output_tokens", "image_tokens"}
    assert not answer["refused"] and not answer["abstained"]


def test_what_is_not_there_is_said_and_no_error(place: Path) -> None:
    run = limner("ask", "Who won the chess olympiad in 1972?", "--json", cwd=place)
    assert run.returncode == 0
    assert json.loads(run.stdout)["abstained"]


def test_search_and_ls(place: Path) -> None:
    (found,) = json.loads(limner("search", "ferry pier", "--json", cwd=place).stdout)
    assert found["source"] == "tides.md"
    assert "tides.md\t1" in limner("ls", cwd=place).stdout
    assert json.loads(limner("ls", "--json", cwd=place).stdout)["sources"] == {"tides.md": 1}


@pytest.mark.parametrize("suffix", [".html", ".md", ".json"])
def test_export(place: Path, suffix: str) -> None:
    target = place / "out" / f"answer{suffix}"
    limner("ask", "When was the lighthouse built?", "--export", target, cwd=place)
    assert "Ada Berg" in target.read_text(encoding="utf-8")


def test_a_session_goes_on(place: Path) -> None:
    limner("ask", "When was the lighthouse built?", "--session", "sea", cwd=place)
    run = limner("ask", "And by whom?", "--session", "sea", cwd=place)
    assert "Ada Berg" in run.stdout
    assert "sea\t2" in limner("sessions", "ls", cwd=place).stdout
    assert limner("sessions", "rm", "sea", cwd=place).returncode == 0
    assert limner("sessions", "rm", "sea", cwd=place).returncode == 1


def test_flags_have_variables(place: Path, tmp_path: Path) -> None:
    run = limner("ls", cwd=tmp_path, env={"LIMNER_LIBRARY": str(place / ".limner")})
    assert "tides.md\t1" in run.stdout
    run = limner("search", "ferry", cwd=place, env={"LIMNER_SEARCH_JSON": "1"})
    assert json.loads(run.stdout)


def one_line(run: subprocess.CompletedProcess[str], *words: str) -> bool:
    lines = run.stderr.strip().splitlines()
    head = lines[0]
    return (
        head.startswith(("error: ", "failed: "))
        and all(word in head for word in words)
        and "Traceback" not in run.stderr
    )


def test_user_errors_are_one_line_and_a_hint(place: Path, tmp_path: Path) -> None:
    nothing = limner("ask", "  ", cwd=place)
    assert nothing.returncode == 1 and one_line(nothing, "the question is empty")
    assert "try: limner ask" in nothing.stderr
    none = limner("search", "x", cwd=tmp_path)
    assert none.returncode == 1 and one_line(none, "no library here yet")
    assert "try: limner add PATH" in none.stderr
    unasked = limner("ask", "A tea?", "--library", "typo", cwd=tmp_path)
    assert unasked.returncode == 1 and one_line(unasked, "typo", "no library here yet")
    missing = limner("ask", "What is this?", "-a", "nowhere.png", cwd=place)
    assert missing.returncode == 1 and one_line(missing, "nowhere.png", "no such file")
    stranger = limner("ask", "x", "--embedding-model", "no/such/folder", cwd=place)
    assert stranger.returncode == 3 and one_line(stranger, "no/such/folder")
    profile = limner("ask", "x", "--profile", "cloud", cwd=place)
    assert profile.returncode == 2 and "no profile 'cloud'; one of: embedded" in profile.stderr
    assert cold("ask", cwd=place).returncode == 2
    assert limner("nonsense", cwd=place).returncode == 2


def test_what_can_be_refused_is_refused_before_a_model_is_loaded(place: Path) -> None:
    """None of these is told that the model is missing."""
    (place / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nnonsense")
    (place / "broken.mp4").write_bytes(b"\0\0\0\x18ftypmp42nonsense")
    for wrong, words in (
        (("--export", "x.pdf"), "x.pdf: cannot export as .pdf"),
        (("--export", "broken.png/x.html"), "cannot write"),
        (("-a", "broken.png"), "broken.png"),
        (("-a", "broken.mp4"), "broken.mp4"),
        (("-a", "."), "not a file"),
        (("-a", "nowhere.png"), "no such file"),
    ):
        run = limner("ask", "What is this?", "--chat-model", "no/such/folder", *wrong, cwd=place)
        assert run.returncode == 1 and one_line(run, words), run.stderr
        assert run.stdout == ""


def huge_png() -> bytes:
    """A PNG that says it is 20,000 × 10,000 pixels."""

    def piece(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", 20_000, 10_000, 8, 2, 0, 0, 0)
    pixels = zlib.compress(b"\0" * 60_001)
    return (
        b"\x89PNG\r\n\x1a\n" + piece(b"IHDR", header) + piece(b"IDAT", pixels) + piece(b"IEND", b"")
    )


def test_bad_files_are_named_and_the_good_ones_kept(tmp_path: Path) -> None:
    folder = tmp_path / "mixed"
    folder.mkdir()
    bad = {
        "empty.txt": b"",
        "corrupt.pdf": b"%PDF-1.7\nnonsense",
        "huge.png": huge_png(),
        "picture.pdf": huge_png(),
        "binary.txt": b"\x7fELF\0\0\1\2" * 50,
        "broken.docx": b"PK\x03\x04 not a zip",
        "bad.json": b'{"a": ',
    }
    for name, data in bad.items():
        (folder / name).write_bytes(data)
    (folder / "latin.txt").write_bytes(
        "Die Fähre fährt über die Förde. Schöne Grüße.".encode("cp1252")
    )
    (folder / "good.txt").write_text("The ferry leaves from pier 4.")
    (folder / "loop.txt").symlink_to(folder / "loop.txt")
    (folder / "evil\x1b]0;owned\x07.txt").write_text("A file name with a control sequence.")
    run = limner("add", "mixed", "gone.txt", "mixed/loop.txt", "--json", cwd=tmp_path)
    assert run.returncode == 1
    report = json.loads(run.stdout)
    failed = {Path(p["path"]).name: p["reason"] for p in report["failed"]}
    assert set(failed) == {*bad, "gone.txt", "loop.txt"}
    assert all(reason and "\n" not in reason for reason in failed.values())
    assert {"good.txt", "latin.txt"} <= set(report["added"])
    plain = limner("add", "mixed", cwd=tmp_path)
    assert plain.returncode == 0, "nothing is new of them"
    assert not [c for c in CONTROL if c in plain.stderr + plain.stdout]
    assert "failed" not in plain.stderr and "Traceback" not in plain.stderr
    skipped = [line for line in plain.stderr.splitlines() if line.startswith("skipped: ")]
    assert len(skipped) == 6 and f"and {len(bad) + 1 - 5} more" in skipped[-1]
    assert ", as before" in skipped[1] and f"{len(bad) + 1} skipped" in plain.stderr
    (folder / "empty.txt").write_bytes(b" ")
    again = limner("sync", cwd=tmp_path)
    assert again.returncode == 1 and one_line(again, "empty.txt", "no text found")
    assert limner("sync", cwd=tmp_path).returncode == 0
    named = limner("add", "mixed/empty.txt", cwd=tmp_path)
    assert named.returncode == 1 and one_line(named, "empty.txt", "no text found")
    found = json.loads(limner("search", "Fähre Förde", "--json", cwd=tmp_path).stdout)
    assert "über die Förde" in found[0]["text"]
    listed = limner("ls", cwd=tmp_path).stdout
    assert not [c for c in CONTROL if c in listed]


def test_nothing_added_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "empty.txt").touch()
    for named in ("gone.txt", "empty.txt"):
        assert limner("add", named, cwd=tmp_path).returncode == 1
        assert not (tmp_path / ".limner").exists()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux alone has /dev/full")
def test_a_full_disk_behind_stdout_is_one_line(place: Path) -> None:
    command = [sys.executable, "-m", "limner", "ls", "--json"]
    with Path("/dev/full").open("w") as full_disk:
        full = subprocess.run(
            command, cwd=place, stdout=full_disk, stderr=subprocess.PIPE, text=True, timeout=120
        )
    assert full.returncode == 1 and one_line(full, "no space left on device"), full.stderr


def test_documents_cannot_write_to_the_terminal(tmp_path: Path) -> None:
    (tmp_path / "evil.txt").write_text(
        "The harbour master is \x1b[31mAda\x1b[0m Berg\x07\x9b2J. \u202eHe is 'trusted'."
    )
    limner("add", "evil.txt", cwd=tmp_path)
    run = limner("ask", "Who is the harbour master?", cwd=tmp_path)
    assert "Ada" in run.stdout
    assert not [c for c in (*CONTROL, "\u202e") if c in run.stdout + run.stderr]


def test_another_model_or_version_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.txt").write_text("The ferry leaves from pier 4.")
    made = ((manifest.FORMAT, HashEmbeddings(), "hash-64"), (99, embedded(), "newer version"))
    for version, model, words in made:
        folder = tmp_path / str(version)
        with monkeypatch.context() as patch:
            patch.setattr(manifest, "FORMAT", version)
            with Library.open(folder, model) as library:
                library.add(tmp_path / "a.txt")
        run = limner("ls", "--library", folder, cwd=tmp_path)
        assert run.returncode == 1 and one_line(run, words), run.stderr


def test_doctor_finds_all_well_and_says_what_is_not(place: Path, tmp_path: Path) -> None:
    well = limner("doctor", cwd=place)
    assert well.returncode == 0, well.stdout
    assert "threshold" in well.stdout
    (tmp_path / "library.db").write_bytes(b"this is no database at all, not even close" * 100)
    ill = limner("doctor", "--library", tmp_path, cwd=tmp_path)
    assert ill.returncode == 3
    assert "error" in ill.stdout


def test_removed_files_are_gone(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("The secret is mauve.")
    (tmp_path / "b.txt").write_text("The weather is fine.")
    limner("add", "a.txt", "b.txt", cwd=tmp_path)
    assert limner("rm", "a.txt", cwd=tmp_path).returncode == 0
    kept = b"".join(p.read_bytes() for p in (tmp_path / ".limner").rglob("*") if p.is_file())
    assert b"mauve" not in kept
    assert limner("rm", "a.txt", cwd=tmp_path).returncode == 1
    synced = json.loads(limner("sync", "--json", cwd=tmp_path).stdout)
    assert synced["added"] == []


def test_help_is_light() -> None:
    code = (
        "import sys; sys.argv = ['limner', '--help']\n"
        "from limner.agent.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'transformers', 'diffusers', 'faiss', 'langgraph', 'numpy', 'PIL'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert run.stdout.splitlines()[-1] == "[]"
    assert "  ask " in run.stdout
    cut = [line.split()[0] for line in run.stdout.splitlines() if line.endswith("...")]
    assert not {*cut} & {"add", "sync", "rm", "ls", "search", "migrate", "ask", "chat", "gc"}
    assert not {*cut} & {"doctor", "demo", "sessions", "models"}
