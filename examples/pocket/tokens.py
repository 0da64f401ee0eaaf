"""The tokenizer of the small text encoders: CLIP's form, trained on names and common words."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from typing import Any

from torch import Tensor

from limner.examples.pocket.emoji import Split, load
from limner.examples.pocket.teacher import general_words

__all__ = ["TOKENS", "small_tokenizer", "tokenized"]

TOKENS = 32
"""Of a prompt, its two marks included; longer prompts are read in windows."""
_VOCABULARY = 6144


def small_tokenizer(split: Split, vocabulary: int = _VOCABULARY) -> Any:
    """A CLIP tokenizer: byte-level BPE, trained on captions, names and general words."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
    from transformers import CLIPTokenizer

    bpe = Tokenizer(models.BPE(end_of_word_suffix="</w>", unk_token="<|endoftext|>"))
    bpe.normalizer = normalizers.Lowercase()
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary - 2 - len(alphabet),
        end_of_word_suffix="</w>",
        initial_alphabet=alphabet,
        show_progress=False,
    )
    bpe.train_from_iterator(_bpe_texts(split), trainer)
    trained = json.loads(bpe.to_str())["model"]
    vocab = {token: number for number, token in enumerate(trained["vocab"])}
    for letter in sorted(alphabet):  # every byte can be read, also as the end of a word
        for token in (letter, f"{letter}</w>"):
            vocab.setdefault(token, len(vocab))
    for mark in ("<|startoftext|>", "<|endoftext|>"):
        vocab[mark] = len(vocab)
    merges: Any = [tuple(merge) for merge in trained["merges"]]
    return CLIPTokenizer(
        vocab=vocab, merges=merges, pad_token="<|endoftext|>", model_max_length=TOKENS
    )


def _bpe_texts(split: Split) -> Iterator[str]:
    """Names weigh most, then frequent words: what is common becomes one token."""
    for emoji in load():
        yield from [" ".join([emoji.name, *split.words(emoji)])] * 40
    words = general_words()
    for place, word in enumerate(words):
        yield " ".join([word] * max(1, round(60 / math.sqrt(1 + place / 50))))


def tokenized(tokenizer: Any, texts: Sequence[str]) -> Tensor:
    """Ids, int64 ``(n, TOKENS)``, cut and padded."""
    made: Tensor = tokenizer(list(texts), padding="max_length", truncation=True,
                             max_length=TOKENS, return_tensors="pt")["input_ids"]  # fmt: skip
    return made
