"""Row 8: two hundred paths that try to lead out of the named inputs, followed by strace.

Secrets lie beside the folder that is added; nothing may open them, and nothing may be written but
in the library. A child adds, syncs and asks for pictures under strace, which sees its workers too.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

__all__ = ["attacked", "build"]

_TARGETS = (
    *("../secret/x.png", "../../secret/x.png", "./../secret/x.png", "a/../../secret/x.png"),
    *("..%2Fsecret%2Fx.png", "%2e%2e/secret/x.png", "%2e%2e%2fsecret%2fx.png", "..\\secret\\x.png"),
    *("..%5csecret%5cx.png", "{root}/secret/x.png", "file://{root}/secret/x.png"),
    *("file:../secret/x.png", "//localhost{root}/secret/x.png", "link.png", "linked/x.png"),
    *("LINK.PNG", "twice.png", "up/secret/x.png", "../docs/../secret/x.png", "/etc/hostname"),
    *("../secret/x.png%00.png", "../secret/x.png\x00", " ../secret/x.png ", "‥/secret/x.png"),
    *("../SECRET/X.PNG", "~/secret/x.png", "$HOME/x.png", "../library/library.db"),
    *("/proc/self/environ", "/dev/zero", "../secret/" + "a/../" * 200 + "x.png"),
)
_FORMS = {
    "md": "# Here\n\nWords.\n\n![A picture]({target})\n",
    "html": '<h1>Here</h1><p>Words.</p><img src="{target}" srcset="{target} 2x" alt="A">',
    "rst": "Here\n====\n\nWords.\n\n.. image:: {target}\n\n.. include:: {target}\n",
    "htm": '<p>Words.</p><object data="{target}"></object><image href="{target}">',
    "markdown": '# Here\n\nWords.\n\n<img src="{target}">\n\n[![A]({target})]({target})\n',
}
_NAMES = (
    *("new\nline.txt", "tab\there.txt", "bell\x07.txt", "esc\x1b[31m.txt", "cr\rhere.txt"),
    *("‮rtl.txt", "library.db.txt", "write.lock.txt", "-rf.txt", "--help.txt", "%2e%2e.txt"),
    *(
        "..\\up.txt",
        "~root.txt",
        "$HOME.txt",
        "a.TXT",
        "A.txt",
        "ß.txt",
        "SS.txt",
        "İ.txt",
        "i.txt",
    ),
    *("name|pipe.txt", "a;b.txt", "`id`.txt", "$(id).txt", "nul%00.txt", "CON.txt", "a:b.txt"),
)
_REFERENCES = (
    *(
        "../../x.png",
        "../secret/x.png",
        "/etc/hostname",
        "",
        ".",
        "..",
        "a" * 64,
        "a" * 64 + ".gif",
    ),
    *("../" + "a" * 64 + ".png", "a" * 64 + ".png/../../x", "A" * 64 + ".png", "a" * 63 + ".png"),
    *(
        "a" * 64 + ".png\n",
        "a" * 64 + ".png\x00",
        "library.db",
        "../library.db",
        "file:///etc/hosts",
    ),
)


def attacked(folder: Path) -> dict[str, Any]:
    """Build the folder, attack it in a traced child, and count what was touched outside."""
    root = folder.resolve()
    cases = build(root)
    trace = root / "trace"
    command = ["strace", "-f", "-qq", "-y", "-s", "4000", "-o", str(trace), "-e"]
    command += ["trace=open,openat,openat2,creat,rename,renameat,renameat2,unlink,unlinkat,link"]
    command[-1] += ",linkat,symlink,symlinkat,mkdir,mkdirat,truncate,chmod"
    command += [sys.executable, __file__, str(root)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=root)
    if done.returncode:
        sys.exit(done.stdout[-2000:] + done.stderr[-2000:])
    answer = json.loads(done.stdout.splitlines()[-1])
    seen = _watched(trace.read_text(errors="replace"), root)
    data = b"".join(p.read_bytes() for p in (root / "library").rglob("*") if p.is_file())
    return {
        "paths": sum(cases.values()),
        "reads outside": len(seen.reads),
        "writes outside": len(seen.writes),
        "secret words in the library": data.count(b"SECRETWORD"),
        "examples": (seen.reads + seen.writes)[:10],
        "files seen being read inside": len(seen.inside),
        "by processes": len(seen.processes),
        "kinds": cases,
        **answer,
    }


def build(root: Path) -> dict[str, int]:
    """Make the secrets, the folder to be added and its neighbours; count the paths by kind."""
    docs, secret = root / "docs", root / "secret"
    docs.mkdir(parents=True)
    secret.mkdir()
    _painted("red").save(secret / "x.png")
    (secret / "x.txt").write_text("SECRETWORD")
    (docs / ".good").mkdir()
    _painted("green").save(docs / ".good" / "x.png")
    (docs / "good.md").write_text("# Good\n\nWords.\n\n![A picture](.good/x.png)\n")
    links = _links(docs, secret)
    count = 0
    for number, target in enumerate(_TARGETS):
        for suffix, form in _FORMS.items():
            text = form.replace("{target}", target.replace("{root}", str(root)))
            (docs / f"t{number:02}-{suffix}.{suffix}").write_text(text)
            count += 1
    for name in _NAMES:
        (docs / name).write_text("Words.\n")
    (docs / os.fsdecode(b"latin-\xe9.txt")).write_text("Words.\n")
    packed = _packed(docs, root)
    return {
        "image references in documents": count,
        "names": len(_NAMES) + 1,
        "links": links,
        "members of docx files": packed,
        "arguments": len(_arguments(root)),
        "media references": 3 * len(_REFERENCES),
    }


def _painted(colour: str) -> Image.Image:
    """A picture that is not blank."""
    image = Image.new("RGB", (64, 64), "white")
    image.paste(Image.new("RGB", (30, 20), colour), (10, 10))
    return image


def _links(docs: Path, secret: Path) -> int:
    links = {
        "link.png": secret / "x.png",
        "link.txt": secret / "x.txt",
        "relative.txt": Path("../secret/x.txt"),
        "linked": secret,
        "up": Path(".."),
        "loop.txt": Path("loop.txt"),
        "twice.png": Path("link.png"),
        "root": Path("/"),
        "library.md": Path("../library/library.db"),
    }
    for name, target in links.items():
        (docs / name).symlink_to(target)
    os.mkfifo(docs / "pipe.txt")
    return len(links) + 1


def _packed(docs: Path, root: Path) -> int:
    """Documents of Word whose pictures are said to be elsewhere, and members named outwards."""
    from docx import Document

    plain = docs.parent / "plain.docx"
    document = Document()
    document.add_paragraph("Words.")
    document.add_picture(str(docs.parent / "secret" / "x.png"))
    document.save(str(plain))
    targets = ["../../secret/x.png", f"{root}/secret/x.png", f"file://{root}/secret/x.png"]
    targets += ["../../../../../../../etc/hostname", "..\\..\\secret\\x.png", "media/../../../x"]
    for number, target in enumerate(targets):
        for external in ("", ' TargetMode="External"'):
            name = docs / f"word{number}{'-external' if external else ''}.docx"
            with zipfile.ZipFile(plain) as old, zipfile.ZipFile(name, "w") as new:
                for member in old.namelist():
                    data = old.read(member)
                    if member == "word/_rels/document.xml.rels":
                        to = f'Target="{target}"{external}'.encode()
                        data = re.sub(rb'Target="media/[^"]*"', lambda _, to=to: to, data)
                    new.writestr(member, data)
                new.writestr(target.replace("file://", ""), b"evil")
                new.writestr("../../evil.txt", b"evil")
    plain.unlink()
    return 2 * len(targets) * 2


def _arguments(root: Path) -> list[str]:
    """What is named to ``add`` and is no document."""
    library = root / "library"
    inside = [library, library / "library.db", library / "media", library / "write.lock"]
    inside += [root / "docs" / ".." / "library", root / "docs" / "library.md"]
    odd = ["", "\x00", f"{root}/docs/\x00.txt", f"{root}/secret\x00", "/dev/zero", "/dev/stdin"]
    odd += [f"{root}/DOCS", f"{root}/docs/pipe.txt", f"{root}/docs/loop.txt", "~nobody-here/x"]
    odd += ["a" * 300, f"{root}/docs/" + "x/" * 2100, "\ud800", "~", "://", "*", "?", "-"]
    return [*map(str, inside), *odd[:-5], *odd[-3:]]


_CALL = re.compile(r"^(\d+) +(\w+)\((.*)$")
_PATH = re.compile(r'(?:(?:AT_FDCWD|\d+)<([^>]*)>, )?"((?:[^"\\]|\\.)*)"')
_OPENED = re.compile(r"= \d+<([^>]*)>$")
_WRITES = ("O_WRONLY", "O_RDWR", "O_CREAT", "O_TRUNC")


@dataclass
class _Seen:
    """What a trace shows: calls outside, and, as a proof that it sees, files read inside."""

    reads: list[str] = field(default_factory=list)
    writes: list[str] = field(default_factory=list)
    inside: set[str] = field(default_factory=set)
    processes: set[str] = field(default_factory=set)


def _watched(trace: str, root: Path) -> _Seen:
    """Calls that touch a secret, or change anything but the library; successful or not."""
    seen = _Seen()
    for line in trace.splitlines():
        call = _CALL.match(line)
        found = _PATH.findall(line) if call else []
        if not call or not found:
            continue
        paths = [os.path.normpath(str(Path(base or root) / path)) for base, path in found]
        if opened := _OPENED.search(line):  # where the system itself says that it led
            paths.append(opened[1])
        short = line[:300].replace(str(root), "")
        if any(map(_is_secret(root), paths)):
            seen.reads.append(short)
        changes = not call[2].startswith("open") or any(flag in line for flag in _WRITES)
        if changes and not all(_may_be_written(path, root) for path in paths):
            seen.writes.append(short)
        if opened and opened[1].startswith(f"{root}/docs/"):
            seen.inside.add(opened[1])
            seen.processes.add(call[1])
    return seen


def _is_secret(root: Path) -> Callable[[str], bool]:
    secrets = (f"{root}/secret", "/etc/hostname", "/dev/zero", "/proc/self/environ")
    return lambda path: path.lower().startswith(tuple(map(str.lower, secrets)))


def _may_be_written(path: str, root: Path) -> bool:
    """The library, what is no file on a disk, and Python's own cache of compiled code."""
    places = (f"{root}/library", "/dev/null", "/dev/tty", "/dev/shm/", "/proc/self/")
    return path.startswith(places) or "__pycache__" in path


def _attack(root: Path) -> dict[str, int]:
    """What the traced child does."""
    from limner.errors import LibraryError
    from limner.index.embeddings import HashEmbeddings
    from limner.index.library import Library

    refused = 0
    with Library.open(root / "library", HashEmbeddings()) as library:
        first = library.add(root / "docs")
        library.add(root / "docs" / "a.TXT")
        refused += len(library.add(_arguments(root)).failed)
        library.sync()
        passages = library.search("words", k=2000)
        for reference in _REFERENCES:
            for use in (library.media.path, library.media.open):
                try:
                    use(reference)
                except LibraryError:
                    refused += 1
            library.media.remove(reference)
            library.lines(reference)
            library.remove(f"no-such-folder/x/{reference}x")
    pictures = len(list((root / "library" / "media").glob("*")))
    return {
        "files added": len(first.added),
        "files refused": len(first.failed),
        "arguments and references refused": refused,
        "passages": len(passages),
        "pictures taken": pictures,
    }


if __name__ == "__main__":
    print(json.dumps(_attack(Path(sys.argv[1]))))
