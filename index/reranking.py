"""A second look at what a search found: how well each text answers the question, from 0 to 1.

Knows models; nothing of passages, files or search.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import AbstractContextManager
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from ..errors import ModelError, ModelMissing, ModelOutputError
from ..prompts import prompt
from ..tools.model_files import HUB_REVISIONS, fingerprint, loading, need_safetensors, snapshot
from .batching import batches, token_budget

__all__ = ["Qwen3Reranker", "Reranker", "Scores", "WordReranker", "find_reranker"]

Scores = NDArray[np.float32]


@runtime_checkable
class Reranker(Protocol):
    """What the library needs of a reranker.

    Attributes:
        name: model and revision.

    Example:
        >>> WordReranker().rerank("high water", ["The tide is in.", "High water is at noon."])
        array([0., 1.], dtype=float32)
    """

    @property
    def name(self) -> str:
        """The model and its revision."""
        ...

    def rerank(self, query: str, texts: Sequence[str]) -> Scores:
        """How well each text answers the question: float32 ``(n,)``, from 0 to 1."""
        ...


class WordReranker:
    """A deterministic stand-in for tests: the share of the question's words that a text has."""

    name = "words"

    def rerank(self, query: str, texts: Sequence[str]) -> Scores:
        """Shares of words: float32 ``(n,)``, from 0 to 1."""
        asked = _words(query)
        shared = [len(asked & _words(text)) / max(len(asked), 1) for text in texts]
        return np.array(shared, np.float32)


class Qwen3Reranker:
    """Qwen3-Reranker: a language model asked whether a text answers; loaded on first use.

    The score is the softmax over the logits of "yes" and "no" at the last place, as on the
    model's card. What a text holds is never read as a control token.

    Args:
        folder: holds ``config.json``, a tokenizer and safetensors weights.
        name: what is reported; the folder's name and a fingerprint if left out.
        task: what the question is asked for, in English; ``prompts/reranker_task.jinja`` if left
            out.
        max_tokens: of a question with a text; the end of a longer text is not read.
        batch_tokens: most padded tokens in a batch; by the device if 0.

    Raises:
        ModelMissing: the folder, or its safetensors, are not there.
    """

    def __init__(
        self,
        folder: Path,
        name: str = "",
        task: str = "",
        max_tokens: int = 8192,
        batch_tokens: int = 0,
    ) -> None:
        if not (folder / "config.json").is_file():
            raise ModelMissing(
                f"{folder}: no reranker here (config.json is missing)",
                "give the folder that the model was downloaded to",
            )
        need_safetensors(folder)
        self.name = name or f"{folder.resolve().name}@{fingerprint(folder)}"
        self._folder = folder
        self._task = task or prompt("reranker_task")
        self._max_tokens = max_tokens
        self._batch_tokens = batch_tokens

    def rerank(self, query: str, texts: Sequence[str]) -> Scores:
        """How well each text answers the question.

        Returns:
            float32 ``(n,)``: the probability of "yes" against "no".

        Raises:
            ModelError: the folder holds another kind of model, or files that are damaged.
            ModelOutputError: a score is not a number.
        """
        try:
            scores = self._all_scores(query, texts)
        except (OSError, ValueError, KeyError, RuntimeError) as error:
            raise ModelError(
                f"{self._folder}: no reranker that can be run ({str(error)[:200]})",
                "give the folder of a Qwen3-Reranker",
            ) from error
        if not np.isfinite(scores).all():
            raise ModelOutputError(f"{self.name}: a score is not a number", "limner doctor")
        return scores

    def _all_scores(self, query: str, texts: Sequence[str]) -> Scores:
        if not self._answers:
            raise ValueError("its vocabulary has no yes and no")
        rows = self._rows(query, texts)
        scores = np.zeros(len(rows), np.float32)
        budget = self._batch_tokens or token_budget(self._model.device.type)
        for batch in batches([len(row) for row in rows], budget):
            scores[batch] = self._scores([rows[i] for i in batch])
        return scores

    @cached_property
    def _answers(self) -> list[int]:
        """The tokens of the two answers; none where the vocabulary lacks one."""
        found = self._tokenizer.convert_tokens_to_ids(["no", "yes"])
        return [] if None in found or self._tokenizer.unk_token_id in found else list(found)

    def _rows(self, query: str, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of each text in its frame; cut inside the frame, as the card does."""
        before, after = (self._ids([part])[0] for part in _frame())
        room = self._max_tokens - len(before) - len(after)
        pairs = [
            prompt("reranker_pair", task=self._task, query=query, document=text) for text in texts
        ]
        return [[*before, *ids[:room], *after] for ids in self._ids(pairs, plain=True)]

    def _ids(self, texts: Sequence[str], plain: bool = False) -> list[list[int]]:
        if not texts:
            return []
        texts = [text.encode("utf-8", "replace").decode("utf-8") for text in texts]
        found = self._tokenizer(
            texts, add_special_tokens=False, split_special_tokens=plain, verbose=False
        )
        return [list(ids) for ids in found["input_ids"]]

    def _scores(self, rows: Sequence[list[int]]) -> Scores:
        import torch

        padded = self._tokenizer.pad({"input_ids": list(rows)}, return_tensors="pt")
        with torch.inference_mode():
            inputs = padded.to(self._model.device)
            logits = self._model(**inputs, logits_to_keep=1, use_cache=False).logits[:, -1]
            chances = torch.softmax(logits[:, self._answers].float(), dim=1)
        return np.asarray(chances[:, 1].cpu().numpy(), np.float32)

    @cached_property
    def _tokenizer(self) -> Any:
        from transformers import AutoTokenizer

        with self._loading():
            return AutoTokenizer.from_pretrained(
                str(self._folder.resolve()),
                padding_side="left",
                local_files_only=True,
                trust_remote_code=False,
            )

    @cached_property
    def _model(self) -> Any:
        import torch
        from transformers import AutoModelForCausalLM

        device = "cuda" if torch.cuda.is_available() else "cpu"
        with self._loading():
            model: Any = AutoModelForCausalLM.from_pretrained(
                str(self._folder.resolve()),
                local_files_only=True,
                trust_remote_code=False,
                use_safetensors=True,
                dtype=torch.bfloat16 if device == "cuda" else torch.float32,
            )
        return model.to(device).eval()

    def _loading(self) -> AbstractContextManager[None]:
        return loading(
            f"{self._folder}: no reranker that can be run", "give the folder of a Qwen3-Reranker"
        )


def find_reranker(name: str) -> Reranker:
    """The reranker of a name: a folder, or a Qwen3-Reranker of the local Hugging Face cache.

    Args:
        name: for example ``Qwen/Qwen3-Reranker-0.6B``; ``words`` is the stand-in for tests.

    Raises:
        ModelMissing: none of these.
    """
    if name == WordReranker.name:
        return WordReranker()
    if name in HUB_REVISIONS and not Path(name).is_dir():
        folder, commit = snapshot(name)
        return Qwen3Reranker(folder, f"{name}@{commit[:12]}")
    return Qwen3Reranker(Path(name).expanduser())


def _frame() -> tuple[str, str]:
    """What stands before and after a pair; the card ends it with the lines that `prompt` strips."""
    before, _, after = prompt("reranker_frame", pair="\0").partition("\0")
    return before, f"{after}\n\n"


def _words(text: str) -> set[str]:
    return set(re.findall(r"\w+", text.lower()))
