"""Immutable files of arrays under one token: what a search structure keeps on the disk.

A segment is a file that is written once and never changed: a header that names its arrays with
their places and checksums, then the arrays. It is called by the hash of its header, it is mapped
into memory, and each array is compared with its checksum when it is first touched. Rows are named
by integer keys, and removing one only notes its key; a segment that has lost many, and small ones
that have grown many, are merged into a new one. The token names the live segments and the removed
keys, so whoever writes it down decides what counts.

Knows arrays and keys; nothing of vectors, words or search.
"""

from __future__ import annotations

import base64
import hashlib
import json
import mmap
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DeveloperError, LibraryDamaged
from .durable import write_file

__all__ = ["Arrays", "Keys", "Pieces", "Segment", "Segments"]

Keys = NDArray[np.int64]
Pieces = Sequence[NDArray[Any]]  # what, one after the other, makes one array
Arrays = Mapping[str, NDArray[Any] | Pieces]

_MAGIC = b"limner segment 2\n"
_ALIGNED = 64
_FANOUT = 8  # so many segments of about one size become one
_DEAD = 0.25  # a segment that has lost this share of its rows is written anew


class Segment:
    """One file, mapped. Its arrays are read-only and are verified when first asked for.

    Args:
        path: the file.

    Raises:
        LibraryDamaged: missing, truncated, or not what its name says.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._arrays: dict[str, NDArray[Any]] = {}
        try:
            with path.open("rb") as stream:
                self._data = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
        except FileNotFoundError:
            raise self._damaged("is missing") from None
        except (OSError, ValueError) as error:  # a folder, an empty file
            raise self._damaged(f"cannot be read: {error}") from error
        start = len(_MAGIC) + 8
        length = int.from_bytes(self._data[len(_MAGIC) : start], "little")
        header = self._data[start : start + length]
        self._base = _aligned(start + length)
        rest = self._data[start + length : self._base]
        if self._data[: len(_MAGIC)] != _MAGIC or _name(header) != path.stem or any(rest):
            raise self._damaged("was damaged")
        self._entries: dict[str, list[Any]] = json.loads(header)
        if len(self._data) != self._base + _size(self._entries):
            raise self._damaged("was cut short or grew")

    @property
    def name(self) -> str:
        """The file's name."""
        return self.path.name

    @property
    def keys(self) -> Keys:
        """The keys of its rows, ascending."""
        return self["keys"]

    def __len__(self) -> int:
        return int(self._entries["keys"][1][0])

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __getitem__(self, name: str) -> NDArray[Any]:
        """An array.

        Raises:
            LibraryDamaged: it does not match its checksum.
        """
        if name not in self._arrays:
            dtype, shape, offset, found = self._entries[name]
            start, count = self._base + offset, int(np.prod(shape))
            array = np.frombuffer(self._data, dtype, count, start)
            rest = self._data[start + array.nbytes : start + _aligned(array.nbytes)]
            if _checksum([array]) != found or any(rest):
                raise self._damaged("was damaged")
            self._arrays[name] = array.reshape(shape)
        return self._arrays[name]

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of an array, which is not touched for it; ``(0,)`` where there is none."""
        return tuple(self._entries[name][1]) if name in self else (0,)

    def rows(self, keys: Keys) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
        """For each key the row where it would stand, and whether it does."""
        at = np.minimum(np.searchsorted(self.keys, keys), max(len(self) - 1, 0))
        return at, self.keys[at] == keys

    def _damaged(self, what: str) -> LibraryDamaged:
        return LibraryDamaged(f"{self.path} {what}", "limner doctor --repair")


class Segments:
    """The live segments of one folder.

    Args:
        folder: where the files are; created by the first commit.
        suffix: of the files, with its dot; others are left alone.
        token: the state to open; empty for an empty one.

    Raises:
        LibraryDamaged: a file is missing or damaged.
    """

    def __init__(self, folder: Path, suffix: str, token: str = "") -> None:
        self._folder = folder
        self._suffix = suffix
        names, self._removed = _state(folder, token)
        self._segments = [Segment(folder / name) for name in names]
        self._live: dict[str, NDArray[np.bool_] | None] = {}

    @classmethod
    def salvaged(cls, folder: Path, suffix: str, token: str) -> tuple[str, list[str]]:
        """The part of a state whose files are whole.

        Returns:
            Its token, and what is wrong with each of the other files.
        """
        sound, wrong = cls(folder, suffix), []
        for name in json.loads(token)["segments"] if token else []:
            try:
                segment = Segment(folder / name)
                for array in segment._entries:
                    segment[array]
                sound._segments.append(segment)
            except LibraryDamaged as error:
                wrong.append(str(error))
        sound.remove(_unpacked(json.loads(token)["removed"]) if token else [])
        return sound.token, wrong

    def __iter__(self) -> Iterator[Segment]:
        return iter(self._segments)

    def __len__(self) -> int:
        """How many rows are live."""
        return sum(map(len, self._segments)) - len(self._removed)

    def keys(self) -> Keys:
        """The keys of all live rows, ascending."""
        keys = [s.keys if (live := self.live(s)) is None else s.keys[live] for s in self]
        return np.sort(np.concatenate(keys)) if keys else np.zeros(0, np.int64)

    def live(self, segment: Segment) -> NDArray[np.bool_] | None:
        """Which rows of a segment are live: a mask, or None where all are."""
        if segment.name not in self._live:
            mask = None
            if len(self._removed):
                at, there = segment.rows(self._removed)
                if there.any():
                    mask = np.ones(len(segment), np.bool_)
                    mask[at[there]] = False
            self._live[segment.name] = mask
        return self._live[segment.name]

    def remove(self, keys: Sequence[int] | Keys) -> None:
        """Rows of these keys are live no more; unknown keys are no error."""
        wanted = np.setdiff1d(np.asarray(keys, np.int64), self._removed)
        known = [wanted[segment.rows(wanted)[1]] for segment in self if len(wanted)]
        if known:
            self._removed = np.union1d(self._removed, np.concatenate(known))
            self._live.clear()

    def due(self, rows: int, compact: bool = False) -> list[Segment]:
        """Those to be merged with so many new rows: worn ones, and many of about one size.

        Args:
            rows: that come new.
            compact: a segment is worn as soon as it has lost one row.
        """
        kept = 1.0 if compact else 1 - _DEAD
        taken = [s for s in self if self._alive(s) < kept * len(s)]
        while True:  # what is merged may be the eighth of the next size
            whole = rows + sum(map(self._alive, taken))
            rest = [s for s in self if s not in taken and self._alive(s) <= whole * _FANOUT]
            small = [s for s in rest if self._alive(s) * _FANOUT <= whole]
            more = rest if len(rest) - len(small) + 1 >= _FANOUT else small
            if not more:
                return taken
            taken += more

    def commit(self, new: Arrays | None, instead_of: Sequence[Segment] = ()) -> str:
        """Write a new segment, let it take the place of others, and return the token.

        Args:
            new: its arrays, each whole or in pieces that are written one after the other;
                ``keys`` (ascending int64) names the rows. None where nothing is left.
            instead_of: whose live rows are in it.

        Raises:
            DeveloperError: the keys do not ascend, or are none.
        """
        if new is not None:
            keys = np.concatenate(_pieces(new["keys"]))
            if not len(keys) or keys.dtype != np.int64 or np.any(np.diff(keys) <= 0):
                raise DeveloperError("the keys of a segment must be int64 and ascend")
        written = [] if new is None else [Segment(self._write(new))]
        gone = [segment.keys for segment in instead_of]
        self._segments = [s for s in self if s not in instead_of] + written
        if gone:
            self._removed = np.setdiff1d(self._removed, np.concatenate(gone))
        self._live.clear()
        return self.token

    @property
    def token(self) -> str:
        """The state as a text."""
        names = sorted(segment.name for segment in self)
        return json.dumps({"segments": names, "removed": _packed(self._removed)})

    def sweep(self) -> None:
        """Delete the files that are live no more; called once the token is written down."""
        live = {segment.name for segment in self}
        if self._folder.is_dir():
            for path in self._folder.glob(f"*{self._suffix}*"):
                if path.name not in live:
                    path.unlink(missing_ok=True)

    def _alive(self, segment: Segment) -> int:
        mask = self.live(segment)
        return len(segment) if mask is None else int(np.count_nonzero(mask))

    def _write(self, arrays: Arrays) -> Path:
        entries, offset = {}, 0
        body: list[bytes | memoryview] = []
        for name, array in arrays.items():
            pieces = _pieces(array)
            size = sum(piece.nbytes for piece in pieces)
            shape = [sum(map(len, pieces)), *pieces[0].shape[1:]]
            kind = pieces[0].dtype.newbyteorder("<").str
            entries[name] = [kind, shape, offset, _checksum(pieces)]
            offset += _aligned(size)
            body += [*map(_bytes, pieces), bytes(_aligned(size) - size)]
        header = json.dumps(entries).encode()
        head = _MAGIC + len(header).to_bytes(8, "little") + header
        parts = [head, bytes(_aligned(len(head)) - len(head)), *body]
        path = self._folder / f"{_name(header)}{self._suffix}"
        write_file(path, *parts)
        return path


def _state(folder: Path, token: str) -> tuple[list[str], Keys]:
    try:
        state: Any = json.loads(token) if token else {"segments": [], "removed": ""}
        names = [str(name) for name in state["segments"] if Path(name).name == name]
        if len(names) == len(state["segments"]):
            return names, _unpacked(state["removed"])
    except (ValueError, TypeError, LookupError, zlib.error):
        pass
    raise LibraryDamaged(f"the state of {folder} cannot be read", "limner doctor --repair")


def _pieces(array: NDArray[Any] | Pieces) -> list[NDArray[Any]]:
    pieces = [array] if isinstance(array, np.ndarray) else array
    return [np.ascontiguousarray(piece) for piece in pieces]


def _bytes(array: NDArray[Any]) -> memoryview:
    return array.reshape(-1).view(np.uint8).data


def _checksum(pieces: Pieces) -> str:
    """XXH3, which reads memory as fast as it comes; it is to notice damage, not forgery."""
    import xxhash

    found = xxhash.xxh3_128()
    for piece in pieces:
        found.update(_bytes(piece))
    return found.hexdigest()


def _name(header: bytes) -> str:
    return hashlib.sha256(header).hexdigest()[:40]


def _aligned(offset: int) -> int:
    return -(-offset // _ALIGNED) * _ALIGNED


def _size(entries: Mapping[str, Sequence[Any]]) -> int:
    sizes = (np.dtype(kind).itemsize * int(np.prod(shape)) for kind, shape, *_ in entries.values())
    return sum(map(_aligned, sizes))


def _packed(keys: Keys) -> str:
    return base64.b64encode(zlib.compress(np.diff(keys, prepend=0).tobytes(), 1)).decode()


def _unpacked(text: str) -> Keys:
    data = zlib.decompress(base64.b64decode(text, validate=True)) if text else b""
    return np.cumsum(np.frombuffer(data, "<i8"))
