"""Models made on the spot: real configurations and tokenizers, a few thousand random weights."""

from __future__ import annotations

import json
from pathlib import Path

_TEXT = (
    "High water at the harbour is at noon on Friday. Low water follows six hours later. "
    "The lighthouse was built in 1871 and its keeper lives in the village."
)


def sentence_transformer(folder: Path, seed: int = 0, dense: bool = False, **prompts: str) -> Path:
    """Save a sentence-transformers model: a BERT of two layers, mean pooling; not normalised.

    Args:
        folder: is made.
        seed: of the weights.
        dense: whether a small layer of weights follows the pooling.
        prompts: put before the texts, as ``query`` and ``document``.
    """
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.models import Dense, Pooling, Transformer

    inner = folder.with_name(f"{folder.name}-bert")
    _bert(inner, seed)
    transformer = Transformer(str(inner), max_seq_length=32)
    modules = [transformer, Pooling(16, "mean")]
    if dense:
        torch.manual_seed(seed)
        modules.append(Dense(16, 8))
    model = SentenceTransformer(modules=modules, prompts=prompts, device="cpu")
    model.save(str(folder), safe_serialization=True)
    return folder


def _bert(folder: Path, seed: int) -> None:
    import torch
    from transformers import BertConfig, BertModel

    tokenizer = _tokenizer()
    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=64,
    )
    BertModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _tokenizer():
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    trainer = trainers.WordPieceTrainer(vocab_size=200, special_tokens=special)
    tokenizer.train_from_iterator([_TEXT], trainer)
    ends = [(token, tokenizer.token_to_id(token)) for token in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = processors.BertProcessing(ends[1], ends[0])
    names = ("pad", "unk", "cls", "sep", "mask")
    tokens = {f"{name}_token": token for name, token in zip(names, special, strict=True)}
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=32, **tokens)


# ── Qwen3, as its embedding models and rerankers are published ───────────────────────────────


QWEN3_TASK = "Given a web search query, retrieve relevant passages that answer the query"
_CHAT = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def qwen3_embedding(folder: Path, seed: int = 0, **prompts: str) -> Path:
    """Save a Qwen3-Embedding of two layers and 64 dimensions, in the published layout.

    Args:
        folder: is made.
        seed: of the weights.
        prompts: the published ``query`` and empty ``document`` if left out.
    """
    import torch
    from transformers import Qwen3Model

    tokenizer = _qwen3_tokenizer(ends=True)
    torch.manual_seed(seed)
    Qwen3Model(_qwen3_config(tokenizer.get_vocab_size())).save_pretrained(folder)
    _save_qwen3_tokenizer(tokenizer, folder)
    kind = "sentence_transformers.models."
    paths = {"Transformer": "", "Pooling": "1_Pooling", "Normalize": "2_Normalize"}
    modules = [
        {"idx": i, "name": str(i), "path": path, "type": kind + name}
        for i, (name, path) in enumerate(paths.items())
    ]
    _write(folder / "modules.json", modules)
    pooling = {"word_embedding_dimension": 64, "pooling_mode_lasttoken": True}
    off = ("cls_token", "mean_tokens", "max_tokens", "mean_sqrt_len_tokens", "weightedmean_tokens")
    pooling |= {f"pooling_mode_{name}": False for name in off} | {"include_prompt": True}
    _write(folder / "1_Pooling" / "config.json", pooling)
    (folder / "2_Normalize").mkdir()
    published = {"query": f"Instruct: {QWEN3_TASK}\nQuery:", "document": ""}
    settings = {"prompts": prompts or published, "default_prompt_name": None}
    _write(
        folder / "config_sentence_transformers.json", settings | {"similarity_fn_name": "cosine"}
    )
    return folder


def qwen3_reranker(folder: Path, seed: int = 0) -> Path:
    """Save a Qwen3-Reranker of two layers: a language model with a chat tokenizer."""
    import torch
    from transformers import Qwen3ForCausalLM

    tokenizer = _qwen3_tokenizer(ends=False)
    torch.manual_seed(seed)
    Qwen3ForCausalLM(_qwen3_config(tokenizer.get_vocab_size())).save_pretrained(folder)
    _save_qwen3_tokenizer(tokenizer, folder)
    return folder


def _qwen3_config(vocabulary: int):
    from transformers import Qwen3Config

    return Qwen3Config(
        vocab_size=vocabulary,
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=16,
        max_position_embeddings=512,
        initializer_range=0.2,
        tie_word_embeddings=True,
    )


def _qwen3_tokenizer(ends: bool):
    """Byte-level BPE with Qwen's special tokens; ``ends`` closes a text with its end, as the
    embedding models do.
    """
    from tokenizers import (  # fmt: skip
        Regex,
        Tokenizer,
        decoders,
        models,
        normalizers,
        pre_tokenizers,
        processors,
        trainers,
    )
    from transformers.models.qwen2.tokenization_qwen2 import PRETOKENIZE_REGEX

    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    split = pre_tokenizers.Split(Regex(PRETOKENIZE_REGEX), "isolated")
    level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, level])
    tokenizer.decoder = decoders.ByteLevel()
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    trainer = trainers.BpeTrainer(
        vocab_size=600,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([_TEXT, QWEN3_TASK, *["yes", "no"] * 20], trainer)
    tokenizer.add_tokens(["<think>", "</think>"])
    byte_level = processors.ByteLevel(trim_offsets=False)
    tokenizer.post_processor = byte_level
    if ends:
        end = ("<|endoftext|>", tokenizer.token_to_id("<|endoftext|>"))
        closing = processors.TemplateProcessing(
            single=f"$A {end[0]}", pair=f"$A {end[0]} $B:1 {end[0]}:1", special_tokens=[end]
        )
        tokenizer.post_processor = processors.Sequence([byte_level, closing])
    return tokenizer


def _save_qwen3_tokenizer(tokenizer, folder: Path) -> None:
    """The files of the hub: ``tokenizer.json`` and a configuration that names Qwen's class."""
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {
        "tokenizer_class": "Qwen2Tokenizer",
        "model_max_length": 131072,
        "eos_token": "<|im_end|>",
        "pad_token": "<|endoftext|>",
        "bos_token": None,
        "unk_token": None,
        "add_bos_token": False,
        "add_prefix_space": False,
        "split_special_tokens": False,
        "chat_template": _CHAT,
    }
    _write(folder / "tokenizer_config.json", config)


def _write(path: Path, content: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2), encoding="utf-8")
