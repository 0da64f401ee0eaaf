"""Every instruction sent to a model, as a file. Rendered strictly; knows no model.

A variable that is missing from the call, or given and not used by the file, is an error: a prompt
that silently lost its passages would be worse than none.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from jinja2 import Environment, StrictUndefined, Template, meta

from ..errors import DeveloperError

__all__ = ["prompt", "read_file"]

_ENVIRONMENT = Environment(undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)


def prompt(name: str, **values: object) -> str:
    """Render ``prompts/<name>.jinja``.

    Args:
        name: the file, without its suffix.
        values: exactly the variables that the file uses.

    Raises:
        DeveloperError: no such file, or a variable missing or unused.
    """
    template, used = _load(name)
    if used != values.keys():
        missing, unused = used - values.keys(), values.keys() - used
        raise DeveloperError(
            f"prompts/{name}.jinja: missing {sorted(missing)}, unused {sorted(unused)}"
        )
    return template.render(**values).strip()


@cache
def _load(name: str) -> tuple[Template, frozenset[str]]:
    source = read_file(f"{name}.jinja")
    used = meta.find_undeclared_variables(_ENVIRONMENT.parse(source))
    return _ENVIRONMENT.from_string(source), frozenset(used)


def read_file(name: str) -> str:
    """The text of a file in this folder.

    Raises:
        DeveloperError: there is none of that name.
    """
    try:
        return files(__name__).joinpath(name).read_text(encoding="utf-8")
    except OSError:
        raise DeveloperError(f"prompts/{name} does not exist") from None
