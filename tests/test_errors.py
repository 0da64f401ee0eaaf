from __future__ import annotations

import inspect
import re

import pytest

from limner import errors
from limner.errors import DeveloperError, LimnerError, ModelError, UserError

CLASSES = [getattr(errors, name) for name in errors.__all__]


def test_every_error_is_listed_and_drawn() -> None:
    defined = {name for name, _ in inspect.getmembers(errors, inspect.isclass)}
    assert defined == set(errors.__all__)
    drawn = re.findall(r"(?:├── |└── |^    )(\w+)", errors.__doc__ or "", re.MULTILINE)
    assert sorted(drawn) == sorted(errors.__all__)


@pytest.mark.parametrize("error", CLASSES)
def test_the_tree_is_as_drawn(error: type[LimnerError]) -> None:
    lines = (errors.__doc__ or "").splitlines()
    depth = {m[1]: m.start(1) for m in (re.search(r"(?:── |^    )(\w+)", x) for x in lines) if m}
    parent = error.__mro__[1]
    assert parent is Exception or depth[parent.__name__] == depth[error.__name__] - 4


@pytest.mark.parametrize("error", CLASSES)
def test_the_branch_gives_the_exit_code(error: type[LimnerError]) -> None:
    assert error("x").exit_code == (1 if issubclass(error, UserError) else 3)
    branches = [b for b in (UserError, ModelError, DeveloperError) if issubclass(error, b)]
    assert len(branches) == (error is not LimnerError)


@pytest.mark.parametrize("error", CLASSES)
def test_a_message_and_a_hint(error: type[LimnerError]) -> None:
    assert (str(error("what")), error("what").hint) == ("what", "")
    assert error("what", "do this").hint == "do this"
