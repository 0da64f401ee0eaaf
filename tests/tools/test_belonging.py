"""What is quoted together where a question asks what to do."""

from __future__ import annotations

import re

import pytest
from langchain_core.messages import HumanMessage

from limner.index.embeddings import HashEmbeddings
from limner.tools.chat_models.extractive import Extractive

SHOT = {"label": "a1", "text": "Error E-42\nTry again   Close", "modality": "screenshot"}
E41 = "Error E-41 means the disk is full. Empty the recycle bin and restart the program."
E42 = "Error E-42 means the licence expired. Open Settings > Licence and set the renewal date."
E43 = "Error E-43 means there is no network. Plug in the cable."


def quotes(
    question: str, *texts: str | tuple[str, str], queries: tuple[str, ...] = ()
) -> list[str]:
    """The sentences of an answer; a text may come with the heading above it."""
    pairs = [("", text) if isinstance(text, str) else text for text in texts]
    passages = [
        {"label": str(n), "text": text, "context": above}
        for n, (above, text) in enumerate(pairs, 1)
    ]
    shots = [SHOT] if "this" in question else []
    asked = {"question": question, "passages": [*passages, *shots], "queries": list(queries)}
    model = Extractive(encoder=HashEmbeddings(64))
    draft = model.invoke([HumanMessage("", additional_kwargs=asked)]).text.partition("\n\n[[")[0]
    return [quote.strip() for quote in re.split(r" \[a?\d+\]", draft) if quote.strip()]


MEANT, FIX = "Error E-42 means the licence expired.", E42.partition(". ")[2]


@pytest.mark.parametrize(
    "question",
    ["How do I fix this?", "How to solve this", "What should I do about E-42?", "fix E-42", "E-42"],
)
@pytest.mark.parametrize(
    "text", [E42, f"{E41}\n{E42}\n{E43}", f"{E41} {E42} {E43}", E42.replace(". ", ".\n", 1)]
)
def test_what_to_do_comes_with_what_the_code_means(question: str, text: str) -> None:
    assert quotes(question, text) == [MEANT, FIX]


def test_what_a_code_means_needs_no_instructions() -> None:
    assert quotes("What does E-42 mean?", f"{E41} {E42} {E43}") == [MEANT]


def test_every_code_that_is_asked_about_brings_its_own() -> None:
    both = quotes("How do I fix E-41 and E-43?", f"{E41}\n{E42}\n{E43}")
    assert " ".join(both) == f"{E41} {E43}"
    for code, text in (("E-41", E41), ("E-43", E43)):
        assert " ".join(quotes(f"How do I fix {code}?", f"{E41} {E42} {E43}")) == text


def test_what_tells_nothing_stays_behind_and_no_instruction_does() -> None:
    text = f"{MEANT} It happens once a year. {FIX} The icon is blue. Then press Save. Restart it."
    assert quotes("How do I fix this?", text) == [MEANT, FIX, "Then press Save.", "Restart it."]


def test_codes_within_a_sentence_part_a_paragraph() -> None:
    text = (
        "Jobs wait. The message E-42 means that it expired. Renew it at the desk. "
        "If you see error E-43, the account owes money. Pay at the door."
    )
    renewed = ["The message E-42 means that it expired.", "Renew it at the desk."]
    assert quotes("How do I fix this?", text) == renewed
    assert quotes("What do I do about E-43?", text)[-1] == "Pay at the door."


def test_steps_below_belong_to_their_code_alone() -> None:
    first, second = "1. Empty the bin.\n2. Restart.", "1. Open Settings.\n2. Set the date."
    text = (
        f"Error E-41 means full.\n{first}\nError E-42 means expired. Do this:\n{second}\nIt rains."
    )
    steps = ["1. Open Settings.", "2. Set the date."]
    assert quotes("How do I fix this?", text) == ["Error E-42 means expired.", "Do this:", *steps]
    assert quotes("What do I do about E-41?", text) == [
        *("Error E-41 means full.", "1. Empty the bin.", "2. Restart.")
    ]


def test_steps_that_a_question_names_without_a_code_are_those_of_one_code() -> None:
    text = (
        "Error E-41 means full.\n1. Empty the bin.\n2. Restart.\n"
        "Error E-42 means expired. Do this:\n1. Open Settings.\n2. Set the date."
    )
    found = quotes("How do I set the date in the settings?", text)
    assert {"1. Open Settings.", "2. Set the date."} <= set(found)
    assert not {"1. Empty the bin.", "2. Restart."} & set(found)


def test_a_heading_names_the_code_of_its_section() -> None:
    sections = [
        ("Manual › Error E-41", "The disk is full. Empty the recycle bin."),
        (
            "Manual › Error E-42",
            "The licence of this computer expired. It was bought by the office.",
        ),
        ("Manual › Error E-42", "Open Settings and set the date.\nPress Save."),
        ("Manual › Printing", "Open the printer window. Choose a paper."),
    ]
    found = quotes("How do I fix this?", *sections)
    assert found[-2:] == ["Open Settings and set the date.", "Press Save."]
    assert not {"Empty the recycle bin.", "Open the printer window."} & set(found)


def test_a_place_that_only_explains_leaves_it_to_one_that_tells() -> None:
    notes = "Error E-42 means the licence expired and nobody noticed the error."
    found = quotes("How do I fix this?", notes, f"If you see error E-42, look here. {FIX}")
    assert FIX in found


def test_a_follow_up_asks_about_the_code_before() -> None:
    before = ("What does E-42 mean? And how do I fix it?",)
    found = quotes("And how do I fix it?", f"{E41}\n{E42}\n{E43}", queries=before)
    assert found == [MEANT, FIX]


def test_what_to_do_without_a_code_stands_in_the_same_paragraph() -> None:
    jam = "When the printer is jammed, a red light shows. Open the flap and pull the sheet out."
    text = f"{jam}\nThe toner lasts a year. Order another in time."
    assert " ".join(quotes("The printer is jammed, what should I do?", text)[:2]) == jam
    assert quotes("What does the red light mean?", jam) == [jam.partition(" Open")[0]]
