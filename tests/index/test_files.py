from __future__ import annotations

import os
import random
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limner.index.files import Found, Places, find, is_gone, source_name

DOCS = Path("/docs")


def names(found: Found) -> list[str]:
    return [Path(file).name for file in found.files]


def reasons(problems: list) -> dict[str, str]:
    return {Path(p.path).name: p.reason for p in problems}


def test_a_folder_is_walked_in_order_without_what_is_hidden(tmp_path: Path) -> None:
    for name in ("b.txt", "a.md", ".secret.md", "c.bin", "sub/d.TXT", ".git/e.txt", "lib/f.txt"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("x")
    found = find([tmp_path], tmp_path / "lib")
    assert names(found) == ["a.md", "b.txt", "d.TXT"]
    assert found.folders == [tmp_path]
    assert reasons(found.skipped) == {"c.bin": ".bin: not a format that is read"}
    assert not found.failed


def test_a_named_file_is_taken_whatever_it_is(tmp_path: Path) -> None:
    path = tmp_path / ".hidden.xyz"
    path.write_text("x")
    found = find([path, path], tmp_path / "lib")
    assert found.files == {str(path): path} and not found.folders


def test_links_inside_a_folder_are_not_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret.txt").write_text("x")
    inside = tmp_path / "inside"
    inside.mkdir()
    (inside / "file.txt").symlink_to(outside / "secret.txt")
    (inside / "folder").symlink_to(outside)
    (inside / "loop.txt").symlink_to(inside / "loop.txt")
    (inside / "up").symlink_to(inside)
    os.mkfifo(inside / "pipe.txt")
    found = find([inside], tmp_path / "lib")
    assert not found.files and not found.failed
    assert reasons(found.skipped) == {
        **dict.fromkeys(
            ("file.txt", "folder", "loop.txt", "up"), "a symbolic link inside a folder"
        ),
        "pipe.txt": "neither a file nor a folder",
    }


def test_a_link_that_is_named_is_followed(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "a.txt").write_text("x")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert list(find([tmp_path / "link"], tmp_path / "lib").files) == [
        str(tmp_path / "real" / "a.txt")
    ]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("missing.txt", "no such file or folder"),
        ("file.txt/below.txt", "not a directory"),
        ("loop", "a symbolic link that leads to itself"),
        ("nul\0.txt", "null byte"),
        ("n" * 300, "file name too long"),
        ("pipe", "neither a file nor a folder"),
        ("lib", "part of the library itself"),
        ("lib/media", "part of the library itself"),
    ],
)
def test_what_cannot_be_had_is_reported(tmp_path: Path, name: str, reason: str) -> None:
    (tmp_path / "file.txt").write_text("x")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "lib" / "media").mkdir(parents=True)
    os.mkfifo(tmp_path / "pipe")
    found = find([f"{tmp_path}/{name}"], tmp_path / "lib")
    assert [reason in p.reason for p in found.failed] == [True], found.failed
    assert not found.files and not found.folders


def test_an_empty_path_is_not_the_current_folder() -> None:
    assert [p.reason for p in find([""], DOCS).failed] == ["an empty path"]


def test_gone_is_only_what_certainly_is(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    assert not is_gone(tmp_path / "file")
    assert is_gone(tmp_path / "missing")
    assert is_gone(tmp_path / "file" / "below")
    assert is_gone(tmp_path / "link") and is_gone(tmp_path)  # no file any more
    assert not is_gone(tmp_path / ("n" * 300))  # the system cannot say


def test_source_names_are_unique_and_printable() -> None:
    taken: set[str] = set()
    got = []
    for path, root in [
        ("/docs/a.md", "/docs"),
        ("/old/docs/a.md", "/old/docs"),
        ("/older/docs/a.md", "/older/docs"),
        ("/x/a.md", "/x/a.md"),
        ("/docs/sub/b.md", "/docs"),
        ("/docs/line\nbreak\x1b[31m.md", "/docs"),
        (os.fsdecode(b"/docs/caf\xe9.md"), "/docs"),
        ("/docs/Prüfung 2024\u202fAM.md", "/docs"),
    ]:
        got.append(source_name(Path(path), Path(root), taken))
        taken.add(got[-1])
    assert got == [
        "a.md",
        "docs/a.md",
        "docs/a.md (2)",
        "x/a.md",
        "sub/b.md",
        "line\\nbreak\\x1b[31m.md",
        "caf\\xe9.md",
        "Prüfung 2024\u202fAM.md",
    ]


def test_the_nearest_name_decides() -> None:
    places = Places().add([DOCS], []).remove(DOCS / "private").remove(DOCS / "a.md")
    assert places.hold(DOCS / "b.md") and places.hold(DOCS / "sub" / "c.md")
    assert not places.hold(DOCS / "private" / "new.md")
    assert not places.hold(DOCS / "a.md") and not places.hold(Path("/docs2/b.md"))


def test_what_was_removed_comes_back_only_by_its_name() -> None:
    places = Places().add([DOCS], []).remove(DOCS / "a.md").remove(DOCS / "private")
    assert not places.add([DOCS], []).hold(DOCS / "a.md")
    assert places.add([], [DOCS / "a.md"]).hold(DOCS / "a.md")
    assert places.add([DOCS / "private"], []).hold(DOCS / "private" / "x.md")


def test_removing_a_folder_forgets_all_about_it() -> None:
    places = Places().add([DOCS], []).remove(DOCS / "a.md").remove(DOCS)
    assert places == Places()
    assert places.add([DOCS], []).hold(DOCS / "a.md")


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["add", "remove"]),
            st.lists(st.sampled_from("ab"), min_size=1, max_size=3),
        ),
        max_size=8,
    )
)
def test_the_last_word_on_a_place_counts(history: list[tuple[str, list[str]]]) -> None:
    places = Places()
    for action, parts in history:
        path = Path("/", *parts)
        places = places.add([path], []) if action == "add" else places.remove(path)
        assert places.hold(path) == (action == "add")
    assert not places.added & places.removed


def ignore(folder: Path, *patterns: str) -> None:
    (folder / ".limnerignore").write_text("\n".join(patterns))


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in ("a.md", "b.md", "logs/a.md", "logs/keep.md", "src/a.md", "src/deep/a.md"):
        path = tmp_path / "tree" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
    return tmp_path / "tree"


def below(tree: Path, lib: str = "lib") -> set[str]:
    return {os.path.relpath(file, tree) for file in find([tree], tree / lib).files}


@pytest.mark.parametrize(
    ("patterns", "left"),
    [
        (["logs/"], {"a.md", "b.md", "src/a.md", "src/deep/a.md"}),
        (["/a.md"], {"b.md", "logs/a.md", "logs/keep.md", "src/a.md", "src/deep/a.md"}),
        (["a.md"], {"b.md", "logs/keep.md"}),
        (["*.md", "!keep.md"], {"logs/keep.md"}),
        (["logs/", "!logs/keep.md"], {"a.md", "b.md", "src/a.md", "src/deep/a.md"}),
        (["logs/*", "!logs/keep.md", "# src", "src/**/a.md"], {"a.md", "b.md", "logs/keep.md"}),
        (["/*", "!/src"], {"src/a.md", "src/deep/a.md"}),
        (["\ufeffsrc", "logs\r"], {"a.md", "b.md"}),
        ([], {"a.md", "b.md", "logs/a.md", "logs/keep.md", "src/a.md", "src/deep/a.md"}),
    ],
)
def test_what_is_ignored(tree: Path, patterns: list[str], left: set[str]) -> None:
    ignore(tree, *patterns)
    found = find([tree], tree / "lib")
    assert {os.path.relpath(file, tree) for file in found.files} == left
    assert not found.skipped and not found.failed


def test_the_nearest_ignore_file_decides(tree: Path) -> None:
    ignore(tree, "a.md")
    ignore(tree / "src", "!a.md")
    ignore(tree / "src" / "deep", "/a.md")
    assert below(tree) == {"b.md", "logs/keep.md", "src/a.md"}


def test_what_is_named_is_taken_though_it_is_ignored(tree: Path) -> None:
    ignore(tree, "src/", "*.md")
    found = find([tree / "src" / "a.md", tree], tree / "lib")
    assert list(found.files) == [str(tree / "src" / "a.md")]
    assert below(tree / "src") == {"a.md", "deep/a.md"}


def test_an_ignored_folder_is_not_entered(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ignore(tree, "logs")
    entered = []
    scandir = os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: entered.append(path) or scandir(path))
    below(tree)
    assert {Path(path).name for path in entered} == {"tree", "src", "deep"}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"a.md\n" * 20_000, "larger than 64 kB"),
        (b"a\n" * 1_001, "more than 1000 patterns"),
        (b"a\0b", "binary data, not text"),
        (b"*a*a*a*a*a*b", "too many wildcards"),
        (b"**/a/**/a/**/b", "too many wildcards"),
        (b"!", "not a list of patterns"),
    ],
)
def test_an_ignore_file_that_is_no_good_is_reported(
    tree: Path, content: bytes, reason: str
) -> None:
    (tree / ".limnerignore").write_bytes(content)
    found = find([tree], tree / "lib")
    assert len(found.files) == 6
    (problem,) = found.failed
    assert problem.path == str(tree / ".limnerignore") and reason in problem.reason


def test_an_ignore_file_that_is_a_link_or_a_pipe(tree: Path) -> None:
    (tree / ".limnerignore").symlink_to("/etc/passwd")
    os.mkfifo(tree / "src" / ".limnerignore")
    (tree / "logs" / ".limnerignore").mkdir()
    found = find([tree], tree / "lib")
    assert len(found.files) == 6
    assert [problem.reason.partition(";")[0] for problem in found.failed] == [
        *("a symbolic link", "is a directory", "not a file"),
    ]


def test_stats_come_with_the_files(tree: Path) -> None:
    found = find([tree], tree / "lib")
    assert found.stats.keys() == found.files.keys()
    assert all(found.stats[file] == os.lstat(file) for file in found.files)
    assert find([tree / "a.md"], tree / "lib").stats == {}


@pytest.mark.slow
def test_the_same_files_are_left_as_git_leaves(tmp_path: Path) -> None:
    patterns = ("a", "b/", "/a", "*.md", "!keep.md", "build/", "a/b", "**/b", "a/**", "/*", "!/a")
    patterns += ("keep/*", "x\\ y.txt", "[ab].md", "?.md", "\\#c", "a/**/b", "*", "!*/", "!b.txt")
    for seed in range(30):
        dice, tree = random.Random(seed), tmp_path / str(seed)
        folders = [tree]
        tree.mkdir()
        for _ in range(8):
            inner = dice.choice(folders) / dice.choice(("a", "b", "keep", "build"))
            if not inner.exists():
                inner.mkdir()
                folders.append(inner)
        for folder in folders:
            for name in ("a.md", "b.txt", "keep.md", "x y.txt"):
                (folder / name).write_text("x")
        ignore(tree, *dice.choices(patterns, k=4))
        subprocess.run(["git", "init", "-q", str(tree)], check=True)
        asked = ("ls-files", "-z", "-o", "--exclude-per-directory=.limnerignore")
        listed = subprocess.run(["git", "-C", str(tree), *asked], capture_output=True, check=True)
        kept = set(listed.stdout.decode().split("\0")) - {"", ".limnerignore"}
        assert below(tree) == kept, (tree / ".limnerignore").read_text()
