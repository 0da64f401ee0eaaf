"""Paths that try to lead out of what was named. Every file that is opened is looked at.

benchmarks/reliability_paths.py does the same with two hundred of them, and with strace.
"""

from __future__ import annotations

import os
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from limner.errors import LibraryDamaged
from limner.index.embeddings import HashEmbeddings
from limner.index.library import Library

HOOK = """
import os, sys
log = os.open({log!r}, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
def note(event, arguments):
    if event == "open" and isinstance(arguments[0], (str, bytes)):
        os.write(log, os.fsencode(arguments[0]) + b"\\n")
sys.addaudithook(note)
"""
TARGETS = (
    *("../secret/x.png", "../../secret/x.png", "a/../../secret/x.png", "..%2Fsecret%2Fx.png"),
    *("%2e%2e/secret/x.png", "{root}/secret/x.png", "file://{root}/secret/x.png", "link.png"),
    *("linked/x.png", "twice.png", "up/secret/x.png", "../secret/x.png\x00", "..\\secret\\x.png"),
    *("../SECRET/X.PNG", "../docs/../secret/x.png", "../library/library.db", "/etc/hostname"),
)
REFERENCES = (
    *("../secret/x.png", "../../x.png", "/etc/hostname", "", ".", "a" * 64, "A" * 64 + ".png"),
    *("../" + "a" * 64 + ".png", "a" * 64 + ".png\n", "a" * 64 + ".png\x00", "library.db"),
)

_opened: list[str] = []
_hooked: list[bool] = []


def _note(event: str, arguments: tuple[object, ...]) -> None:
    if event == "open" and isinstance(arguments[0], str | bytes):
        _opened.append(os.fsdecode(arguments[0]))


@pytest.fixture
def opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Every path that is opened, here and by the processes that read documents."""
    if not _hooked:
        sys.addaudithook(_note)  # which cannot be taken back
        _hooked.append(True)
    log, hook = tmp_path / "opened", tmp_path / "hook"
    hook.mkdir()
    (hook / "sitecustomize.py").write_text(HOOK.format(log=str(log)))
    monkeypatch.setenv("PYTHONPATH", str(hook), prepend=os.pathsep)
    _opened.clear()
    found: list[str] = []
    yield found
    found.clear()


def paths_opened(tmp_path: Path) -> list[str]:
    log = tmp_path / "opened"
    of_workers = log.read_text(errors="replace").splitlines() if log.exists() else []
    assert any(path.startswith(f"{tmp_path}/docs/") for path in of_workers)  # they were watched
    return [os.path.realpath(path.replace("\0", "")) for path in [*_opened, *of_workers]]


@pytest.fixture
def root(tmp_path: Path, paint) -> Path:
    """A folder to be added, and secrets beside it."""
    docs, secret = tmp_path / "docs", tmp_path / "secret"
    docs.mkdir()
    secret.mkdir()
    paint("secret").save(secret / "x.png")
    (secret / "x.txt").write_text("SECRETWORD")
    (docs / "link.png").symlink_to(secret / "x.png")
    (docs / "twice.png").symlink_to("link.png")
    (docs / "link.txt").symlink_to("../secret/x.txt")
    (docs / "linked").symlink_to(secret)
    (docs / "up").symlink_to("..")
    return tmp_path


def nothing_left(root: Path) -> None:
    """No secret was opened, none is in the library, and nothing stands beside it."""
    assert not [path for path in paths_opened(root) if path.startswith(f"{root}/secret")]
    held = [path.read_bytes() for path in (root / "library").rglob("*") if path.is_file()]
    assert not any(b"SECRETWORD" in data for data in held)
    assert {path.name for path in root.iterdir()} <= {"docs", "secret", "library", "opened", "hook"}


def test_pictures_outside_the_folder(root: Path, opened: list[str]) -> None:
    forms = {
        "md": "# Here\n\nWords.\n\n![A]({target})\n",
        "html": '<p>Words.</p><img src="{target}">',
        "rst": "Words.\n\n.. image:: {target}\n\n.. include:: {target}\n",
    }
    for n, target in enumerate(TARGETS):
        for suffix, form in forms.items():
            text = form.replace("{target}", target.replace("{root}", str(root)))
            (root / "docs" / f"{n:02}.{suffix}").write_text(text)
    with Library.open(root / "library", HashEmbeddings()) as library:
        report = library.add(root / "docs")
        assert len(report.added) > 40
        library.sync()
        assert not list(library.media)
        assert not [p for p in library.search("words", k=99) if p.image]
    nothing_left(root)


def test_members_of_a_docx_that_lead_outside(root: Path, opened: list[str]) -> None:
    from docx import Document

    document = Document()
    document.add_paragraph("Words.")
    document.save(str(root / "docs" / "a.docx"))
    with zipfile.ZipFile(root / "docs" / "a.docx", "a") as members:
        members.writestr("../../evil.txt", "evil")
        members.writestr(f"{root}/evil.txt", "evil")
    with Library.open(root / "library", HashEmbeddings()) as library:
        assert library.add(root / "docs").added == ("a.docx",)
    nothing_left(root)


def test_arguments_that_are_no_documents(
    root: Path, opened: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / "docs" / "a.txt").write_text("Words.")
    monkeypatch.chdir("/usr/lib")  # whose parent holds none of the documents
    with Library.open(root / "library", HashEmbeddings()) as library:
        library.add(root / "docs")
        before = library.stats()
        odd = ["", "\0", f"{root}/secret\0", "/dev/zero", "a" * 300, "\ud800", "~nobody-here/x"]
        odd += [f"{root}/library", f"{root}/library/library.db", f"{root}/docs/../library/words"]
        for path in odd:
            assert library.add(path).failed, path
            assert library.remove(f"../{path}").failed
        assert library.stats() == before
    nothing_left(root)


def test_names_with_control_characters(root: Path, opened: list[str]) -> None:
    names = ["new\nline.txt", "esc\x1b[31m.txt", "library.db.txt", "a.TXT", "A.txt", "-rf.txt"]
    for n, name in enumerate(names):
        (root / "docs" / name).write_text(f"Words of number {n}.")
    (root / "docs" / os.fsdecode(b"caf\xe9.txt")).write_text("Words of a bar.")
    with Library.open(root / "library", HashEmbeddings()) as library:
        report = library.add(root / "docs")
        assert len(report.added) == len(names) + 1 == len(set(report.added))
        assert all(source.isprintable() for source in report.added)
        assert len(library.search("words", k=20)) == len(names) + 1
    nothing_left(root)


@pytest.mark.parametrize("reference", REFERENCES)
def test_media_references_that_are_paths(root: Path, reference: str) -> None:
    media = Library.open(root / "library", HashEmbeddings()).media
    media.folder.mkdir(parents=True)
    for use in (media.path, media.open):
        with pytest.raises(LibraryDamaged):
            use(reference)
    media.remove(reference)
    assert reference not in media
    assert (root / "secret" / "x.png").exists()
