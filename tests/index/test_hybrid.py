from __future__ import annotations

from pathlib import Path

from limner.index.embeddings import HashEmbeddings
from limner.index.hybrid import KEYWORD_WEIGHT, HybridIndex
from limner.index.keyword import KeywordIndex
from limner.index.passage import Passage
from limner.index.vector_stores.faiss import FaissStore

TEXTS = {1: "the ferry leaves from pier four", 2: "the lighthouse keeper", 3: "a tea menu"}


def index_of(tmp_path: Path, passages: dict[int, Passage]) -> HybridIndex:
    model = HashEmbeddings()
    store = FaissStore(tmp_path, model.dimensions)
    store.add(list(passages), model.encode_document([p.searchable for p in passages.values()]))
    return HybridIndex(passages, store)


def test_the_score_is_the_cosine_and_a_share_of_the_keyword_score(tmp_path: Path) -> None:
    passages = {key: Passage(str(key), text, "a.md") for key, text in TEXTS.items()}
    vector = HashEmbeddings().encode_query(["ferry pier"])
    best, *_ = index_of(tmp_path, passages).search(["ferry pier"], vector, 3)
    cosine = float(vector[0] @ HashEmbeddings().encode_document([TEXTS[1]])[0])
    said = dict(KeywordIndex(TEXTS).search("ferry pier", 5))[1]
    assert best.id == "1" and said > 0
    assert best.score is not None and best.score > cosine + 0.05  # the words count
    assert best.score is not None and abs(best.score - cosine - KEYWORD_WEIGHT * said) < 1e-3


def test_what_is_read_off_a_picture_finds_its_figure(tmp_path: Path) -> None:
    shot = Passage("1", "quay tariff 48", "fees.png", image="m", modality="screenshot")
    figure = Passage("2", "Our prices", "a.md", image="m", modality="figure")
    index = index_of(tmp_path, {1: shot, 2: figure, 3: Passage("3", "a tea menu", "b.md")})
    found = index.search(["quay tariff"], HashEmbeddings().encode_query(["quay tariff"]), 3)
    assert {p.id for p in found[:2]} == {"1", "2"} and found[0].score == found[1].score
    assert index.knows("tariff") and not index.knows("dragon")
