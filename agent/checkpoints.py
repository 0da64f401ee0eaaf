"""The running turn of a session, kept by LangGraph's SQLite checkpointer until acknowledged.

A turn that was killed goes on from its last finished step. Nothing here is the conversation: that
is the business of `sessions`, and a lost checkpoint costs only the work of one turn, so these
writes are not waited for until they reach the disk.
"""

from __future__ import annotations

import sqlite3
from functools import cached_property
from pathlib import Path

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.checkpoint.sqlite import SqliteSaver

from ..errors import LibraryDamaged, LibraryReadOnly
from ..index.passage import Passage
from ..tools.ocr import Line
from .answer import Answer, Generated, Marked, Picture, Retrieved, Text, Usage
from .draft import Slot
from .edits import Changes, Edit
from .state import Attachment, Dropped, Exchange, Made, Pointed

__all__ = ["Checkpoints", "serializer"]

_VALUES = (
    *(Answer, Attachment, Dropped, Exchange, Generated, Line, Made, Marked),
    *(Changes, Edit),
    *(Passage, Picture, Pointed, Retrieved, Slot, Text, Usage),
)


def serializer() -> JsonPlusSerializer:
    """LangGraph's serializer, allowed to rebuild the values of a turn and nothing else."""
    return JsonPlusSerializer(
        allowed_msgpack_modules=[(value.__module__, value.__name__) for value in _VALUES]
    )


class Checkpoints:
    """The running turns of one library's sessions.

    Args:
        folder: the library's own folder.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / "running.db"

    @cached_property
    def saver(self) -> SqliteSaver:
        """The checkpointer, opened on first use.

        Raises:
            LibraryReadOnly: the folder cannot be written.
        """
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            connection = sqlite3.connect(self._path, timeout=10, check_same_thread=False)
            connection.execute("PRAGMA synchronous = OFF")
            connection.execute("PRAGMA secure_delete = ON")
            saver = SqliteSaver(connection, serde=serializer())
            saver.setup()
        except (OSError, sqlite3.Error) as error:
            raise LibraryReadOnly(
                f"{self._path}: the conversation cannot be written ({error})",
                "choose another place with --library",
            ) from None
        return saver

    def pending(self, thread: str) -> str | None:
        """The question of a turn that was cut short; None where there is none."""
        if not self._path.exists():
            return None
        try:
            found = self.saver.get_tuple(self.config(thread))
        except Exception as error:
            # What was planted or damaged there is decoded by LangGraph, which raises anything.
            raise LibraryDamaged(
                f"{self._path}: the turn that was cut short cannot be read "
                f"({type(error).__name__})",
                f"delete {self._path.name}; what was answered is kept elsewhere",
            ) from error
        question = found.checkpoint["channel_values"].get("question") if found else None
        return str(question) if question else None

    def forget(self, thread: str) -> None:
        """Delete what is kept of a turn."""
        if self._path.exists():
            self.saver.delete_thread(thread)

    def close(self) -> None:
        """Close the file."""
        if "saver" in self.__dict__:
            self.saver.conn.close()
            del self.__dict__["saver"]

    @staticmethod
    def config(thread: str) -> RunnableConfig:
        """What tells LangGraph which turn is meant."""
        return RunnableConfig(configurable={"thread_id": thread})
