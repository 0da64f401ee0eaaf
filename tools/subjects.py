"""What a sentence is about, and what a pronoun after it stands for. English, by form; no library.

A few plain forms are read ("what is a fox", "tell me about foxes", "how does a kiln work"); of
any other sentence it is the first thing that it names with an article.
"""

from __future__ import annotations

import re

from .sentences import STOP_WORDS

__all__ = ["GENERIC", "referred", "subject_of"]

GENERIC = r"picture|pic|image|drawing|illustration|painting|sketch|icon|emoji|doodle|graphic|photo"
"""Words for a picture that say nothing of what it shows."""

_ABOUT = re.compile(
    r"(?:\b(?:tell (?:me|us)(?: \w+)?|know|read|learn|hear|talk|say\w*|information|facts?)"
    r" (?:about|of)"
    r"|\b(?:describe|explain|define)|\b(?:i|we) (?:love|like|saw|have|want|need)"
    r"|\b(?:what|who)(?:['’]s|\s+(?:is|are|was|were)))\s+(?P<what>.+)",
    re.IGNORECASE,
)
_DOES = re.compile(r"\b(?:do|does|did|can|should|will)\s+(?P<what>.+)", re.IGNORECASE)
_NAMED = re.compile(r"\b(?P<what>(?:an?|the|my|our|some|two|three)\s+.+)", re.IGNORECASE)
_ARTICLES = ("a", "an", "the", "my", "our", "some", "two", "three")
_LONGEST = 5  # words of a thing

_STANDS_ALONE = rf"(?:this|that|these|those|(?:an?|another|the) (?:new )?(?:{GENERIC}))(?=\W*$)"
_AHEAD = (
    r"with|without|in|on|at|as|from|for|by|under|over|near|beside|behind|that|who|which|whose|and"
    r"|wearing|holding|again|\w+ing"
)
_STANDS = re.compile(
    rf"(?:{_STANDS_ALONE}|(?:it|him|her|them|one|some)(?=\W*$|\s*,|\s+(?:{_AHEAD})\b))",
    re.IGNORECASE,
)
_NOBODY = re.compile(r"(?:me|us|you|myself|yourself)\W*", re.IGNORECASE)
_WITHIN = re.compile(r"\b(?:it|they|them)\b(?!\s+(?:is|was|['’]s)\s+\w+\s+(?:to|that)\b)", re.I)


def subject_of(text: str) -> str:
    """What a sentence is about, as it calls it; empty where that cannot be told.

    Example:
        >>> subject_of("How often should the filter be changed?")
        'the filter'
    """
    if (found := _ABOUT.search(text)) and (thing := _phrase(found["what"])):
        return thing
    if (found := _DOES.search(text)) and (thing := _doer(found["what"])):
        return thing
    found = _NAMED.search(text)
    return _phrase(found["what"]) if found else ""


def _phrase(text: str) -> str:
    """The words of a thing at the beginning of a text; empty where it begins with none."""
    words: list[str] = []
    for word in re.findall(r"[\w'’-]+|[^\w\s]", text)[:_LONGEST]:
        plain = word.lower()
        if (words or plain not in _ARTICLES) and (plain in STOP_WORDS or not word[0].isalnum()):
            break
        words.append(word)
    only_article = len(words) == 1 and words[0].lower() in _ARTICLES
    return "" if only_article else " ".join(words)


def _doer(text: str) -> str:
    """What does something, without what it does: “a kiln work”, “the filter be changed”."""
    thing = _phrase(text)
    words, after = thing.split(), text[len(thing) :].lstrip().lower()
    most = 1 + (thing.partition(" ")[0].lower() in _ARTICLES)
    acts = len(words) > most and not re.match(r"(?:be|have)\b", after)
    return " ".join(words[:-1]) if acts else thing


def referred(words: str, about: str, *, whole: bool = False) -> str:
    """Words in which a pronoun is put as what it stands for.

    Args:
        words: a question; or with ``whole`` a thing, in which only what it begins with counts.
        about: what was spoken of before; empty for nothing.
        whole: the words are a thing by themselves.

    Returns:
        The words; empty for a thing that is nothing but a pronoun which stands for nothing.

    Example:
        >>> referred("one with a hat", "a fox", whole=True)
        'a fox with a hat'
    """
    if not whole:
        return _WITHIN.sub(lambda _: about, words, count=1) if about else words
    if _NOBODY.fullmatch(words):
        return ""
    found = _STANDS.match(words)
    if found is None:
        return words
    return f"{about}{words[found.end() :]}" if about else ""
