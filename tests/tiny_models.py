"""Models made on the spot: real configurations and tokenizers, a few thousand random weights."""

from __future__ import annotations

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
