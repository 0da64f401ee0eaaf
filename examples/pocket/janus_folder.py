"""The words of the small Janus: its tokenizer, chat template and image settings, as files.

Knows transformers' form of a folder, which Limner's own loader reads; no weights, no pictures.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from limner.examples.pocket.emoji import Split, load
from limner.examples.pocket.scenes import COLOURS, Scenes
from limner.examples.pocket.teacher import general_words
from limner.prompts import prompt

__all__ = [
    "NAMING", "ROLES", "SPECIAL", "TEMPLATE", "Layout", "phrases", "write_settings", "write_words",
]  # fmt: skip

NAMING = ("What does this picture show?", prompt("describe"))
"""Questions that are answered by a name."""

SPECIAL = {
    "bos_token": "<｜begin▁of▁sentence｜>",
    "eos_token": "<｜end▁of▁sentence｜>",
    "pad_token": "<｜▁pad▁｜>",
    "image_token": "<image_placeholder>",
    "boi_token": "<begin_of_image>",
    "eoi_token": "<end_of_image>",
}
"""Tokens that are no words, as Janus names them."""

ROLES = ("<|User|>", "<|Assistant|>")
_VOCABULARY = 4096
_WINDOW = 1024
_SEED = 8_000_000

# The layout of the published turns: "<|User|>: words", an empty line, "<|Assistant|>:".
TEMPLATE = """\
{%- for message in messages -%}
{{ '<|User|>: ' if message.role == 'user' else '<|Assistant|>: ' }}
{%- for part in message.content -%}
{%- if part.type == 'image' %}{{ '<image_placeholder>\\n' }}
{%- else %}{{ part.text | trim }}{% endif -%}
{%- endfor -%}
{{ '\\n\\n' if message.role == 'user' else '<｜end▁of▁sentence｜>' }}
{%- endfor -%}
{%- if add_generation_prompt -%}<|Assistant|>:{%- endif -%}"""


def write_words(folder: Path, split: Split, side: int, places: int) -> None:
    """Train the tokenizer and write all that the processor needs.

    Args:
        folder: is made.
        split: what captions never say.
        side: of a picture in pixels.
        places: tokens of a picture.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _tokenizer(split).save(str(folder / "tokenizer.json"), pretty=False)
    write_settings(folder, side, places, _WINDOW)


def write_settings(folder: Path, side: int, places: int, window: int, system: bool = False) -> None:
    """Write what a processor needs beside its tokenizer.

    Args:
        folder: with the tokenizer.
        side: of a picture in pixels.
        places: tokens of a picture.
        window: tokens that the model takes.
        system: begin with the published model's instruction, forty tokens that never change.
    """
    own = ("bos_token", "eos_token", "pad_token")
    _write(folder / "tokenizer_config.json", {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": window,
        **{name: SPECIAL[name] for name in own},
        "extra_special_tokens": {k: v for k, v in SPECIAL.items() if k not in own},
    })  # fmt: skip
    _write(folder / "preprocessor_config.json", {
        "image_processor_type": "JanusImageProcessor",
        "size": {"height": side, "width": side},
        "image_mean": [0.5, 0.5, 0.5],
        "image_std": [0.5, 0.5, 0.5],
        "do_normalize": True,
        "min_size": 14,
    })  # fmt: skip
    _write(folder / "processor_config.json", {
        "processor_class": "JanusProcessor",
        "num_image_tokens": places,
        "use_default_system_prompt": system,
    })  # fmt: skip
    (folder / "chat_template.jinja").write_text(TEMPLATE, encoding="utf-8")


def _tokenizer(split: Split) -> Any:
    """Byte-level BPE in lower case: "A cat" is read as "a cat"."""
    from tokenizers import AddedToken, Tokenizer, models, normalizers, processors, trainers
    from tokenizers.decoders import ByteLevel as Decoder
    from tokenizers.pre_tokenizers import ByteLevel

    made: Any = Tokenizer(models.BPE())
    made.normalizer = normalizers.Lowercase()
    made.pre_tokenizer = ByteLevel(add_prefix_space=False)
    made.decoder = Decoder()
    marks = [*SPECIAL.values(), *ROLES]
    trainer = trainers.BpeTrainer(
        vocab_size=_VOCABULARY - len(marks) - len(phrases()),
        initial_alphabet=sorted(ByteLevel.alphabet()),
        show_progress=False,
    )
    made.train_from_iterator(_texts(split), trainer)
    made.add_special_tokens(marks)
    made.add_tokens([AddedToken(text, normalized=True) for text in phrases()])
    start = SPECIAL["bos_token"]
    made.post_processor = processors.TemplateProcessing(
        single=f"{start} $A", special_tokens=[(start, made.token_to_id(start))]
    )
    return made


def phrases() -> list[str]:
    """The sentences of the project's own questions, one token each.

    Spelled out they would be two thirds of what is read in training. In any other question they
    are words as all others.
    """
    fixed = "\n".join([*NAMING, prompt("shows", words="")])
    return list(dict.fromkeys(re.findall(r"\S.*?[.?:](?=\s|$)", fixed)))


def _texts(split: Split) -> Iterator[str]:
    """Names weigh most, then what surrounds them, then frequent words.

    A word mostly follows another, so all have a space before them; what begins a line has not.
    """
    fixed = [*NAMING, prompt("shows", words=""), "yes", "no", " yes", " no", " and", "\n\n"]
    for text in (*fixed, *(f" {colour}" for colour in COLOURS)):
        yield from [text] * 1000
    for emoji in load():
        for word in (emoji.name, *split.words(emoji)):
            yield from [f" {word}"] * 40
    for scene in Scenes(split).batch(_SEED, 0, 4000):
        yield f" {scene.captions[0]}"
    for place, word in enumerate(general_words()):
        yield f" {word}" * max(1, round(60 / math.sqrt(1 + place / 50)))


def _write(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


class Layout:
    """Turns as token ids, many at once: what `tools.image_models.janus_inputs` lays out one by one.

    Args:
        folder: as `write_words` writes it.

    Attributes:
        before: the tokens before every question about a picture, the picture's places included.
    """

    def __init__(self, folder: Path) -> None:
        from transformers import AutoTokenizer

        self._tokenizer: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        settings = json.loads((folder / "processor_config.json").read_text("utf-8"))
        known: dict[str, int] = self._tokenizer.get_vocab()
        self.tokens = {name: known[token] for name, token in SPECIAL.items()}
        place = [self.tokens["image_token"]] * settings["num_image_tokens"]
        turn = self._turns([SPECIAL["image_token"]])[0]
        said = turn[: turn.index(self.tokens["image_token"])]
        self.before = [self.tokens["bos_token"], *said, self.tokens["boi_token"], *place,
                       self.tokens["eoi_token"]]  # fmt: skip

    def __len__(self) -> int:
        """Tokens in the vocabulary."""
        return len(self._tokenizer)

    def drawing(self, prompts: Sequence[str]) -> list[list[int]]:
        """The tokens before a picture, for each prompt."""
        start, begin = self.tokens["bos_token"], self.tokens["boi_token"]
        return [[start, *turn, begin] for turn in self._turns([text.strip() for text in prompts])]

    def questions(self, texts: Sequence[str]) -> list[list[int]]:
        """What follows `before`, for each question."""
        mark = self.tokens["image_token"]
        turns = self._turns([f"{SPECIAL['image_token']}\n{text.strip()}" for text in texts])
        return [turn[turn.index(mark) + 1 :] for turn in turns]

    def answers(self, texts: Sequence[str]) -> list[list[int]]:
        """What the model is to write after a turn: a space, the answer, the end."""
        end = self.tokens["eos_token"]
        return [[*ids, end] for ids in self._ids([f" {text}" for text in texts])]

    def _turns(self, contents: Sequence[str]) -> list[list[int]]:
        user, assistant = ROLES
        return self._ids([f"{user}: {content}\n\n{assistant}:" for content in contents])

    def _ids(self, texts: Sequence[str]) -> list[list[int]]:
        ids: list[list[int]] = self._tokenizer(list(texts), add_special_tokens=False)["input_ids"]
        return ids
