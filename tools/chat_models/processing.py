"""From a conversation to a model's inputs: transformers' own processor, and a budget of tokens.

The processor of each family is used as it is published, but for its video part, which needs
torchvision; see `filmed`. The budget of tokens covers pictures and videos: each has an even share
of it, and what some do not need goes to the others. A picture is scaled down to its share; of a
video the frames are, and where they would become too small there are fewer of them. What a
template does not write itself stays text: a document that holds ``<|im_end|>`` or
``<|image_pad|>`` ends no turn and stands for no picture.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from jinja2 import TemplateError

from ...errors import ModelMissing, ModelOutputError
from ...prompts import read_file
from .families import Family
from .filmed import FrameProcessor, array_of, fitting, metadata_of
from .pictured import Conversation

__all__ = ["Prepared", "Preparer", "share"]


@dataclass(frozen=True, slots=True)
class Prepared:
    """The inputs of one or several questions.

    Attributes:
        inputs: tensors for ``generate``, questions padded on the left.
        tokens: of each question, without padding.
        image_tokens: of these, the ones that stand for pictures and videos.
        seen: width and height of each picture as the model was given it; frames that were shown
            as pictures are among them.
    """

    inputs: dict[str, Any]
    tokens: tuple[int, ...]
    image_tokens: tuple[int, ...]
    seen: tuple[tuple[int, int], ...]


def share(wanted: Sequence[int], budget: int) -> int:
    """The most tokens that each picture may have so that all together keep to a budget.

    Those that want less leave the rest to the others (max-min fairness).

    Args:
        wanted: tokens of each picture at its own size.
        budget: for all of them.

    Returns:
        A bound for each; the whole budget where all get what they want.

    >>> share([100, 1000, 1000], 1100)
    500
    """
    left, waiting = budget, sorted(wanted)
    while waiting:
        each = left // len(waiting)
        if waiting[0] > each:
            return max(each, 1)
        left -= waiting.pop(0)
    return budget


class Preparer:
    """Makes the inputs of one model.

    Args:
        folder: of the model.
        family: its row.

    Attributes:
        accepts_types: whether its ``forward`` takes ``mm_token_type_ids``; a model that does
            gives up its two-dimensional positions without a word where they are missing.
    """

    def __init__(self, folder: Path, family: Family) -> None:
        self._side = family.token_side
        self._video = family.video
        self.accepts_types = True
        self.processor = _processor(folder, family)
        self.tokenizer = self.processor.tokenizer
        self.tokenizer.model_max_length = sys.maxsize  # the engine tells of what is too long
        self._template = (
            getattr(self.processor, "chat_template", None)
            or self.tokenizer.chat_template
            or read_file("chat_plain.jinja")
        )

    @property
    def picture_token(self) -> int | None:
        """The token that stands for a piece of a picture."""
        return self._token("image_token_id")

    @property
    def video_token(self) -> int | None:
        """The token that stands for a piece of a video."""
        return self._token("video_token_id")

    def _token(self, name: str) -> int | None:
        found = getattr(self.processor, name, None)
        return None if found is None else int(found)

    def limit(self, conversation: Conversation, image_tokens: int) -> int:
        """The most tokens that each of its pictures and videos may have.

        0 where there are none, or pictures alone whose tokens do not follow their size.
        """
        if not conversation.videos and not (self._side and conversation.pictures):
            return 0
        if not self._side:
            each, frames = self._each(conversation), [len(v.frames) for v in conversation.videos]
            return share(
                [each] * len(conversation.pictures) + [each * count for count in frames],
                image_tokens,
            )
        sizes = (picture.size for picture in conversation.pictures)
        tokens = [-(-w // self._side) * -(-h // self._side) for w, h in sizes]
        tokens += [self.processor.video_processor.wanted(v) for v in conversation.videos]
        return share(tokens, image_tokens)

    def _each(self, conversation: Conversation) -> int:
        """The tokens of one frame among others, in a family whose pictures all have so many."""
        frame = conversation.videos[0].frames[0]
        parts = [{"type": "image"}, {"type": "image"}]
        two = Conversation([{"role": "user", "content": parts}], [frame, frame])
        return max(self.prepare([two], 0).image_tokens[0] // 2, 1)

    def _shown(self, conversation: Conversation, limit: int) -> Conversation:
        """With its videos within the limit, in the form in which the family is shown them."""
        if not conversation.videos:
            return conversation
        if not self._video:
            return conversation.in_pictures(max(limit // self._each(conversation), 1))
        return replace(conversation, videos=[fitting(v, limit) for v in conversation.videos])

    def prepare(self, conversations: Sequence[Conversation], limit: int) -> Prepared:
        """The inputs of several questions as one batch.

        Args:
            conversations: one or more; all end in the person's turn, or all in the model's own,
                with which it goes on.
            limit: the same for all of them, see ``limit``.

        Raises:
            ModelOutputError: the template refuses the turns.
        """
        shown = [self._shown(conversation, limit) for conversation in conversations]
        videos = [video for conversation in shown for video in conversation.videos]
        filled = [c.filled([array_of(video) for video in c.videos]) for c in shown]
        if goes_on := conversations[0].turns[-1]["role"] == "assistant":
            # transformers goes on behind the last text, and cuts off a picture that follows it.
            for turns in filled:
                turns[-1]["content"].append({"type": "text", "text": ""})
        try:
            out = self.processor.apply_chat_template(
                filled,
                chat_template=self._template,
                add_generation_prompt=not goes_on,
                continue_final_message=goes_on,
                tokenize=True,
                return_dict=True,
                return_tensors="pt",
                sanitize_control_tokens=True,
                processor_kwargs={
                    "return_mm_token_type_ids": True,
                    "padding": True,
                    "padding_side": "left",
                    "images_kwargs": self._size(limit),
                    "videos_kwargs": {
                        "video_metadata": [metadata_of(video) for video in videos],
                        "tokens": limit,
                    },
                },
            )
        except TemplateError as error:
            raise ModelOutputError(f"the model's chat template refuses this: {error}") from error
        inputs = dict(out)
        kinds, mask = inputs["mm_token_type_ids"], inputs["attention_mask"]
        if not self.accepts_types:
            del inputs["mm_token_type_ids"]
        return Prepared(
            inputs,
            tuple(mask.sum(dim=1).tolist()),
            tuple(((kinds > 0) & (mask == 1)).sum(dim=1).tolist()),
            self._seen(inputs, shown),
        )

    def _size(self, limit: int) -> dict[str, Any]:
        """Both bounds in pixels, always: the published files and the classes' defaults differ."""
        if not limit or not self._side:
            return {}
        own = self.processor.image_processor.size
        least, most = own["shortest_edge"], own["longest_edge"]
        most = max(min(most, limit * self._side**2), least)
        return {"size": {"shortest_edge": least, "longest_edge": most}}

    def _seen(
        self, inputs: dict[str, Any], conversations: Sequence[Conversation]
    ) -> tuple[tuple[int, int], ...]:
        if (grids := inputs.get("image_grid_thw")) is None:
            return tuple(p.size for c in conversations for p in c.pictures)
        side = self.processor.image_processor.patch_size
        return tuple((int(w) * side, int(h) * side) for _, h, w in grids.tolist())


def _processor(folder: Path, family: Family) -> Any:
    """The processor that the family is published with, its video part replaced."""
    import transformers
    from transformers import AutoImageProcessor, AutoTokenizer
    from transformers.models.auto import processing_auto

    names: dict[str, str] = vars(processing_auto)["PROCESSOR_MAPPING_NAMES"]
    base = getattr(transformers, names.get(family.model_type, ""), None)
    if base is None:
        raise ModelMissing(
            f"{folder}: a model of kind {family.model_type!r} does not read pictures",
            "limner models ls names those that do",
        )
    kinds: dict[str, Any] = {"tokenizer": AutoTokenizer, "image_processor": AutoImageProcessor}
    parts: dict[str, Any] = {
        name: kind.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        for name, kind in kinds.items()
    }
    # transformers checks the class of each part, and of a missing video part fails to do so.
    unchecked = {"check_argument_for_proper_class": lambda self, name, part: type(part)}
    without_check = type(base.__name__, (base,), unchecked)
    if family.video:
        parts["video_processor"] = FrameProcessor(parts["image_processor"])
    settings, _ = base.get_processor_dict(folder, local_files_only=True)
    known = inspect.signature(base.__init__).parameters.keys() - base.get_attributes()
    parts |= {name: None for name in base.get_attributes() if name not in parts}
    return without_check(**parts, **{k: v for k, v in settings.items() if k in known})
