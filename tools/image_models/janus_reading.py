"""Janus and Janus-Pro as a reader of pictures: what one shows, questions, yes or no.

The same weights draw (`janus`). Implements `tools.picture_checker.PictureChecker`. Every answer is
the likeliest, token by token, so that the same picture and question give the same answer.
"""

from __future__ import annotations

from typing import Any, Self

from PIL import Image

from ...errors import ModelError, QuestionError
from ...prompts import prompt
from ..chat_models.loading import quietly
from .janus_checkpoint import JanusCheckpoint, JanusWeights, computing

__all__ = ["JanusReader"]

_SMALLER = "take a smaller model: deepseek-community/Janus-Pro-1B"


class JanusReader:
    """Answers questions about a picture. Several threads may share one.

    Args:
        weights: shared with who draws: ``JanusReader(janus.weights)``.

    Example:
        >>> reader = JanusReader.load("deepseek-community/Janus-Pro-1B")
        >>> reader.describe(picture)
        >>> reader.yes(picture, "Is there a boat? Write yes or no.")
    """

    def __init__(self, weights: JanusWeights) -> None:
        self._weights = weights
        self._name = weights.checkpoint.name

    @classmethod
    def load(cls, name: str, *, device: str = "", dtype: str = "") -> Self:
        """Find a model; see `janus.Janus.load`."""
        return cls(JanusWeights(JanusCheckpoint.find(name), device, dtype))

    def describe(self, picture: Image.Image, max_tokens: int = 96) -> str:
        """What a picture shows.

        Args:
            picture: of any size and mode; it is scaled down and padded to the model's own.
            max_tokens: of the description, at the most.

        Raises:
            ModelError: the model is not there, does not fit into memory, or failed.
        """
        return self.answer(picture, prompt("describe"), max_tokens)

    def answer(self, picture: Image.Image, question: str, max_tokens: int = 256) -> str:
        """The answer to a question about a picture.

        Args:
            picture: of any size and mode.
            question: in words.
            max_tokens: of the answer, at the most.

        Raises:
            QuestionError: it is empty, or longer than the model's window.
            ModelError: the model is not there, does not fit into memory, or failed.
        """
        inputs = self._inputs(picture, question, max_tokens)
        with self._weights.at_work() as model, computing(self._name, _SMALLER), quietly():
            out = model.generate(
                **_placed(inputs, model),
                generation_mode="text",
                do_sample=False,
                max_new_tokens=max_tokens,
                return_dict_in_generate=True,
                output_logits=True,
            )
            for logits in out.logits:
                _need_finite(logits)
        asked = inputs["input_ids"].shape[1]
        return self._weights.inputs.text(out.sequences[0, asked:])

    def yes(self, picture: Image.Image, question: str) -> float:
        """How likely the answer begins with yes rather than with no, 0 to 1.

        Args:
            picture: of any size and mode.
            question: one to be answered by yes or no, which it should ask for.

        Raises:
            QuestionError: it is empty, or longer than the model's window.
            ModelError: the model is not there, does not fit into memory, or failed; or its
                tokenizer has no token for yes or for no.
        """
        return self._yes(self._first(picture, question))

    def shows(self, picture: Image.Image, words: str) -> bool | None:
        """Whether a picture shows what words say.

        Returns:
            None where neither yes nor no is the likeliest beginning of the answer.

        Raises:
            ModelError: as above.
        """
        logits = self._first(picture, prompt("shows", words=words))
        if int(logits.argmax()) not in (*self._ids("yes"), *self._ids("no")):
            return None
        return self._yes(logits) >= 0.5

    def _yes(self, logits: Any) -> float:
        """Over the two words' tokens alone."""
        yes, no = (logits[self._ids(word)].logsumexp(0) for word in ("yes", "no"))
        return float((yes - no).sigmoid())

    def _ids(self, word: str) -> list[int]:
        found = self._weights.inputs.one_token(word, word.capitalize(), word.upper())
        if not found:
            raise ModelError(f"{self._name}: its tokenizer has no token for {word!r}", _SMALLER)
        return found

    def _first(self, picture: Image.Image, question: str) -> Any:
        """Logits of the answer's first token, float32 ``(vocabulary,)``."""
        import torch

        inputs = self._inputs(picture, question, 1)
        with (
            self._weights.at_work() as model,
            computing(self._name, _SMALLER),
            torch.no_grad(),
        ):
            out = model(**_placed(inputs, model), logits_to_keep=1, use_cache=False)
            logits = out.logits[0, -1].float().cpu()
            _need_finite(logits)
        return logits

    def _inputs(self, picture: Image.Image, question: str, max_tokens: int) -> dict[str, Any]:
        if not question.strip():
            raise QuestionError("the question is empty", "ask what the picture shows")
        inputs = self._weights.inputs.reading(question, picture)
        asked, window = inputs["input_ids"].shape[1], self._weights.checkpoint.window
        if asked + max_tokens > window:
            raise QuestionError(
                f"the question with its picture is {asked:,} tokens long; {self._name} takes "
                f"{window - max_tokens:,}",
                "ask more shortly",
            )
        return inputs


def _need_finite(logits: Any) -> None:
    if not bool(logits.isfinite().all()):
        raise FloatingPointError("numbers that are none")


def _placed(inputs: dict[str, Any], model: Any) -> dict[str, Any]:
    """On the model's device; pixels in its dtype."""
    return {
        name: value.to(model.device, model.dtype if value.is_floating_point() else value.dtype)
        for name, value in inputs.items()
    }
