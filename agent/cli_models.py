"""The commands about models: which there are, fetching one, and where it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import ModelMissing
from .cli_common import JsonOption, print_json, screen

if TYPE_CHECKING:
    from .known_models import Place

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Give an application these commands."""
    models = typer.Typer(
        help="Models, shipped and of the hub: which, where, and fetching one.",
        no_args_is_help=True,
        rich_markup_mode=None,
    )
    for command in (ls, pull, where):
        models.command()(command)
    app.add_typer(models, name="models")


def ls(json: JsonOption = False) -> None:
    """List the models that Limner knows, and whether they are here."""
    from .known_models import KNOWN, cache_folder, place_of

    places = [(known, place_of(known.name)) for known in KNOWN]
    if json:
        print_json([{**_dict(place), "option": known.role} for known, place in places])
        return
    rows = [(k.name, k.role, _version(place), _here(place)) for k, place in places]
    screen().print_table(("model", "option", "revision", "here"), rows)
    screen().say(f"looked for in {cache_folder()}; limner models pull NAME fetches one")


def pull(name: Annotated[str, typer.Argument(help="As Qwen/Qwen2-VL-2B-Instruct.")]) -> None:
    """Download a model: its weights as safetensors, its settings, its tokenizer."""
    from .known_models import pull as fetch

    place = fetch(name)
    screen().print(str(place.folder))
    screen().say(f"{name}: {_bytes(place.size)}")


def where(
    name: Annotated[str, typer.Argument(help="A model; the cache if left out.")] = "",
    json: JsonOption = False,
) -> None:
    """Say where models are looked for, or where one is."""
    from .known_models import cache_folder, place_of

    if not name:
        folder = str(cache_folder())
        if json:
            print_json({"cache": folder})
            return
        screen().print(folder)
        screen().say("HF_HUB_CACHE, or HF_HOME, moves it; a folder can be given for any name")
        return
    place = place_of(name)
    if json:
        print_json(_dict(place))
    elif place.here:
        screen().print(str(place.folder))
    else:
        raise ModelMissing(
            f"{name}: missing {', '.join(place.missing)}; looked for in {place.folder}",
            f"limner models pull {name}",
        )


def _dict(place: Place) -> dict[str, object]:
    return {
        "name": place.name,
        "here": place.here,
        "folder": str(place.folder),
        "revision": place.revision,
        "missing": list(place.missing),
        "bytes": place.size,
    }


def _version(place: Place) -> str:
    return place.revision[:12] or ("newest" if "/" in place.name else "shipped")


def _here(place: Place) -> str:
    if place.here:
        return f"yes, {_bytes(place.size)}"
    return f"in part, missing: {', '.join(place.missing)}" if place.size else "no"


def _bytes(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e8 else f"{size / 1e6:.1f} MB"
