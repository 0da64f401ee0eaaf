"""The tokenizer of the small text encoders, in CLIP's form: whole words, and pieces for the others.

What is one token may begin as what the teacher takes the word for; pieces have to be learnt.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Sequence
from typing import Any

from torch import Tensor

from limner.examples.pocket.emoji import SENTENCES, Split, load
from limner.examples.pocket.teacher import general_words

__all__ = ["TOKENS", "said", "small_tokenizer", "tokenized"]

TOKENS = 32
"""Of a prompt, its two marks included; longer prompts are read in windows."""
_PIECES = 2048
_WORDS = 4850
"""Whole words; as many as the shipped model's size leaves room for."""


def small_tokenizer(split: Split, near: Sequence[str], words: int = _WORDS) -> Any:
    """A CLIP tokenizer: byte-level BPE, beside which whole words are tokens.

    Args:
        split: whose held-out words are no name's.
        near: other words worth a token, the best first.
        words: whole ones, names' first.
    """
    from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers, trainers
    from transformers import CLIPTokenizer

    bpe = Tokenizer(models.BPE(end_of_word_suffix="</w>", unk_token="<|endoftext|>"))
    bpe.normalizer = normalizers.Lowercase()
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())  # every byte can be read
    trainer = trainers.BpeTrainer(
        vocab_size=_PIECES - 2,
        end_of_word_suffix="</w>",
        special_tokens=[f"{letter}</w>" for letter in letters],  # else numbered at random
        initial_alphabet=letters,
        show_progress=False,
    )
    bpe.train_from_iterator(_bpe_texts(split), trainer)
    trained = json.loads(bpe.to_str())["model"]
    vocab = {token: number for number, token in enumerate(trained["vocab"])}
    for mark in ("<|startoftext|>", "<|endoftext|>"):
        vocab[mark] = len(vocab)
    merges: Any = [tuple(merge) for merge in trained["merges"]]
    made = CLIPTokenizer(
        vocab=vocab, merges=merges, pad_token="<|endoftext|>", model_max_length=TOKENS
    )
    spoken = said(split)
    whole = [w for w in (*spoken, *_unlike(near, spoken)) if f"{w}</w>" not in vocab]
    made.add_tokens([AddedToken(word, single_word=True, normalized=True) for word in whole[:words]])
    return made


def said(split: Split) -> list[str]:
    """The words that captions say, in the order of the alphabet."""
    told = [" ".join([emoji.name, *split.words(emoji)]) for emoji in load() if emoji.drawn]
    return sorted(set(re.findall(r"[a-z]{2,}", f"{SENTENCES} {' '.join(told)}")))


def _unlike(words: Sequence[str], spoken: Sequence[str]) -> list[str]:
    """Words that are no spoken one, nor a form of one: pieces will do for its ending."""
    known = set(spoken)
    stems = {word for word in known if len(word) > 3}
    return [
        word
        for word in words
        if word not in known and not any(word[:-end] in stems for end in range(1, 5))
    ]


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
