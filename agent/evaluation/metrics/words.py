"""What metrics read of a text: the answer's own words, and these words made comparable.

On English in ASCII these are the published normalisations, character for character. Beyond it they
go on where those stop: a letter and its accent count as the composed letter (NFC), punctuation is
what Unicode calls so, and each sign of a script written without blanks (Han, kana) is a word, as
MLQA does for Chinese. Thai, Lao and Khmer are not split: a run between blanks is one word. Articles
are the English ones only. Knows answers; nothing of scores.
"""

from __future__ import annotations

import re
import string
import unicodedata
from collections.abc import Callable

from ...answer import Answer
from ...supporting import UNCITED, UNSUPPORTED

__all__ = [
    "normalised",
    "plain_text",
    "squad_words",
    "squeezed",
    "without_marks",
    "without_remarks",
    "words",
]

_MARK = re.compile(r"[ \t]*\[([1-9][0-9]{0,3})\]")
_REMARK = re.compile(rf"[ \t]*(?:{re.escape(UNSUPPORTED)}|{re.escape(UNCITED)})")
_ARTICLES = re.compile(r"\b(?:a|an|the)\b")
_UNSPACED = re.compile(
    "[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"
)
_PUNCTUATION = frozenset(string.punctuation)


class _Table(dict[int, str | None]):
    """What each character becomes; made as they come."""

    def __init__(self, become: Callable[[str], str | None]) -> None:
        self._become = become

    def __missing__(self, code: int) -> str | None:
        self[code] = found = self._become(chr(code))
        return found


def _bare(sign: str) -> str | None:
    return None if sign in _PUNCTUATION or unicodedata.category(sign)[0] == "P" else sign


def _worded(sign: str) -> str:
    if _UNSPACED.match(sign):
        return f" {sign} "
    return sign if sign.isalnum() or unicodedata.category(sign)[0] == "M" else " "


_BARE, _WORDED = _Table(_bare), _Table(_worded)


def plain_text(answer: Answer) -> str:
    """The answer's words without citation marks and the remarks of our own check.

    Empty where it abstains or was refused: what stands there is the product's own notice, and the
    names of files in it are no answer.
    """
    if answer.abstained or answer.refused:
        return ""
    return without_marks(without_remarks(answer.text), len(answer.passages))


def without_marks(text: str, count: int) -> str:
    """A text without the marks of passages 1 to ``count`` and the blanks before them.

    Example:
        >>> without_marks("At noon [1][2]. See [9] [3].", 3)
        'At noon. See [9].'
    """
    return _MARK.sub(lambda m: "" if int(m[1]) <= count else m[0], text).strip()


def without_remarks(text: str) -> str:
    """A text without what `supporting.checked_text` wrote behind its sentences."""
    return _REMARK.sub("", text)


def squeezed(text: str) -> str:
    """A text with each run of white space as one blank, composed (NFC)."""
    return " ".join(unicodedata.normalize("NFC", text).split())


def normalised(text: str) -> str:
    """A text as SQuAD compares it: lower case, no punctuation, no English articles.

    Where that leaves nothing of a text (``The``, ``A.``, ``?!``), what has words keeps its articles
    and what has none its punctuation; SQuAD's script holds the answer ``A`` to be no answer.

    Example:
        >>> normalised("The  “Keeper's” house."), normalised("A.")
        ('keepers house', 'a')
    """
    lowered = unicodedata.normalize("NFC", text).lower()
    bare = lowered.translate(_BARE)
    forms = (" ".join(form.split()) for form in (_ARTICLES.sub(" ", bare), bare, lowered))
    return next(filter(None, forms), "")


def squad_words(text: str) -> list[str]:
    """The words of a text in SQuAD's normal form."""
    return _UNSPACED.sub(r" \g<0> ", normalised(text)).split()


def words(text: str) -> list[str]:
    """Runs of letters and digits in lower case, as ROUGE's scorer splits English; no stemming."""
    return unicodedata.normalize("NFC", text).lower().translate(_WORDED).split()
