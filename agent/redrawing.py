"""A generated picture drawn differently: how an edit becomes a request, and what is told of it.

A variation is the same prompt with another seed; what changes the whole picture is drawn from it
(image-to-image) where the model can do that, else anew with the same seed, and so by a model that
knows few words, in its own; what changes a part is drawn within a mask (inpainting). Knows edits,
pictures and image models by their contract; reads no words of people (see `edit_words`).
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from PIL import Image, ImageDraw

from ..errors import LimnerError, UserError
from ..index.passage import Box
from ..tools.grounding import best_line
from ..tools.image_models.base import ImageModel, ImageRequest
from ..tools.image_models.captions import Captions
from ..tools.image_models.checking import completed
from ..tools.layout import entries
from ..tools.ocr import read_lines
from .answer import Answer, Generated, Picture, Text
from .asking import seen_at
from .drawing import Stopped, next_seed, request_of, the_painter
from .drawing import drawn as draw
from .drawn import adapters
from .edits import Changes, Edit, command_of, numbers_told
from .events import PictureStarted
from .plain_text import shortened
from .state import Dropped, TurnState
from .workbench import Workbench

__all__ = ["possible", "redrawn", "told"]

_STRENGTH = 0.6
"""How much of a picture is drawn over where it is changed as a whole."""

_STRENGTH_WITHIN = 0.99
"""The same within a mask: all but a trace, which keeps its light and colours."""

_MARGIN = 0.08
"""Added around what is drawn anew, as a share of the picture's sides: edges and shadows."""

_LONGEST = 300  # characters of a prompt in a sentence


@dataclass(frozen=True, slots=True)
class _Plan:
    """A request, with the media references of its pictures."""

    request: ImageRequest
    reference: str = ""
    mask: str = ""


def possible(edit: Edit, drawn: Sequence[Picture], work: Workbench) -> None:
    """Refuse what the image model cannot draw, before anything is drawn.

    Args:
        edit: what is wished for.
        drawn: the generated pictures of the conversation.
        work: draws.

    Raises:
        ModelMissing: there is no image model.
        UserError: a value outside of what it takes; the hint is one that it does.
        LibraryDamaged: a picture that it would be drawn from is not there.
    """
    _plan(edit, drawn, work)


def redrawn(
    edit: Edit, drawn: Sequence[Picture], work: Workbench, tell: Callable[[Any], None]
) -> Picture | Dropped:
    """The new picture, or why there is none.

    Args:
        edit: what is wished for.
        drawn: the generated pictures of the conversation: another seed is none of theirs.
        work: draws and keeps.
        tell: is told of every step.

    Raises:
        Stopped: the turn was given up, and nothing else ever.
    """
    tell(PictureStarted(0, "draw", edit.changes.prompt or _origin(edit).prompt))
    try:
        plan = _plan(edit, drawn, work)
        return draw(0, plan.request, work, tell, plan.reference, plan.mask)
    except Stopped:
        raise
    except LimnerError as error:
        return Dropped(f"{error} (try: {error.hint})" if error.hint else str(error))
    except Exception as error:  # what an image model raises costs the picture, not the turn
        return Dropped(f"{type(error).__name__}: {error}")


def _origin(edit: Edit) -> Generated:
    assert isinstance(edit.picture.origin, Generated)
    return edit.picture.origin


# ── from an edit to a request ────────────────────────────────────────────────────────────────


def _plan(edit: Edit, drawn: Sequence[Picture], work: Workbench) -> _Plan:
    model = the_painter(work)
    edit = _as_captioned(edit, drawn, model)
    plan = _changed(_plan_before(edit, model, work), edit.changes)
    plan = _onto(plan, edit, model, work)
    try:
        request = completed(plan.request, model.capabilities, model.name)
    except UserError as error:
        raise UserError(str(error), _as_typed(error.hint)) from None
    plan = replace(plan, request=request)
    named = edit.changes.named or edit.region
    return _unseen(plan, model, drawn) if edit.another or not named else plan


def _as_captioned(edit: Edit, drawn: Sequence[Picture], model: ImageModel) -> Edit:
    """The edit with a prompt as the model's captions word it, where it knows nothing else.

    Raises:
        UserError: they say nothing like it, or the prompt says it already.
    """
    captions, before = model.capabilities.captions, _origin(edit).prompt
    if captions is None or not edit.wish:
        return edit
    prompt = captions.changed(before, edit.wish)
    if prompt is None:
        number = f" {drawn.index(edit.picture) + 1}" if edit.picture in drawn else ""
        raise UserError(
            f"“{edit.wish}” is no change that {model.name} knows; of a picture it can change "
            f"{captions.told()}",
            f"/redraw{number}{command_of(edit.changes).removeprefix('/redraw')}",
        )
    if prompt == before:
        raise UserError(f"the prompt “{shortened(before, _LONGEST)}” says so already")
    return replace(edit, changes=replace(edit.changes, prompt=prompt))


def _unseen(plan: _Plan, model: ImageModel, drawn: Sequence[Picture]) -> _Plan:
    """The plan with the next seed with which the conversation has no such picture yet."""
    before = [picture.origin for picture in drawn if isinstance(picture.origin, Generated)]
    used = {d.seed for d in before if _drawn_so(d, plan, model)}
    seed = next_seed(plan.request.seed)
    while seed in used:
        seed = next_seed(seed)
    return replace(plan, request=replace(plan.request, seed=seed))


def _drawn_so(origin: Generated, plan: _Plan, model: ImageModel) -> bool:
    """Whether a picture differs from what is planned in its seed at most."""
    alike = ("prompt", "negative_prompt", "size", "steps", "guidance", "scheduler", "strength")
    return (
        (origin.model, origin.revision) == (model.name, model.revision)
        and all(getattr(origin, name) == getattr(plan.request, name) for name in alike)
        and (origin.reference, origin.mask) == (plan.reference, plan.mask)
        and origin.lora == plan.request.lora
    )


def _plan_before(edit: Edit, model: ImageModel, work: Workbench) -> _Plan:
    """How the picture was drawn; of another model's choices only what any model knows."""
    origin = _origin(edit)
    if _same_model(origin, model):
        return _Plan(request_of(origin, work.media), origin.reference, origin.mask)
    negative = origin.negative_prompt if model.capabilities.negative_prompt else ""
    return _Plan(ImageRequest(origin.prompt, negative, seed=origin.seed))


def _same_model(origin: Generated, model: ImageModel) -> bool:
    return origin.model == model.name


def _changed(plan: _Plan, changes: Changes) -> _Plan:
    named = changes.named
    named.pop("mask", None)
    if "negative" in named:
        named["negative_prompt"] = named.pop("negative")
    return replace(plan, request=replace(plan.request, **named))


def _onto(plan: _Plan, edit: Edit, model: ImageModel, work: Workbench) -> _Plan:
    """The plan with the picture itself to be drawn from, where the edit asks for that."""
    changes, request = edit.changes, plan.request
    if changes.mask or edit.region:
        return _within(plan, edit, model, work)
    anew = changes.strength is not None and request.reference is None
    if not (anew or (edit.onto and _changes_pictures(model))):
        return plan
    image = work.media.open(edit.picture.media)
    request = replace(request, reference=image, mask=None)
    return _Plan(_strong(request, changes, _STRENGTH), edit.picture.media)


def _changes_pictures(model: ImageModel) -> bool:
    """Whether what it draws from a picture is what was asked for; with few words it is neither."""
    return model.capabilities.reference and model.capabilities.captions is None


def _strong(request: ImageRequest, changes: Changes, own: float) -> ImageRequest:
    """With a strength; the model chooses how many steps where those before leave none."""
    strength = own if changes.strength is None else changes.strength
    few = changes.steps is None and int((request.steps or 0) * strength) < 1
    return replace(request, strength=strength, steps=None if few else request.steps)


def _within(plan: _Plan, edit: Edit, model: ImageModel, work: Workbench) -> _Plan:
    """The plan with a part of the picture to be drawn anew."""
    if not model.capabilities.mask:
        raise UserError(
            f"{model.name} cannot draw a part of a picture anew", 'whole: /redraw prompt="…"'
        )
    image = work.media.open(edit.picture.media)
    box = edit.changes.mask or _place(edit, image, work)
    mask = _mask(image.size, box)
    request = replace(plan.request, reference=image, mask=mask)
    kept = work.media.put(mask.convert("RGB"))
    return _Plan(_strong(request, edit.changes, _STRENGTH_WITHIN), edit.picture.media, kept)


def _place(edit: Edit, image: Image.Image, work: Workbench) -> Box:
    """Where an edit’s region is: around a line that says it, else where the chat model sees it.

    Raises:
        UserError: nobody can tell.
    """
    words = edit.region
    line = best_line(words, entries(read_lines(image)))
    boxes = (line.box,) if line else seen_at(words, image, work)
    if not boxes:
        raise UserError(
            f"nothing here can tell where “{words}” is on the picture, which is "
            f"{image.width}×{image.height} pixels; the part must be given by its left, upper, "
            "right and lower edge",
            f"{command_of(edit.changes)} mask=X0,Y0,X1,Y1",
        )
    edges = list(zip(*boxes, strict=True))
    x, y = _MARGIN * image.width, _MARGIN * image.height
    return min(edges[0]) - x, min(edges[1]) - y, max(edges[2]) + x, max(edges[3]) + y


def _mask(size: tuple[int, int], box: Box) -> Image.Image:
    """White within the box, black around it.

    Raises:
        UserError: nothing of it lies on the picture.
    """
    limits = (*size, *size)
    ends = [min(max(edge, 0.0), side) for edge, side in zip(box, limits, strict=True)]
    x0, y0, x1, y1 = map(round, ends) if all(map(math.isfinite, box)) else (0, 0, 0, 0)
    if x0 >= x1 or y0 >= y1:
        raise UserError(
            f"mask: nothing of it lies on the picture, which is {size[0]}×{size[1]} pixels",
            f"mask=0,0,{size[0] // 2},{size[1] // 2}",
        )
    mask = Image.new("L", size)
    ImageDraw.Draw(mask).rectangle((x0, y0, x1 - 1, y1 - 1), fill=255)
    return mask


def _as_typed(hint: str) -> str:
    """A hint for the command line as one for ``/redraw``."""
    hint = re.sub(r"leave --(\w+) out", r"leave \1 out", hint)
    return re.sub(r"--(\w+) (\S+)", r"\1=\2", hint)


# ── what is told of it ───────────────────────────────────────────────────────────────────────


def told(state: TurnState, work: Workbench) -> Answer:
    """The answer of a turn that drew a picture differently."""
    edit, result = state["edit"], state["checked"][0].result
    if isinstance(result, Dropped) or not isinstance(edit, Edit):
        reason = result.reason if isinstance(result, Dropped) else ""
        return Answer((Text(f"Nothing was drawn: {reason}."),))
    assert isinstance(result.origin, Generated)
    words = _sentences(edit, result.origin, work.image_model)
    number = numbers_told(len(state["drawn"]), 1) if state["kept"] else ""
    return Answer((Text(f"{words} {number}".strip()), result))


def _sentences(edit: Edit, after: Generated, model: ImageModel | None) -> str:
    before = _origin(edit)
    captions = model.capabilities.captions if model else None
    old, new = _facts(before), _facts(after)
    other = [name for name in new if new[name] != old[name]]
    changed = [_change(name, old[name], new[name]) for name in other]
    kept = [_fact(name, new[name]) for name in new if new[name] and new[name] == old[name]]
    how = _how(edit, before, after, captions)
    said = [how + ("" if not changed else f": {', '.join(changed)}") + "."]
    if kept:
        said.append(f"As before: {', '.join(kept)}.")
    if captions and captions.alike and other == ["seed"]:
        said.append(f"{after.model} draws the same words much alike, whatever the seed.")
    return " ".join(said)


def _how(edit: Edit, before: Generated, after: Generated, captions: Captions | None) -> str:
    if after.mask and after.mask != before.mask:
        return "A part of the picture was drawn anew"
    if after.reference == edit.picture.media:
        return "Drawn from that picture"
    if edit.onto and captions is None:
        return f"{after.model} cannot start from a picture, so this one is new"
    return "Drawn again"


def _facts(origin: Generated) -> dict[str, str]:
    return {
        "prompt": f"“{shortened(origin.prompt, _LONGEST)}”",
        "negative prompt": shortened(origin.negative_prompt, _LONGEST),
        "seed": str(origin.seed),
        "steps": str(origin.steps),
        "guidance": f"{origin.guidance:g}",
        "scheduler": origin.scheduler,
        "size": f"{origin.size[0]}×{origin.size[1]}",
        "strength": "" if origin.strength is None else f"{origin.strength:g}",
        "adapters": adapters(origin.lora),
        "model": origin.model,
    }


def _fact(name: str, value: str) -> str:
    return f"{name} {value}"


def _change(name: str, old: str, new: str) -> str:
    if not old or not new:
        return f"{name} {new}" if new else f"no {name}"
    return f"{name} {new} instead of {old}"
