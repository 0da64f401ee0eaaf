"""Extractive: a chat model that answers by quoting. It invents no word.

Every sentence it writes stands in a passage or on an attachment; it chooses, orders and cites. It
knows the draft's format (``[n]``, ``[[show n: …]]``, ``[[mark n: …]]``, ``[[draw: …]]``) and reads
the passages from the last message's ``additional_kwargs``. Knows nothing of libraries, retrieval
or pictures, and cannot judge whether its quotes answer: grading does that before it is asked.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, HumanMessage
from langchain_core.messages.ai import UsageMetadata
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from pydantic import Field

from ...errors import DeveloperError
from ..drawing_requests import Drawing, parts_of
from ..entries import codes, without_codes
from ..instructions import is_step
from ..quoting import (
    asks_advice,
    asks_to_see,
    asks_what_to_do,
    in_full,
    names,
    troubles,
    weigh,
)
from ..screens import remedies
from ..sentences import CachedEncoder, stems
from .belonging import about_codes, is_of_steps, steps_around, told_after
from .quoted import Chosen, Source, figure_number, slot_words

__all__ = ["Extractive"]

_TEXTS = 5
"""How many of the library's passages are read for sentences."""

_FIGURES = 8
"""How far down the list a figure is looked for."""

_SENTENCES = 3
_GAP = 2.5
"""A further sentence is quoted when its score is at most this much below the best one's."""

_SHOW_ASKED = 0.25
_SHOW_WHERE = 0.45
_SHOW_UNASKED = 0.55
"""Cosine of question and caption from which on a figure is shown: to a question that asks for a
picture, to one that asks where, and to any other."""

_NAMED = 3.0
_KEYED = 4.0
"""Added to a form's row whose label the question names, and to a table's row whose key it names."""

_ROW_SHARE = 0.5
_ROW_LENGTH = 5
"""Share of the question's words, and words of its own, that a library's screenshot row needs."""

_MARK = 0.3
_MARK_TROUBLE = 0.15
"""Cosine of the best sentence and an attachment's row from which on the row is marked."""

_NEAR = 0.5
"""Cosine from which on what the library says leads, and not what a screen itself advises."""

_WHICH = re.compile(r"\b(?:what|which)\b", re.IGNORECASE)


class Extractive(BaseChatModel):
    """Answers with one to three verbatim sentences, each cited, and at most two picture slots.

    The last human message carries in ``additional_kwargs`` the ``question``, its other forms
    ``queries`` and the ``passages``: mappings with ``label`` (``1``, or ``a1`` for an attachment),
    ``text``, ``context``, ``modality`` and ``pictured``, best first, and where they answer nothing
    that is asked ``answerable`` as False. What is to be drawn becomes a slot in its place (see
    ``parts_of``). Where nothing can be quoted or drawn the answer is empty.

    Attributes:
        encoder: ``encode_query`` and ``encode_document``: ``list[str]`` -> float32 ``(n, d)``,
            L2-normalised; best the ``CachedEncoder`` that grading holds too.

    Example:
        >>> passage = {"label": "1", "text": "The kiln holds 120 litres."}
        >>> asked = {"question": "How big is the kiln?", "passages": [passage]}
        >>> Extractive(encoder=encoder).invoke([HumanMessage("", additional_kwargs=asked)]).text
        'The kiln holds 120 litres. [1]'
    """

    encoder: Any = Field(exclude=True, repr=False)

    @property
    def _llm_type(self) -> str:
        return "extractive"

    @property
    def _identifying_params(self) -> Mapping[str, Any]:
        return {"model": "extractive", "sentences": _SENTENCES}

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        pieces = self._draft(messages)
        message = AIMessage("".join(pieces), usage_metadata=_usage(messages, pieces))
        return ChatResult(generations=[ChatGeneration(message=message)])

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        pieces = self._draft(messages)
        for piece in pieces:
            yield ChatGenerationChunk(message=AIMessageChunk(content=piece))
        last = AIMessageChunk(content="", usage_metadata=_usage(messages, pieces))
        yield ChatGenerationChunk(message=last)

    def _draft(self, messages: Sequence[BaseMessage]) -> list[str]:
        told = [m for m in messages if isinstance(m, HumanMessage)]
        if not told:
            raise DeveloperError("the messages hold no question", "end them with a HumanMessage")
        given = told[-1].additional_kwargs
        question = str(given.get("question") or told[-1].text)
        sources = [Source.read(passage) for passage in given.get("passages", ())]
        queries = [str(query) for query in given.get("queries", ())]
        draft: list[str] = []
        for part in parts_of(question, told[-2].text if told[1:] else ""):
            if isinstance(part, Drawing):
                own = _Reply(part.prompt, (), sources, self.encoder).own() if part.shown else []
                pieces = own or [f"[[draw: {slot_words(part.prompt)}]]"]
            elif given.get("answerable", True):
                pieces = _Reply(part, queries, sources, self.encoder).pieces()
            else:
                continue
            draft += ["\n\n", *pieces] if draft and pieces else pieces
        return draft


class _Reply:
    """One answer in the making: what could be quoted, what is, and what is shown beside it."""

    def __init__(
        self, question: str, queries: Sequence[str], sources: Sequence[Source], encoder: Any
    ) -> None:
        self._question = question
        self._wanted = _wanted(question)
        self._number = figure_number(question)
        self._advice = asks_advice(question)
        self._where = re.search(r"\bwhere\b", question, re.IGNORECASE) is not None
        self._encoder = encoder if isinstance(encoder, CachedEncoder) else CachedEncoder(encoder)
        attached = [source for source in sources if source.attached]
        screens = [source.pieces for source in attached]
        library = [s for s in sources if not (s.attached or s.is_one_of(screens))]
        figures = [s for s in library[_TEXTS:_FIGURES] if s.modality == "figure"]
        library = library[:_TEXTS] + figures
        everything = [piece for source in library + attached for piece in source.pieces]
        if everything:
            self._encoder.encode_document(everything)  # one call; what follows is remembered
        self._attached = self._weighed(attached, question, ())
        self._remedies = _told(self._attached, question)
        screen = [row.quote.text for row in self._attached]
        self._library = self._weighed(library, *in_full(question, queries, screen))
        named = codes(question) or codes("\n".join(screen))
        said = len(stems(without_codes(question))) if named else None
        self._codes = named or codes("\n".join(queries))  # a follow-up leaves its code unsaid
        self._advice_on_codes = self._advice or said in (0, 1)
        self._to_do = asks_what_to_do(question) or said == 0

    def _weighed(
        self, sources: Sequence[Source], question: str, queries: Sequence[str]
    ) -> list[Chosen]:
        quotes = weigh(
            question,
            [source.pieces for source in sources],
            self._encoder,
            queries=queries,
            contexts=[source.above for source in sources],
            found=[source.score for source in sources],
        )
        places = [source.places for source in sources]
        return [Chosen(q, sources[q.source], places[q.source][q.position]) for q in quotes]

    def pieces(self) -> list[str]:
        """The draft, sentence by sentence, slot by slot."""
        chosen = self._sentences()
        captions = (c for c in chosen if c.source.modality == "figure" and c.source.pictured)
        picture = self._picture() or next(captions, None)
        if picture:
            others = [c for c in chosen if c != picture and not picture.source.rows]
            others = others[: _SENTENCES - 1]
            first = picture in chosen[:1] or asks_to_see(self._question)
            chosen = [picture, *others] if first else [*others, picture]
        slots = [_slot("show", picture)] if picture and not picture.source.rows else []
        slots += [_slot("mark", row) for row in self._marked(chosen)]
        sentences = [f"{_before(c.quote.text) if n else ''}{c}" for n, c in enumerate(chosen)]
        return sentences + [f"\n\n{slot}" for slot in slots]

    def own(self) -> list[str]:
        """A figure whose caption names all that is wished for, in place of a drawing, if any."""
        wanted = set(stems(self._question))
        named = (
            c
            for c in self._library
            if c.source.modality == "figure" and c.source.pictured and c.quote.position == 0
            if wanted and wanted.issubset(stems(c.quote.text))
        )
        best = max(named, key=lambda c: c.quote.score, default=None)
        return [str(best), f"\n\n{_slot('show', best)}"] if best else []

    def _sentences(self) -> list[Chosen]:
        """The best sentence, then close seconds: those beside it first, in their own order."""
        ranked = sorted(
            (c for c in [*self._library, *self._attached] if self._fits(c)),
            key=lambda c: -self._score(c),
        )
        distinct = list({_plain(c.quote.text): c for c in reversed(ranked)}.values())[::-1]
        if not distinct:
            return self._remedies
        best, *others = distinct
        others = [c for c in others if self._score(c) >= self._score(best) - _GAP]
        others = [c for c in others if not c.source.rows or self._answers(c)][: _SENTENCES - 1]
        beside = [c for c in others if c.source == best.source]
        beside.sort(key=lambda c: c.quote.position)
        chosen = [best, *beside, *(c for c in others if c not in beside)]
        return self._with_others(chosen, ranked)

    def _with_others(self, chosen: list[Chosen], ranked: Sequence[Chosen]) -> list[Chosen]:
        """What was chosen, and what belongs to it: an entry, steps, what it tells to do."""
        about = about_codes(
            self._codes if self._advice_on_codes else (),
            ranked,
            self._library,
            best=chosen,
            to_do=self._to_do,
        )
        others = [c for c in chosen if not is_of_steps(c, self._library)]
        if about:
            return _filled(about, others)
        if self._remedies and all(c.quote.features.cosine < _NEAR for c in chosen):
            return self._remedies
        prose = (c for c in chosen if not c.source.rows)
        step = next((c for c in prose if is_of_steps(c, self._library)), None)
        if step:
            steps = steps_around(step, self._library)
            return [*(c for c in chosen[: chosen.index(step)] if c not in steps), *steps]
        told = told_after(chosen[0], self._library) if self._to_do else []
        if any(is_step(c.quote.text) for c in told):  # a list of steps is not cut
            return [chosen[0], *told]
        return _filled([chosen[0], *told][:_SENTENCES], others) if told else chosen

    def _fits(self, chosen: Chosen) -> bool:
        """Rows of a screen answer what is on it, not what to do about it or what it looks like."""
        if not chosen.source.rows:
            about = not self._codes or chosen.is_of(self._codes)
            return about and not self._echoes(chosen) and not self._is_other_figure(chosen)
        if asks_to_see(self._question) or (self._advice and chosen.source.attached):
            return False
        if chosen.source.attached:
            return chosen.quote.features.words > 0 or self._answers(chosen)
        if chosen.quote.position == 0 and len(chosen.source.pieces) > 1:
            return False  # the title of a window names it and says nothing else
        long = len(chosen.quote.text.split()) >= _ROW_LENGTH
        said = long and chosen.quote.features.words >= _ROW_SHARE
        return self._named(chosen) or self._keyed(chosen) or said

    def _answers(self, row: Chosen) -> bool:
        return row.quote.features.kind > 0 or self._named(row)

    def _echoes(self, chosen: Chosen) -> bool:
        """Whether the library says no more than the screen that the question is about."""
        said = set(stems(chosen.quote.text))
        return any(said.issubset(stems(row.quote.text)) for row in self._attached)

    def _named(self, row: Chosen) -> bool:
        """Whether the question asks for the value of this label: what server, which price."""
        label = row.source.row_label(row.quote.text) if row.source.rows else ""
        said = set(re.findall(r"\w+", self._question.lower()))
        words = set(re.findall(r"\w+", label.lower()))
        meant = set(stems(label))
        if not label or not (words <= said or (meant and meant.issubset(stems(self._question)))):
            return False
        return self._wanted in meant if self._wanted else words <= said

    def _keyed(self, row: Chosen) -> bool:
        """Whether a row holds every number or code that the question names."""
        keys = [name for name in names(self._question) if re.search(r"\d", name)]
        return bool(keys) and row.source.rows and all(key in row.quote.text for key in keys)

    def _score(self, chosen: Chosen) -> float:
        score = chosen.quote.score
        return score + _NAMED * self._named(chosen) + _KEYED * self._keyed(chosen)

    def _picture(self) -> Chosen | None:
        """What introduces the picture to show, if one serves: a caption, or a screen's row."""
        asked = asks_to_see(self._question)
        shown = [c for c in self._library if c.source.pictured and c.source.modality != "text"]
        captions = [c for c in shown if c.source.modality == "figure" and c.quote.position == 0]
        needed = _SHOW_ASKED if asked else _SHOW_WHERE if self._where else _SHOW_UNASKED
        captions = [c for c in captions if not self._is_other_figure(c)]
        named = [c for c in captions if self._number and figure_number(c.quote.text)]
        captions = named or [c for c in captions if c.quote.features.cosine >= needed]
        rows = [c for c in shown if asked and c.source.rows and self._shows(c)]
        return max(captions or rows, key=lambda c: c.quote.score, default=None)

    def _is_other_figure(self, chosen: Chosen) -> bool:
        """Whether it is the caption of a figure of another number than the one asked for."""
        own = figure_number(chosen.quote.text) if chosen.source.modality == "figure" else ""
        return bool(self._number and own) and own != self._number

    def _shows(self, row: Chosen) -> bool:
        features = row.quote.features
        return features.whole >= _SHOW_UNASKED or features.words >= _ROW_SHARE

    def _marked(self, chosen: Sequence[Chosen]) -> list[Chosen]:
        """The rows to box: those quoted, else the attachment's row that the quotes speak of."""
        rows = [c for c in chosen if c.source.rows]
        if rows or not chosen or not self._attached:
            return rows[:1]
        texts = [row.quote.text for row in self._attached]
        vectors = self._encoder.encode_document([chosen[0].quote.text, *texts])
        likeness = vectors[1:] @ vectors[0]
        wrong = set(troubles(texts))
        coded = [not self._codes.isdisjoint(codes(text)) for text in texts]
        best = max(range(len(texts)), key=lambda i: (coded[i], texts[i] in wrong, likeness[i]))
        needed = _MARK_TROUBLE if texts[best] in wrong else _MARK
        return [self._attached[best]] if likeness[best] >= needed else []


def _wanted(question: str) -> str:
    """The stem of what is asked for: "which *port*", "what did the server *say*"; may be empty."""
    asked = _WHICH.split(question, maxsplit=1)[1:]
    found = stems(asked[0]) if asked else []
    verb = re.match(r"\s*(?:do|does|did)\b", asked[0], re.IGNORECASE) if asked else None
    return (found[-1] if verb else found[0]) if found else ""


def _told(attached: Sequence[Chosen], question: str) -> list[Chosen]:
    """The rows of attached screens that tell what to do."""
    screens: dict[str, list[Chosen]] = {}
    for row in attached:
        screens.setdefault(row.source.label, []).append(row)
    return [
        rows[place]
        for rows in screens.values()
        for place in remedies(question, [row.quote.text for row in rows])
    ]


def _filled(whole: Sequence[Chosen], others: Sequence[Chosen]) -> list[Chosen]:
    """What belongs together, and as many others as there is room for."""
    rest = [c for c in others if c not in whole]
    return [*whole, *rest[: max(_SENTENCES - len(whole), 0)]]


def _before(text: str) -> str:
    """What parts a sentence from the one before: a step stands on a line of its own."""
    return "\n" if is_step(text) else " "


def _slot(kind: str, chosen: Chosen) -> str:
    return f"[[{kind} {chosen.source.label}: {slot_words(chosen.quote.text)}]]"


def _plain(text: str) -> str:
    return " ".join(stems(text)) or text


def _usage(messages: Sequence[BaseMessage], pieces: Sequence[str]) -> UsageMetadata:
    read = sum(len(message.text.split()) for message in messages)
    written = len("".join(pieces).split())
    return UsageMetadata(input_tokens=read, output_tokens=written, total_tokens=read + written)
