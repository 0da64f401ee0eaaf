"""What is declined before any model works. Knows the policy file and nothing of the turn."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from functools import cache

from ..prompts import read_file
from .emoji import emoji_named

__all__ = ["Rule", "drawing_refusal", "policy", "refusal"]


@dataclass(frozen=True, slots=True)
class Rule:
    """One thing that is declined.

    Attributes:
        name: what, in a few words.
        patterns: all of them must be found.
        message: what the person is told.
    """

    name: str
    patterns: tuple[re.Pattern[str], ...]
    message: str

    def declines(self, text: str) -> bool:
        """Whether the rule applies to a text."""
        return all(pattern.search(text) for pattern in self.patterns)


@cache
def policy() -> tuple[Rule, ...]:
    """The rules of ``prompts/policy.toml``, in order."""
    rules = tomllib.loads(read_file("policy.toml"))["rule"]
    return tuple(
        Rule(
            rule["name"],
            tuple(re.compile(p, re.IGNORECASE) for p in rule["patterns"]),
            rule["message"],
        )
        for rule in rules
    )


def refusal(text: str) -> Rule | None:
    """The first rule that declines a question; None where all is well."""
    return next((rule for rule in policy() if rule.declines(text)), None)


def drawing_refusal(prompt: str) -> Rule | None:
    """The first rule that declines to draw something; None where all is well.

    A drawing's prompt names the thing only: that it is to be drawn goes without saying.
    """
    return refusal(f"draw a picture: {emoji_named(prompt)}")
