"""Instructions: which sentences tell a reader what to do.

"Open Settings.", "2. Press Reset.", "If it blinks, call the desk.", "Fix: empty the bin." and "The
date must be set." do; "The office opens at nine." does not. Knows the words of one sentence, in
English; nothing of codes, passages or questions.
"""

from __future__ import annotations

import re

__all__ = ["goes_on", "instructs", "is_step"]

_VERBS = (
    "accept|access|activate|add|adjust|align|allow|apply|approve|ask|assign|attach|authori[sz]e|avoid"
    "|back|block|book|boot|browse|bring|buy|calibrate|call|cancel|change|charge|check|choose|clean"
    "|clear|click|close|collect|configure|confirm|connect|consult|contact|continue|copy|correct"
    "|create|cut|deactivate|decrease|delete|detach|dial|disable|disconnect|dismiss|dismount|double"
    "|download|drag|drain|drop|edit|eject|email|empty|enable|ensure|enter|exit|expand|extend|fasten"
    "|fill|find|finish|fit|fix|flip|follow|format|free|get|give|go|grant|hand|hold|import|increase"
    "|inform|insert|inspect|install|invite|issue|join|keep|launch|lay|leave|let|lift|load|lock|log"
    "|look|loosen|lower|lubricate|make|mark|measure|mount|move|navigate|notify|note|obtain|open|order"
    "|paste|pause|pay|perform|phone|pick|place|plug|point|position|pour|power|press|proceed|provide"
    "|pull|purge|push|put|raise|read|reattach|reboot|reconnect|recover|reduce|refill|refit|refresh"
    "|register|re-?enter|re-?install|re-?open|release|reload|remove|rename|renew|repair|repeat"
    "|replace|report|request|reseat|reset|resize|restart|restore|resume|retry|return|review|rinse|rotate"
    "|run|save|scan|scroll|select|send|set|shake|shorten|show|shut|sign|slide|specify|start|stay|stop"
    "|store|submit|swap|switch|tap|take|tell|tick|tighten|top|touch|trigger|try|turn|type|unblock"
    "|uncheck|unlock|unmount|unplug|unscrew|update|upgrade|upload|use|verify|visit|wait|walk|warm"
    "|wash|wear|wipe|write"
)
"""Verbs by which manuals tell what to do, in the form of a command."""

_FINITE = "is|are|was|were|has|have|had|can|could|may|might|must|will|would|should|means?|of"
_STEP = re.compile(r"\d{1,2}[.)]\s")
_MARKER = re.compile(r"\s*(?:[-*•‣▪–]\s+|\(?(?:\d{1,2}|[a-z])[.)]\s+|[\"“‘«(]+)*")
_LABEL = re.compile(
    r"(?:action|cure|fix|how to \w+(?: it| this)?|remedy|repair|resolution|solution|to do"
    r"|what to do|what helps|workaround)\s*[:–—]\s*\w",
    re.IGNORECASE,
)
_CONDITION = re.compile(
    r"(?:after|as|at|before|below|by|during|first|for|from|if|in|on|once|otherwise|should|then|to"
    r"|under|unless|until|when|whenever|with|without)\b[^,;:]*,\s*",
    re.IGNORECASE,
)
_COMMAND = re.compile(
    r"(?:(?:afterwards|also|always|and|first|finally|if so|instead|just|kindly|never|next|now|or"
    r"|otherwise|please|simply|so|then|do not|don['’]t)\b,?\s+)*"
    rf"(?:{_VERBS})(?:\s+(?!(?:{_FINITE})\b|\w+s\s+(?:are|have|were)\b)|[,.!]|$)",
    re.IGNORECASE,
)
_NEED = re.compile(
    r"\b(?:must|should|(?:need|ha(?:s|ve)) to|(?:you|we|one|users?) can)\b"
    r"|\b(?:clear|correct|cur|fix|mend|remov|repair|resolv|solv)ed (?:by|in|with)\b",
    re.IGNORECASE,
)
_CLAUSE = re.compile(r"[;:–—]\s+")
_GOES_ON = re.compile(
    r"(?:after (?:that|this)|afterwards|finally|if (?:it|that|this)|it|next|otherwise|that|then"
    r"|these|they|this)\b",
    re.IGNORECASE,
)


def is_step(sentence: str) -> bool:
    """Whether a sentence is a numbered step.

    Example:
        >>> is_step("2. Press Reset."), is_step("2.5 bar is enough.")
        (True, False)
    """
    return _STEP.match(sentence) is not None


def instructs(sentence: str) -> bool:
    """Whether a sentence tells what to do: a command, a step, or what must be done.

    A sentence that only leads to others, with a colon at its end, does not.

    Example:
        >>> instructs("If it blinks, press Reset."), instructs("Print jobs wait for a fob.")
        (True, False)
    """
    if sentence.rstrip().endswith(":"):
        return False
    if is_step(sentence) or _NEED.search(sentence):
        return True
    words = sentence[_bare(sentence) :]
    return any(_LABEL.match(words[at:]) or _commands(words[at:]) for at in _clauses(words))


def goes_on(sentence: str) -> bool:
    """Whether a sentence leans on the one before it: a next step, "then", "this".

    Example:
        >>> goes_on("Then press Reset."), goes_on("2. Press it."), goes_on("Press Reset.")
        (True, True, False)
    """
    return is_step(sentence) or _GOES_ON.match(sentence[_bare(sentence) :]) is not None


def _bare(sentence: str) -> int:
    """Where a sentence begins behind its list marker or opening quotation mark."""
    marker = _MARKER.match(sentence)
    return marker.end() if marker else 0


def _clauses(words: str) -> list[int]:
    """Where its clauses begin, as far as a colon, a semicolon or a dash shows them."""
    return [0, *(found.end() for found in _CLAUSE.finditer(words))]


def _commands(clause: str) -> bool:
    """Whether a clause is a command, with or without a condition before it."""
    condition = _CONDITION.match(clause)
    if condition and _COMMAND.match(clause, condition.end()):
        return True
    return _COMMAND.match(clause) is not None
