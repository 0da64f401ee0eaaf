"""What of a message is asked, and what is to be drawn: the one place where the two are told apart.

    How often is the filter changed, and draw a cup     asks the first, draws “a cup”
    What is a fox? Draw one.                            asks the first, draws “a fox”
    show me a drawing of a cat                          draws, where no picture at hand serves
    How do I open the editor and draw a wire?           asks; nothing is drawn

English sentences by their form. Knows no library, no picture and no model.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from .sentences import split_sentences
from .subjects import GENERIC, referred, subject_of

__all__ = ["Drawing", "asks", "drawings_of", "named", "parts_of", "question_of"]


@dataclass(frozen=True, slots=True)
class Drawing:
    """What is to be drawn.

    Attributes:
        prompt: the thing, as it was called.
        shown: it is to be seen rather than made, so that a picture at hand serves as well.
    """

    prompt: str
    shown: bool = False


Part = str | Drawing
"""A question as it was put, or a drawing."""


def parts_of(message: str, before: str = "") -> tuple[Part, ...]:
    """A message in its parts, in their order; a message that draws nothing is one question.

    Args:
        message: of a person.
        before: what they asked before it, which "draw one" may be about.

    Example:
        >>> parts_of("Draw a puppy and tell me how often the filter is changed")
        (Drawing(prompt='a puppy', shown=False), 'tell me how often the filter is changed')
    """
    parts: list[Part] = []
    about = subject_of(before)
    for clause in (c for sentence in split_sentences(message) for c in _clauses(sentence)):
        last = parts[-1] if parts else None
        if drawing := _drawing(clause, about):
            parts.append(drawing)
            about = drawing.prompt
            continue
        about = subject_of(clause) or about
        if isinstance(last, Drawing) and not asks(clause):
            parts[-1] = _going_on(last, clause)
        elif isinstance(last, str):
            parts[-1] = f"{last} {clause}"
        else:
            parts.append(referred(clause, last.prompt) if last else clause)
    return tuple(parts) if any(isinstance(p, Drawing) for p in parts) else (message,)


def drawings_of(message: str, before: str = "") -> tuple[Drawing, ...]:
    """What is to be drawn, in order; see ``parts_of``."""
    return tuple(part for part in parts_of(message, before) if isinstance(part, Drawing))


def question_of(message: str, before: str = "") -> str:
    """What is asked beside the drawings, in one; empty where nothing is; see ``parts_of``."""
    return " ".join(part for part in parts_of(message, before) if isinstance(part, str))


# ── one clause ───────────────────────────────────────────────────────────────────────────────

_CALLS = r"(?:please|kindly|pls|now|then|and|also|so|but|ok(?:ay)?|hey|hi|hello|next|first|finally)"
_WISHES = (  # each word in one place only, or a row of them could be read in too many ways
    r"(?:can|could|would|will) you"
    r"|(?:i|we)(?:['’]d| would)? (?:like|love|want|need) you to|go ahead and|let['’]s|try to"
)
_MANNERS = rf"\W*(?P<polite>(?:(?:{_CALLS}|{_WISHES})\W+)*)"
_FOR_ME = r"(?:\s+(?P<me>me|us)\b)?"
_DRAWN = re.compile(
    rf"{_MANNERS}(?P<verb>draw|paint|sketch|illustrate|doodle)\b(?![-'’]){_FOR_ME}"
    r"\s*:?\s*(?P<what>.+)"
    r"|\W*(?:how about|what about|would you mind|try)\s+(?:drawing|painting|sketching)\s+"
    r"(?P<thing>.+)",
    re.IGNORECASE | re.DOTALL,
)
_MADE = r"(?:create|generate|make|produce|render|design|draw|paint|sketch)"
_SEEN = (
    r"(?:(?:give|show|get|send)|let\s+(?:me|us)\s+(?:see|have)"
    r"|(?:i|we)(?:['’]d|\s+would)?\s+(?:like|love|want|need)(?:\s+to\s+(?:see|have))?"
    r"|(?:can|could|may)\s+(?:i|we)\s+(?:please\s+)?(?:have|get|see))"
)
_PLAIN = rf"(?:{GENERIC})s?"
_KINDS = (
    r"(?:logo|icon|avatar|sticker|cartoon|comic|caricature|mascot|poster|portrait|postcard"
    r"|wallpaper|watercolou?r)"
)
_QUALITY = (
    r"(?:(?!(?:a|an|and|at|by|for|from|in|of|on|or|that|the|to|which|with)\s)[\w-]+\s+){0,3}?"
)
_OF = r"(?:of|showing|depicting|with|that\s+(?:shows|depicts))"
_ARTICLE = r"(?:an?|another|one(?:\s+more)?|some|two|three)"
_PICTURE = (
    rf"(?P<kind>(?P<article>{_ARTICLE})\s+(?P<quality>{_QUALITY})"
    rf"(?:(?P<plain>{_PLAIN})(?:\s+{_OF}\s+(?P<what>.+)|(?=\W*$))"
    rf"|{_KINDS}(?:\s+(?:{_OF}|for|in)\s+.+|(?=\W*$))))"
)
_PICTURED = re.compile(
    rf"{_MANNERS}(?:(?P<made>{_MADE})|(?P<seen>{_SEEN})){_FOR_ME}\s+{_PICTURE}",
    re.IGNORECASE | re.DOTALL,
)
_CALLED = re.compile(  # without a verb: "a picture of a fox, please"
    rf"\W*(?:{_CALLS}\W+)*(?P<kind>(?:(?P<article>{_ARTICLE})\s+)?(?P<quality>{_QUALITY})"
    rf"(?P<plain>{_PLAIN})\s+of\s+(?P<what>.+))",
    re.IGNORECASE | re.DOTALL,
)
_THANKS = re.compile(
    r"[\s,.!?]*\b(?:please|pls|thanks|thank you|(?:just )?for (?:me|us)|too|as well|if you can"
    r"|(?:would|could|can|will) you)[\s.!?]*$",
    re.IGNORECASE,
)
_WH = r"(?:who|whom|whose|what|when|where|which|why|whether|how)"
_NAMED = re.compile(r"(?:an?|two|three)\s+\w[\w ,'’-]{1,80}", re.IGNORECASE)
"""A thing that is any one of its kind; what is wished to be drawn begins so."""
_ASKING = re.compile(rf"\b(?:{_WH}|is|are|do|does|can|may|must)\b", re.IGNORECASE)
_AT_HAND = re.compile(
    r"(?:the\s+)?(?:figure|fig\.?|table|picture|page|source)\s*\d+"
    r"|the\b.*\b(?:chart|diagram|drawing|figure|graph|map|plan|schema|schematic|screenshot|table)s?\b",
    re.IGNORECASE | re.DOTALL,
)
"""What is there already: "draw figure 1", "draw the network map" ask for the document's own."""
_DISK_IMAGE = re.compile(
    r"\b(?:dis[ck]|iso|system|backup|boot|docker|container|vm|virtual)\s+image\b", re.IGNORECASE
)
_IMAGE_OF = re.compile(r"\bimages?\s+of\b", re.IGNORECASE)
_DISK = re.compile(
    r"\b(?:dis[ck]s?|drives?|partitions?|volumes?|ssd|hdd|usb stick|sd card|system|servers?"
    r"|containers?|vms?|virtual machines?|installation|database|firmware)\b",
    re.IGNORECASE,
)
_DEFINITE = re.compile(r"(?:the|this|that|these|those|my|our|your|its|their|his|her)\b", re.I)
_INDEFINITE = re.compile(r"(?:an?|one|two|three|some|several)\b", re.IGNORECASE)
_DETERMINED = re.compile(
    rf"(?:{_DEFINITE.pattern}|{_INDEFINITE.pattern}|it\b|them\b|\d)", re.IGNORECASE
)
_DULL = re.compile(r"(?:(?:new|nice|quick|little|small|simple|rough|single)\s+)*", re.IGNORECASE)
_IDIOMS = {
    "draw": re.compile(
        r"(?:up|on|upon|out|off|in|into|back|down|near(?:er)?|away|together|from|to|level|closer"
        r"|over)\b"
        r"|(?:(?:an?|any|the|some|your|my|our|no)\s+)?(?:\w+\s+)?(?:conclusion|inference|comparison"
        r"|parallel|distinction|analogy|lesson|breath|salary|pension|wage)s?\b"
        r"|(?:\w+\s+)?(?:attention|power|current|energy|electricity|inspiration|blood|interest|lots"
        r"|straws|criticism|a\s+blank)(?=\W*$|\s+(?:to|from|away|for|at|on|over|by|through|with|when)\b)",
        re.IGNORECASE,
    ),
    "sketch": re.compile(r"out\b", re.IGNORECASE),
    "illustrate": re.compile(r"(?:with|by|that|this|the\s+point)\b", re.IGNORECASE),
}
"""What such a verb means besides: "draw a conclusion", "sketch out"."""


def _drawing(clause: str, about: str) -> Drawing | None:
    """What a clause wants drawn; None where it wants something else.

    Args:
        clause: of a message.
        about: what was spoken of before it.
    """
    if _is_of_a_disk(clause):
        return None
    return _wished(clause, about) or _told_to_draw(clause, about)


def _is_of_a_disk(clause: str) -> bool:
    """Whether it speaks of a copy of a disk, which is called an image too."""
    found = _IMAGE_OF.search(clause)
    of_a_disk = found is not None and _DISK.search(clause, found.end()) is not None
    return of_a_disk or _DISK_IMAGE.search(clause) is not None


def _told_to_draw(clause: str, about: str) -> Drawing | None:
    """“Draw …” and its like."""
    found = _DRAWN.match(clause)
    if found is None:
        return None
    what, verb = found["what"] or found["thing"], (found["verb"] or "").lower()
    meant = bool(found["polite"] or found["me"] or found["thing"])
    if not meant and what.rstrip().endswith("?") and _ASKING.search(what):
        return None  # "Paint dries in what time?" asks about paint
    if verb == "paint" and not meant and not _DETERMINED.match(what):
        return None  # "Paint storage"
    idiom = _IDIOMS.get(verb)
    if idiom is not None and idiom.match(what):
        return None
    prompt = _thing(what, about)
    return Drawing(prompt) if prompt else None


def _wished(clause: str, about: str) -> Drawing | None:
    """“Make a picture of …”, “I'd like a drawing of …”, “a picture of …, please”."""
    found, shown = _PICTURED.match(clause), False
    if found is not None:
        shown = bool(found["seen"])
    elif (found := _CALLED.match(clause)) is not None:
        if asks(clause):
            return None  # "A drawing of a pump is where?"
        shown = True
        polite = _THANKS.search(clause) is not None
        if not (polite or found["article"] or _INDEFINITE.match(found["what"])):
            return None  # "drawing of pump assembly" looks for one
    else:
        return None
    prompt = _thing(_named(found), about)
    if not prompt or (shown and _DEFINITE.match(_inner(found, prompt))):
        return None  # "a picture of the kiln" is one that there is
    return Drawing(prompt, shown)


def _named(found: re.Match[str]) -> str:
    """The thing without “a picture of”, but with what is said of the picture's kind."""
    if not found["plain"] or not _DULL.fullmatch(found["quality"]):
        return str(found["kind"])
    return str(found["what"] or "one")


def _inner(found: re.Match[str], prompt: str) -> str:
    """What is to be seen on a picture: its own words, or what they stand for."""
    named = found["plain"] and found["what"] and not _DULL.fullmatch(found["quality"])
    return str(found["what"]) if named else prompt


def _thing(what: str, about: str) -> str:
    """A thing as a prompt; empty for what is at hand already and for what nobody named."""
    if _AT_HAND.match(what):
        return ""
    while (shorter := _THANKS.sub("", what)) != what:
        what = shorter
    what = what.strip().rstrip(".!?,;:").strip()
    return referred(what, about, whole=True)


# ── several clauses ──────────────────────────────────────────────────────────────────────────

_LONGEST = 600  # characters of a sentence that is cut
_JOINT = re.compile(
    r"\s*[,;:–—]\s*(?:(?:and|then|but|also|plus)\b\s*)*|\s+(?:(?:and|then|but|also|plus)\b\s*)+"
    r"|\s+-\s+",
    re.IGNORECASE,
)
_TELLS = (
    r"tell\s+(?:me|us)|let\s+(?:me|us)\s+know|explain|describe|remind\s+(?:me|us)|look\s+up|find\s+out"
    r"|(?:give|show)\s+(?:me|us)|summari[sz]e"
    rf"|say\s+(?:if|{_WH})"
    r"|(?:list|quote|cite|answer|define)\s+(?:the|all|every|my|what|its|a|an)"
)
_TURNED = r"(?:is|are|was|were|do|does|did|can|could|should|will|would|must|may|has|have|had)"
_QUESTION = re.compile(
    rf"\W*(?:(?:{_CALLS}|{_WISHES}|i(?:['’]d like| want| need) to know)\W+)*(?:{_TELLS}"
    rf"|{_WH}(?:['’]s|(?:\s+[\w-]+){{0,2}}\s+{_TURNED})\b"
    r"|(?:how\s+(?:often|many|much|long|old|far|big|large|fast|high))\b)",
    re.IGNORECASE,
)
_OPENING = re.compile(
    rf"\W*(?:(?:{_CALLS}|(?:can|could|would|will)\s+you|(?:i|we)(?:['’]d\s+like|\s+want|\s+need)"
    r"\s+to\s+know|i\s+wonder)\W+)+",
    re.IGNORECASE,
)
_SOMEBODY_ACTS = re.compile(
    r"\b(?:to|i|we|you|one|they|who|people|users?|someone|somebody|anyone|anybody|students?)\s+"
    r"(?!(?:the|an?|my|our|this|that)\b)\w+",
    re.IGNORECASE,
)
_DRAFTED = re.compile(
    r"\b(?:lines?|wires?|circles?|rectangles?|squares?|box(?:es)?|shapes?|arrows?|curves?|paths?|routes?"
    r"|polygons?|borders?|diagrams?|charts?|graphs?|plans?|schematics?)\b",
    re.IGNORECASE,
)
"""What people draw with a program that a document may be about."""
_ASKS = re.compile(rf"\W*(?:{_TURNED}|{_WH})\b", re.IGNORECASE)


def asks(text: str) -> bool:
    """Whether words ask for something to be told, rather than tell something.

    Example:
        >>> asks("Explain the valve"), asks("I love foxes.")
        (True, False)
    """
    return _ASKS.match(text) is not None or text.rstrip().endswith("?") or _tells(text)


def named(message: str) -> str:
    """The thing that a message names, where it does nothing else; empty for any other message.

    Example:
        >>> named("A cat at night."), named("A cat is what?"), named("the cat at night")
        ('a cat at night', '', '')
    """
    line = message.strip().rstrip(" .!")
    if asks(message) or _ASKING.search(line) or not _NAMED.fullmatch(line):
        return ""
    return line[0].lower() + line[1:]


def _tells(text: str) -> bool:
    return _QUESTION.match(text) is not None


def _clauses(sentence: str) -> Iterator[str]:
    """A sentence cut where a request to draw begins or ends; a very long one stays whole."""
    start = 0
    if len(sentence) > _LONGEST:  # every joint costs as much as all that stands before it
        yield sentence.strip()
        return
    for joint in _JOINT.finditer(sentence):
        left, right = sentence[start : joint.start()], sentence[joint.end() :]
        if _begins_drawing(left, joint.group(), right) or _ends_drawing(left, right):
            yield left.strip()
            start = joint.end()
    yield sentence[start:].strip()


def _begins_drawing(left: str, joint: str, right: str) -> bool:
    """Whether a joint leads to a request of its own: “… select a pen and draw a line” does not."""
    if _is_of_a_disk(right):
        return False
    found = _PICTURED.match(right) or _DRAWN.match(right)
    if found is None or _drawing(right, "it") is None:
        return False
    if found["me"] or found["polite"] or found.groupdict().get("seen"):
        return True
    apart = "," in joint and "," not in left
    told = _tells(left) and _INDEFINITE.match(found["what"] or "") and not _DRAFTED.search(right)
    return bool(apart or told) or not _SOMEBODY_ACTS.search(_OPENING.sub("", left, count=1))


def _ends_drawing(left: str, right: str) -> bool:
    """Whether a joint leads from a request to draw to a question."""
    return _tells(right) and _drawing(left, "it") is not None


def _going_on(drawing: Drawing, words: str) -> Drawing:
    """A drawing of which more is said, as in “Draw a house. It has a red roof”."""
    more = _THANKS.sub("", words).strip().rstrip(".!").strip()
    return replace(drawing, prompt=f"{drawing.prompt}. {more}") if more else drawing
