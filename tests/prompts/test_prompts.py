from __future__ import annotations

import pytest

from limner.errors import DeveloperError
from limner.prompts import prompt, read_file


def test_a_prompt_is_rendered_from_its_file() -> None:
    assert prompt("question", question="Why?", passages="") == "Question: Why?"
    assert prompt("question", question="Why?", passages="P") == "P\n\nQuestion: Why?"


@pytest.mark.parametrize(
    "values", [{}, {"question": "Why?"}, {"question": "Why?", "passages": "", "extra": 1}]
)
def test_a_missing_or_unused_variable_is_an_error(values: dict[str, object]) -> None:
    with pytest.raises(DeveloperError, match=r"question\.jinja"):
        prompt("question", **values)


def test_a_missing_field_within_is_an_error() -> None:
    from jinja2 import UndefinedError

    with pytest.raises(UndefinedError):
        prompt("passages", passages=[{"label": "1"}])


def test_template_syntax_in_a_document_stays_text() -> None:
    passage = {
        "label": "1", "place": "a.md", "pictured": False, "context": "", "text": "{{ 7 * 7 }}",
    }  # fmt: skip
    assert "{{ 7 * 7 }}" in prompt("passages", passages=[passage])


def test_an_unknown_file_is_an_error() -> None:
    with pytest.raises(DeveloperError, match="does not exist"):
        read_file("nothing.jinja")
