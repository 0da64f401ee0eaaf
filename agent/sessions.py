"""Conversations kept across turns: an append-only table, one checksummed row a turn. SQLite.

Knows questions and answers as values; nothing of the graph or of models.
"""

from __future__ import annotations

import hashlib
import json
import re
import sqlite3
import zlib
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

from ..errors import LibraryDamaged, LibraryReadOnly, UserError
from .answer import Answer, Generated, Picture
from .edits import drawings_of
from .state import Attachment, Exchange

__all__ = ["Session", "Sessions", "Summary", "Turn"]

_RECENT = 8  # turns that an open conversation holds in memory
_NAME = re.compile(r"[\w][\w .-]{0,63}")


@dataclass(frozen=True, slots=True)
class Turn:
    """One acknowledged turn.

    Attributes:
        question: as asked.
        attachments: the pictures that came with it.
        answer: what it ended in.
        at: when it was written down, UTC, ISO 8601.
    """

    question: str
    attachments: tuple[Attachment, ...]
    answer: Answer
    at: str


@dataclass(frozen=True, slots=True)
class Summary:
    """A session in a list: its name, how many turns, when the last one was."""

    name: str
    turns: int
    last: str


class Sessions:
    """The conversations of one library.

    Args:
        folder: the library's own folder.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / "sessions.db"
        self._pictures = folder / "answers"

    def open(self, name: str) -> Session:
        """A conversation by name, new or old.

        Raises:
            UserError: not a name: letters, digits, spaces, ``.``, ``-``, ``_``; at most 64.
            LibraryDamaged: a turn of it does not match its checksum.
        """
        if not _NAME.fullmatch(name):
            raise UserError(
                f"{name[:80]!r} is not a session name",
                "use up to 64 letters, digits, spaces, dots, dashes",
            )
        return Session(self, name, self.read(name))

    def ls(self) -> list[Summary]:
        """Every conversation, the latest first."""
        if not self._path.exists():
            return []
        with self._connected() as db:
            rows = db.execute(
                "SELECT session, count(*), max(at) FROM turns GROUP BY session ORDER BY 3 DESC"
            ).fetchall()
        return [Summary(*row) for row in rows]

    def rm(self, name: str) -> int:
        """Delete a conversation and say how many turns it had."""
        if not self._path.exists():
            return 0
        with self._connected() as db:
            return db.execute("DELETE FROM turns WHERE session=?", (name,)).rowcount

    def pictures(self) -> set[str]:
        """The media references that any turn holds, also of what a picture was drawn from."""
        if not self._path.exists():
            return set()
        with self._connected() as db:
            names = [name for (name,) in db.execute("SELECT DISTINCT session FROM turns")]
        turns = [turn for name in names for turn in self.read(name)]
        pictures = [picture for turn in turns for picture in turn.answer.pictures]
        drawn = [p.origin for p in pictures if isinstance(p.origin, Generated)]
        shown = {picture.media for picture in pictures}
        shown |= {media for d in drawn for media in (d.reference, d.mask) if media}
        return shown | {a.media for turn in turns for a in turn.attachments}

    def append(self, session: str, n: int, turn: Turn) -> None:
        """Write a turn down; it is durable when this returns.

        Raises:
            UserError: another process has added to the same conversation meanwhile.
        """
        values = {
            "question": turn.question,
            "attachments": [[a.media, a.name] for a in turn.attachments],
            "answer": turn.answer.to_dict(),
        }
        body = zlib.compress(json.dumps(values, separators=(",", ":")).encode("ascii"))
        self._path.parent.mkdir(parents=True, exist_ok=True)
        checksum = _checksum(session, n, turn.at, body)
        try:
            with self._connected() as db:
                db.execute(
                    "INSERT INTO turns VALUES (?, ?, ?, ?, ?)",
                    (session, n, turn.at, body, checksum),
                )
        except sqlite3.IntegrityError:
            raise UserError(
                f"the session {session!r} is in use elsewhere: its turn {n + 1} exists already",
                f"limner chat --session {session!r}",
            ) from None

    def read(self, name: str) -> Iterator[Turn]:
        """The turns of a conversation, oldest first; none where there is no such conversation.

        Raises:
            LibraryDamaged: a turn of it does not match its checksum.
        """
        if not self._path.exists():
            return
        with self._connected() as db:
            rows = db.execute(
                "SELECT n, at, body, checksum FROM turns WHERE session=? ORDER BY n", (name,)
            ).fetchall()
        for n, at, body, checksum in rows:
            if checksum != _checksum(name, n, at, body):
                raise LibraryDamaged(
                    f"{self._path}: turn {n + 1} of {name!r} was damaged",
                    f"limner sessions rm {name!r}",
                )
            yield self._turn(json.loads(zlib.decompress(body)), at)

    def _turn(self, values: dict[str, Any], at: str) -> Turn:
        attachments = tuple(Attachment(media, name) for media, name in values["attachments"])
        answer = Answer.from_dict(values["answer"], folder=str(self._pictures))
        return Turn(values["question"], attachments, answer, at)

    @contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        try:
            with closing(sqlite3.connect(self._path, timeout=10)) as db:
                db.execute("PRAGMA secure_delete = ON")
                with db:
                    db.execute(
                        "CREATE TABLE IF NOT EXISTS turns (session TEXT, n INTEGER, at TEXT, "
                        "body BLOB, checksum TEXT, PRIMARY KEY (session, n)) WITHOUT ROWID"
                    )
                    yield db
        except sqlite3.OperationalError as error:
            raise LibraryReadOnly(
                f"{self._path}: the conversation cannot be written ({error})",
                "choose another place with --library",
            ) from None
        except sqlite3.IntegrityError:
            raise
        except sqlite3.DatabaseError as error:
            raise LibraryDamaged(f"{self._path}: damaged ({error})", "limner doctor") from None


class Session:
    """One conversation, open; of what it keeps in memory only the drawings' records grow with it.

    Attributes:
        count: how many turns were acknowledged.
        recent: the last of them, oldest first.
        drawings: the generated pictures of all of them, in the order in which they were shown.
    """

    def __init__(self, sessions: Sessions, name: str, turns: Iterable[Turn] = ()) -> None:
        self._sessions = sessions
        self._aside: list[Turn] = []
        self.name = name
        self.count = 0
        self.recent: deque[Turn] = deque(maxlen=_RECENT)
        self.drawings: tuple[Picture, ...] = ()
        for turn in turns:
            self._add(turn)

    @property
    def turns(self) -> list[Turn]:
        """Every acknowledged turn, oldest first, read again.

        Raises:
            LibraryDamaged: a turn does not match its checksum.
        """
        written = self.count - len(self._aside)
        return [*islice(self._sessions.read(self.name), written), *self._aside]

    def history(self) -> tuple[Exchange, ...]:
        """The last exchanges, as the chat model is told of them."""
        return tuple(Exchange(t.question, t.answer.text) for t in self.recent if t.answer.parts)

    def append(self, question: str, attachments: Sequence[Attachment], answer: Answer) -> None:
        """Write a turn down; it is durable when this returns."""
        turn = Turn(question, tuple(attachments), answer, _now())
        self._sessions.append(self.name, self.count, turn)
        self._add(turn)

    def keep_aside(self, question: str, answer: Answer) -> None:
        """Keep a turn for as long as the program runs, where nothing can be written."""
        turn = Turn(question, (), answer, _now())
        self._aside.append(turn)
        self._add(turn)

    def _add(self, turn: Turn) -> None:
        self.recent.append(turn)
        self.drawings += drawings_of([turn.answer])
        self.count += 1


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _checksum(*values: object) -> str:
    return hashlib.sha256(repr(values).encode("utf-8", "surrogatepass")).hexdigest()
