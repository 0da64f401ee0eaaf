"""Every error that Limner raises on purpose, in one tree.

The branch says who is to hear it; the exit code follows the branch::

    LimnerError
    ├── UserError                 the person at the keyboard can mend it        exit 1
    │   ├── QuestionError         an empty or unusable question
    │   ├── SourceError           a file that cannot be read as what it claims
    │   └── LibraryError          the library on disk
    │       ├── LibraryLocked     another process is writing
    │       ├── LibraryMismatch   made by another embedding model or a newer version
    │       ├── LibraryReadOnly   the folder cannot be written
    │       ├── LibraryDamaged    a checksum does not match
    │       └── LibraryUnreachable  the server that holds its vectors does not answer
    ├── ModelError                a model or its set-up                         exit 3
    │   ├── ModelMissing          weights or a package are not there
    │   └── ModelOutputError      the model gave something unusable
    └── DeveloperError            the calling code                              exit 3

Each error carries a ``hint``: the next thing to type or do. Knows nothing of terminals.
"""

from __future__ import annotations

__all__ = [
    "DeveloperError",
    "LibraryDamaged",
    "LibraryError",
    "LibraryLocked",
    "LibraryMismatch",
    "LibraryReadOnly",
    "LibraryUnreachable",
    "LimnerError",
    "ModelError",
    "ModelMissing",
    "ModelOutputError",
    "QuestionError",
    "SourceError",
    "UserError",
]


class LimnerError(Exception):
    """The root of the tree.

    Args:
        message: the cause, in one line, naming the file or model concerned.
        hint: the next thing to type or do; may be empty.

    Attributes:
        exit_code: what a command ends with when this error reaches it.
    """

    exit_code = 3

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class UserError(LimnerError):
    """Something the user can mend: a path, a question, a library."""

    exit_code = 1


class QuestionError(UserError):
    """The question is empty or cannot be used."""


class SourceError(UserError):
    """A file cannot be read as what its name claims it to be."""


class LibraryError(UserError):
    """The library on disk cannot be used as asked."""


class LibraryLocked(LibraryError):
    """Another process is writing to this library."""


class LibraryMismatch(LibraryError):
    """The library was made by another embedding model or a newer version of Limner."""


class LibraryReadOnly(LibraryError):
    """The library's folder cannot be written."""


class LibraryDamaged(LibraryError):
    """Something read back from the library does not match its checksum."""


class LibraryUnreachable(LibraryError):
    """The server that holds the library's vectors does not answer."""


class ModelError(LimnerError):
    """A model, or what it needs, is not as it should be."""


class ModelMissing(ModelError):
    """A model's weights or package cannot be found."""


class ModelOutputError(ModelError):
    """A model returned something that cannot be used."""


class DeveloperError(LimnerError):
    """The calling code asked for something that does not exist."""
