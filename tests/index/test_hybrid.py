from __future__ import annotations

from pathlib import Path

import numpy as np

from limner.index.embeddings import HashEmbeddings
from limner.index.hybrid import KEYWORD_WEIGHT, HybridIndex
from limner.index.keyword import KeywordIndex
from limner.index.vector_stores.faiss import FaissStore

TEXTS = {1: "the ferry leaves from pier four", 2: "the lighthouse keeper", 3: "a tea menu"}
MODEL = HashEmbeddings()


def index_of(tmp_path: Path, texts: dict[int, str]) -> HybridIndex:
    store = FaissStore(tmp_path / "vectors", MODEL.dimensions)
    store.add(list(texts), MODEL.encode_document(list(texts.values())))
    words = KeywordIndex(tmp_path / "words")
    words.add(list(texts), list(texts.values()))
    store.commit(), words.commit()
    return HybridIndex(store, words)


def test_the_score_is_the_cosine_and_a_share_of_the_keyword_score(tmp_path: Path) -> None:
    index, vectors = index_of(tmp_path, TEXTS), MODEL.encode_query(["ferry pier"])
    best, *_ = index.search(["ferry pier"], vectors, 3)
    cosine = float(vectors[0] @ MODEL.encode_document([TEXTS[1]])[0])
    said = dict(index.keywords.search("ferry pier", 5))[1]
    assert best.key == 1 and said > 0 and best.score > cosine + 0.05  # the words count
    assert abs(best.score - cosine - KEYWORD_WEIGHT * said) < 1e-5


def test_of_several_wordings_the_best_counts_and_is_named(tmp_path: Path) -> None:
    index, queries = index_of(tmp_path, TEXTS), ["tea", "ferry pier"]
    found = index.search(queries, MODEL.encode_query(queries), 3)
    assert {m.key: m.query for m in found if m.keyword} == {1: "ferry pier", 3: "tea"}
    assert [m.score for m in found] == sorted((m.score for m in found), reverse=True)


def test_only_some_keys(tmp_path: Path) -> None:
    index, vectors = index_of(tmp_path, TEXTS), MODEL.encode_query(["ferry pier"])
    found = index.search(["ferry pier"], vectors, 3, np.array([2, 3]))
    assert {m.key for m in found} == {2, 3}


def test_a_code_counts_more_than_what_texts_of_one_template_differ_in(tmp_path: Path) -> None:
    texts = {n: f"ticket T{n:05d} was closed by the desk" for n in range(1, 40)}
    texts[40] = "how was ticket work closed by the desk, and what was it about"
    index, query = index_of(tmp_path, texts), "what was ticket T00007 about, how was it closed"
    best, second, *_ = index.search([query], MODEL.encode_query([query]), 5)
    assert best.key == 7 and best.code > 0 and second.code == 0
    assert abs(best.score - best.cosine - KEYWORD_WEIGHT * best.keyword - best.code) < 1e-6
    assert best.cosine + KEYWORD_WEIGHT * best.keyword < second.score  # the code alone decides
