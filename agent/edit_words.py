"""What a person says, read as a wish to have a generated picture drawn differently.

A chat model that reads is asked, and what it writes is checked word for word; for one that quotes
there is a small grammar::

    make it night · turn picture 2 into a watercolour · as a watercolour     drawn from the picture
    make it smaller · two of them · on a blue background · put it on the left     likewise
    a variation of picture 2 · another one · draw it again                   another seed
    draw it again with seed 7 and 20 steps · redraw picture 2 with …         what is named
    a variation of the lighthouse · redraw the boat                          the one whose words
    remove the dock · erase the dock from picture 2                          a part drawn anew

Everything else is an ordinary question. Knows no image model.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from ..errors import UserError
from ..prompts import prompt
from ..tools.image_models.checking import LONGEST_PROMPT
from ..tools.sentences import stems
from .answer import Generated, Picture
from .asking import said_of
from .edits import Changes, Edit, numbers_in, parse_changes, picture_of
from .plain_text import clean_line
from .state import Dropped
from .workbench import Workbench

__all__ = ["edit_of", "grammar"]

_LONGEST = 400
"""Characters of a wish; what is longer is no wish for an edit."""

_TOKENS = 400
_LONGEST_REGION = 100

_OFFERED = 12
"""Latest pictures that a chat model is told of; of the others those that are named by number."""


def edit_of(said: str, pictures: Sequence[Picture], work: Workbench) -> Edit | Dropped | None:
    """The edit that a person wishes for; None where they say something else.

    Args:
        said: by the person.
        pictures: generated, of the conversation, in order; the last one is meant by no number.
        work: whose chat model is asked, where it reads.

    Returns:
        `Dropped` where they name a picture or a value that there is not.
    """
    if len(said) > _LONGEST:
        return None
    if work.reads and (values := _replied(said, pictures, work)) is not None:
        if not values["edit"]:
            return None
        with suppress(UserError):  # the model's fault or the person's: the grammar can tell
            return _checked(values, pictures)
    try:
        return grammar(said, pictures)
    except UserError as error:
        return Dropped(f"{error} (try: {error.hint})" if error.hint else str(error))


# ── a chat model that reads ──────────────────────────────────────────────────────────────────


def _replied(said: str, pictures: Sequence[Picture], work: Workbench) -> dict[str, Any] | None:
    """The JSON object that the chat model wrote; None where it wrote none."""
    offered = [
        {"number": number, "prompt": clean_line(p.origin.prompt)}
        for number, p in enumerate(pictures, 1)
        if isinstance(p.origin, Generated)
    ]
    named = numbers_in(said)
    shown = [o for o in offered[:-_OFFERED] if o["number"] in named] + offered[-_OFFERED:]
    reply = said_of(prompt("picture_edit", pictures=shown, said=said), work, _TOKENS)
    start, end = reply.find("{"), reply.rfind("}")
    try:
        values = json.loads(reply[start : end + 1])
    except (ValueError, RecursionError):
        return None
    return values if isinstance(values, dict) and isinstance(values.get("edit"), bool) else None


def _checked(values: dict[str, Any], pictures: Sequence[Picture]) -> Edit:
    """An edit out of what a model wrote.

    Raises:
        UserError: a picture or a value that there is not.
    """
    picture, origin = _picture(values.get("picture"), pictures)
    given = values.get("parameters")
    parameters = given if isinstance(given, dict) else {}
    known = {k: str(v) for k, v in parameters.items() if k not in ("prompt", "mask")}
    changes = parse_changes(known)
    region = clean_line(str(values.get("region") or ""))[:_LONGEST_REGION]
    words = clean_line(str(values.get("prompt") or ""))[:LONGEST_PROMPT]
    anew = words if words and words != clean_line(origin.prompt) else None
    return Edit(picture, replace(changes, prompt=anew), bool(anew or region), region)


def _picture(number: object, pictures: Sequence[Picture]) -> tuple[Picture, Generated]:
    wanted = number if isinstance(number, int) and not isinstance(number, bool) else None
    picture = _meant(str(wanted or ""), pictures)
    assert isinstance(picture.origin, Generated)
    return picture, picture.origin


def _meant(number: str, pictures: Sequence[Picture]) -> Picture:
    return picture_of(pictures, int(number) if number else None)


# ── the grammar ──────────────────────────────────────────────────────────────────────────────

_NOUN = r"(?:picture|image|drawing|one)"
_IT = (
    rf"(?:it|this|that|the (?:last )?{_NOUN}|(?:this|that) {_NOUN}"
    rf"|(?:the )?{_NOUN} (?:number )?(?P<number>[1-9][0-9]?))"
)
_FORMS: tuple[tuple[str, str], ...] = (
    (
        "again",
        r"(?:(?:make|draw|paint|give me|show me|i want) )?(?:me )?"
        rf"(?:(?:a|another|one more|a different) (?:variation|variant|version)(?: of {_IT})?"
        rf"|another(?: one| {_NOUN})?)(?P<named> with .+)?",
    ),
    ("again", rf"(?:vary|redraw|re-draw|repaint) {_IT}(?P<named> with .+)?"),
    (
        "which",
        r"(?:(?:make|draw|paint|give me|show me|i want) )?(?:me )?"
        r"(?:(?:a|another|one more|a different) (?:variation|variant|version) of"
        r"|vary|redraw|re-draw|repaint) (?P<what>(?:the|that|my) .+?)(?P<named> with .+)?",
    ),
    (
        "again",
        rf"(?:(?:draw|paint|do|try|make) (?:{_IT} )?)?(?:again|once more)(?P<named>,? with .+)?",
    ),
    ("again", r"redraw(?P<named> with .+)?"),
    ("again", rf"(?:draw|paint|make) {_IT}(?P<named> with .+)"),
    ("again", r"(?P<named>with .+)"),
    ("style", r"(?P<what>(?:as an? |in the style of ).+)"),
    ("style", rf"(?:make|turn|change|draw|redraw|paint) {_IT} (?P<what>(?:as|in) .+)"),
    ("style", rf"(?:turn|change|make) {_IT} into (?P<what>.+)"),
    ("style", rf"make {_IT} (?:look )?(?P<what>.+)"),
    ("style", rf"(?:put|place|move) {_IT} (?P<what>(?:on|in|at|to|into|against) .+)"),
    ("style", r"(?:(?:make|draw|paint) )?(?P<what>(?:two|three|four|five) of (?:them|these|it))"),
    ("style", r"(?P<what>(?:(?:much|a bit|a little) )?(?:bigger|larger|smaller))"),
    ("style", r"(?:give it )?(?P<what>(?:(?:on|against|with) )?an? [\w -]+ background)"),
    ("style", r"(?:make|turn|change|paint) (?P<what>the background (?:to )?[\w -]+)"),
    (
        "region",
        r"(?:remove|erase|delete|take away|get rid of) (?:the |a |an |all )?(?P<what>.+?)"
        rf"(?P<of> (?:from|in|on|of) {_IT})?",
    ),
    ("region", rf"(?:draw|redraw|paint)(?P<of> {_IT}) without (?:the |a |an |any )?(?P<what>.+)"),
)
_PATTERNS = tuple((kind, re.compile(form, re.IGNORECASE)) for kind, form in _FORMS)
_NUMBERED_LAST = re.compile(
    r"(make|turn|change|draw|redraw|paint) (?:it|this|that) (.+?) (?:in|on|for) "
    rf"(?:the )?({_NOUN} (?:number )?[1-9][0-9]?)",
    re.IGNORECASE,
)
_POLITE = re.compile(
    r"^(?:(?:please|now|and|then|ok|okay|can you|could you|would you)[, ]+)+|[, ]+please$",
    re.IGNORECASE,
)
_ASKS = re.compile(r"\?$|\b(?:what|when|where|which|who|whose|why|how)\b", re.IGNORECASE)
_NAMED = re.compile(
    r"(?:a )?(?P<name>seed|steps?|guidance|scheduler|strength|size)(?: of)? (?P<value>[\w.]+)"
    r"|(?P<count>[0-9]+) steps|(?:another|a different|a new) (?P<other>seed)"
)


def grammar(said: str, pictures: Sequence[Picture]) -> Edit | None:
    """The edit that a sentence of the grammar wishes for; None for any other sentence.

    Args:
        said: by a person.
        pictures: generated, of the conversation, in order; the last one is meant by no number.

    Raises:
        UserError: a picture or a value that there is not.
    """
    line = " ".join(said.split())
    line = _POLITE.sub("", line.rstrip(" .!")).strip()
    if last := _NUMBERED_LAST.fullmatch(line):  # make it night in picture 2
        line = f"{last[1]} {last[3]} {last[2]}"
    if _ASKS.search(line):
        return None
    for kind, pattern in _PATTERNS:
        if found := pattern.fullmatch(line):
            if kind == "which":
                picture = _described(found["what"], pictures)
            else:
                picture = _meant(found.groupdict().get("number") or "", pictures)
            edit = _READ[kind](found, picture)
            if edit is not None:
                return edit
    return None


def _described(what: str, pictures: Sequence[Picture]) -> Picture:
    """The latest picture whose prompt names all that is said.

    Raises:
        UserError: there is none.
    """
    wanted = set(stems(what))
    for picture in reversed(pictures):
        assert isinstance(picture.origin, Generated)
        if wanted and wanted <= set(stems(picture.origin.prompt)):
            return picture
    raise UserError(
        f"no picture of this conversation was drawn from words like “{what}”; its pictures are "
        f"numbered 1 to {len(pictures)} (try: a variation of picture {len(pictures)})"
    )


def _again(found: re.Match[str], picture: Picture) -> Edit | None:
    values = dict(_values(found["named"] or ""))
    if "" in values:
        return None
    another = bool(values.pop("other", None))
    return Edit(picture, parse_changes(values), another=another)


def _values(named: str) -> Iterator[tuple[str, str]]:
    """Names and values; an empty name where anything else is said."""
    for part in re.split(r",\s*(?:and )?|\s+and\s+", re.sub(r"^,?\s*with ", "", named.strip())):
        found = _NAMED.fullmatch(part.strip().lower()) if part else None
        if found is None:
            yield from [("", part)] if part else []
        elif found["other"]:
            yield "other", part
        elif found["count"]:
            yield "steps", found["count"]
        else:
            yield {"step": "steps"}.get(found["name"], found["name"]), found["value"]


def _style(found: re.Match[str], picture: Picture) -> Edit:
    """The prompt goes on with what is said; the picture is what it is drawn from."""
    assert isinstance(picture.origin, Generated)
    words = f"{picture.origin.prompt.rstrip(' .,')}, {found['what']}"
    return Edit(picture, Changes(prompt=words), onto=True, wish=found["what"])


def _region(found: re.Match[str], picture: Picture) -> Edit | None:
    """A part to be drawn anew, be it named by the prompt or not; a picture is no part of itself."""
    assert isinstance(picture.origin, Generated)
    what = found["what"]
    if re.fullmatch(_IT, what, re.IGNORECASE) or len(what) > _LONGEST_REGION:
        return None
    without = _without(what, picture.origin.prompt)
    return Edit(picture, Changes(prompt=without or None), onto=True, region=what)


def _without(what: str, words: str) -> str:
    """A prompt without a thing and what joins it to the rest; empty where it does not name it."""
    joined = r"(?:,\s*|\s+(?:with|and|beside|near|by|at|on)\s+)?(?:\b(?:a|an|the|its|one|two)\s+)?"
    shorter, count = re.subn(rf"{joined}\b{re.escape(what)}\b", "", words, flags=re.IGNORECASE)
    return " ".join(shorter.split()).strip(" ,") if count else ""


_READ: dict[str, Callable[[re.Match[str], Picture], Edit | None]] = {
    "again": _again,
    "which": _again,
    "style": _style,
    "region": _region,
}
