"""One plain function per node of the graph: state in, update out.

What a step works with comes in ``runtime.context`` (a `Workbench`); what a caller sees while it
runs goes out through ``runtime.stream_writer`` (see `events`). Which step follows which is the
graph's business.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

from langchain_core.language_models import LanguageModelInput
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)
from langchain_core.runnables import Runnable
from langchain_core.tools import BaseTool
from langgraph.runtime import Runtime

from ..errors import LimnerError, ModelError, ModelOutputError
from ..index.passage import Passage
from ..prompts import prompt
from ..tools.layout import entries
from ..tools.media import MediaStore
from ..tools.ocr import Line, read_lines
from ..tools.safety import drawing_refusal, refusal
from .answer import Picture, Usage
from .asking import answers, standalone
from .calling import ROUNDS, Toolbox, offered, uses_tools
from .composing import composed
from .draft import Slot, parse
from .edit_words import edit_of
from .edits import Edit
from .events import (
    AnswerReady,
    PictureDropped,
    PictureReady,
    SourcesFound,
    TextDelta,
    ToolCalled,
)
from .grading import relevance
from .illustrating import checked, illustrated
from .plain_text import shortened
from .pointing import pointed
from .profiles import label_of
from .redrawing import redrawn
from .requested import asked, drawings, only_draws
from .state import Attachment, Dropped, Made, SlotTask, TurnState
from .wording import reworded, wordings
from .workbench import Workbench

__all__ = [
    "check",
    "compose",
    "grade",
    "guard",
    "illustrate",
    "look",
    "reason",
    "redraw",
    "retrieve",
    "revise",
    "slots",
]

Update = dict[str, Any]
Context = Runtime[Workbench]
Model = Runnable[LanguageModelInput, AIMessage]

_PASSAGES = 6
_LONGEST_DRAFT = 20_000


def guard(state: TurnState, runtime: Context) -> Update:
    """Decline what the policy declines, before any model works."""
    edit = state["edit"]
    words = edit.changes.prompt if isinstance(edit, Edit) else None
    drawn = [words] if words else [drawing.prompt for drawing in drawings(state)]
    rules = [None if words else refusal(state["question"]), *map(drawing_refusal, drawn)]
    return {"refusal": next((rule.message for rule in rules if rule), "")}


def revise(state: TurnState, runtime: Context) -> Update:
    """Understand whether an earlier picture is to be drawn differently."""
    return {"edit": edit_of(state["question"], state["drawn"], runtime.context)}


def redraw(state: TurnState, runtime: Context) -> Update:
    """Draw an earlier picture differently, or say why not."""
    edit = state["edit"]
    assert edit is not None
    result: Picture | Dropped
    if isinstance(edit, Dropped):
        result = edit
    else:
        result = redrawn(edit, state["drawn"], runtime.context, runtime.stream_writer)
    words = shortened(result.reason if isinstance(result, Dropped) else result.caption, 80)
    return {"made": [_told(Made(Slot(0, "draw", "", words), result), runtime)]}


def look(state: TurnState, runtime: Context) -> Update:
    """Read the attached screenshots, equal ones once: the text of each row, with its box."""
    work = runtime.context
    media = {attachment.media for attachment in state["attachments"]}
    lines = {m: work.library.lines(m) or _read(work.media, m) for m in media}
    return {"attachments": tuple(replace(a, lines=lines[a.media]) for a in state["attachments"])}


@lru_cache(maxsize=64)  # what a person attaches again, or asks about again, is not read again
def _read(store: MediaStore, media: str) -> tuple[Line, ...]:
    return entries(read_lines(store.open(media)))


def retrieve(state: TurnState, runtime: Context) -> Update:
    """Find the passages that fit the question, in all its wordings."""
    question = asked(state)
    queries = state["queries"] or wordings(question, state["history"], state["attachments"])
    if not state["queries"]:
        alone = standalone(question, state["history"], runtime.context)
        queries = tuple(dict.fromkeys([alone, *queries])) if alone else queries
    at_hand = (drawing.prompt for drawing in drawings(state) if drawing.shown)
    passages = runtime.context.library.search((*queries, *at_hand), k=_PASSAGES)
    return {"queries": queries, "passages": passages}


def grade(state: TurnState, runtime: Context) -> Update:
    """Decide whether what was found answers the question; else word it anew, once."""
    work = runtime.context
    attached, question, found = _attached(state), asked(state), state["passages"]
    if only_draws(state) or (work.reads and attached):
        answerable, score = True, None  # what a picture shows is the model's to say
    elif work.calibration is None:
        answerable, score = _answerable(state, work), None
    else:
        score = relevance(
            question,
            found,
            work.encoder,
            work.calibration,
            queries=_forms(state),
            attachments=attached,
            knows=work.library.knows,
        )
        answerable = score >= work.calibration.threshold
    if not answerable and state["rewrites"] == 0:
        again = reworded(question, state["queries"])
        if again and found:
            return {"queries": again, "rewrites": 1, "retry": True, "relevance": score}
    if answerable:
        runtime.stream_writer(SourcesFound(found))
    unanswered = not answerable and bool(drawings(state))  # what is to be drawn still can be
    return {
        "relevance": score,
        "answerable": answerable or unanswered,
        "unanswered": unanswered,
        "retry": False,
    }


def _answerable(state: TurnState, work: Workbench) -> bool:
    """Whether anything answers, where nothing was fitted: the chat model is asked, if it reads."""
    found = state["passages"]
    if not found or state["attachments"]:
        return bool(found or state["attachments"])
    shown = [offered(str(n), passage) for n, passage in enumerate(found, 1)]
    return answers(asked(state), prompt("passages", passages=shown), work) is not False


def _forms(state: TurnState) -> tuple[str, ...]:
    """The question's other forms. Bare words find more, but they are no form of the question."""
    return state["queries"] if state["rewrites"] == 0 else ()


def _attached(state: TurnState) -> tuple[Passage, ...]:
    return tuple(a.as_passage(n) for n, a in enumerate(state["attachments"], 1))


def reason(state: TurnState, runtime: Context) -> Update:
    """Let the chat model draft the answer, passing its words on as they come.

    A model that calls functions may search further and look closely at a picture in between; the
    words of its last round are the draft.
    """
    work = runtime.context
    toolbox = Toolbox(work, state["passages"], state["attachments"])
    tools = toolbox.tools if uses_tools(work) else ()
    model: Model = work.chat_model.bind_tools(tools) if tools else work.chat_model
    messages = _fitting(state, work, tools)
    usage = Usage()
    for number in range(ROUNDS + 1):
        draft, said, cut = _drafted(model, messages, runtime)
        usage = _added(usage, said)
        if not (said.tool_calls or said.invalid_tool_calls) or work.stopped.is_set():
            break
        results = toolbox.answer(
            said, lambda call: runtime.stream_writer(ToolCalled(call["name"], call["args"]))
        )
        messages = _continued(messages, said, results, work, tools)
        if number == ROUNDS - 1:
            model = work.chat_model  # no more tools: it must answer now
    if work.reads and not draft.strip():  # one that quotes says so that nothing answers
        raise _empty(work, cut)
    passages = tuple(toolbox.passages)
    if passages != state["passages"]:
        runtime.stream_writer(SourcesFound(passages))
    draft, places = pointed(draft, said.response_metadata.get("seen", []), state, work)
    return {
        "draft": draft,
        "cut": cut,
        "pointed": places,
        "usage": usage,
        "answerable": bool(draft.strip()),
        "passages": passages,
    }


def _drafted(
    model: Model, messages: list[BaseMessage], runtime: Context
) -> tuple[str, AIMessage, bool]:
    """The words of one round, the whole message, and whether it ended at the limit of tokens."""
    draft, cut = "", False
    whole: AIMessage = AIMessageChunk(content="")
    try:
        for message in model.stream(messages):
            text = str(message.text)
            draft += text
            if text:
                runtime.stream_writer(TextDelta(text))
            if isinstance(message, AIMessageChunk) and isinstance(whole, AIMessageChunk):
                whole = whole + message
            else:  # a model that does not stream gives its whole message
                whole = message
            cut = cut or _at_limit(message)
            if len(draft) > _LONGEST_DRAFT or runtime.context.stopped.is_set():
                break
    except LimnerError:
        raise
    except Exception as error:  # whatever a chat model raises, the turn ends in one typed error
        raise ModelError(f"the chat model failed: {type(error).__name__}: {error}") from error
    return draft, whole, cut


def _at_limit(message: AIMessage) -> bool:
    """Whether a model says that it might write no more tokens, in the words of several makers."""
    reasons = map(message.response_metadata.get, ("finish_reason", "stop_reason", "done_reason"))
    return any(str(reason).lower() in ("length", "max_tokens") for reason in reasons)


def _empty(work: Workbench, cut: bool) -> ModelOutputError:
    hint = "allow it more tokens" if cut else "ask again, or ask in other words"
    return ModelOutputError(f"{label_of(work.chat_model)} gave an empty answer", hint)


def _continued(
    messages: list[BaseMessage],
    said: AIMessage,
    results: list[ToolMessage],
    work: Workbench,
    tools: Sequence[BaseTool],
) -> list[BaseMessage]:
    """The messages with a round of calls and results; results beyond the window are left out."""
    calls = AIMessage(
        said.content, tool_calls=said.tool_calls, invalid_tool_calls=said.invalid_tool_calls
    )
    again = [*messages, calls, *results]
    if _fits(again, work, tools):
        return again
    short = [m.model_copy(update={"content": "This is longer than can be read."}) for m in results]
    return [*messages, calls, *short]


def _fits(messages: list[BaseMessage], work: Workbench, tools: Sequence[BaseTool]) -> bool:
    """Whether a chat model that knows its window says so; others are asked as it is."""
    fits = getattr(work.chat_model, "fits", None)
    return fits is None or bool(fits(messages, tools))


def _added(usage: Usage, message: AIMessage) -> Usage:
    counts = message.usage_metadata
    if counts is None:
        return usage
    image = int(counts.get("input_token_details", {}).get("image", 0) or 0)  # type: ignore[call-overload]
    return Usage(
        usage.input_tokens + counts["input_tokens"],
        usage.output_tokens + counts["output_tokens"],
        usage.image_tokens + image,
    )


def _fitting(state: TurnState, work: Workbench, tools: Sequence[BaseTool]) -> list[BaseMessage]:
    """What the model is asked, made to fit its window where it knows one.

    The least relevant passages go first, then the oldest exchanges; the question and the pictures
    that came with it stay.
    """
    messages = _messages(state, work)
    while not _fits(messages, work, tools):
        if len(state["passages"]) > 1:
            state = {**state, "passages": state["passages"][:-1]}
        elif state["history"]:
            state = {**state, "history": state["history"][1:]}
        elif state["passages"]:
            state = {**state, "passages": ()}
        else:
            break
        messages = _messages(state, work)
    return messages


def _messages(state: TurnState, work: Workbench) -> list[BaseMessage]:
    numbered = [(str(n), p) for n, p in enumerate(state["passages"], 1)]
    attached = [(p.id, p) for p in _attached(state)]
    shown = [offered(label, p) for label, p in numbered + attached]
    told = prompt("passages", passages=shown)
    text = prompt("question", passages=told, question=state["question"])
    content: list[str | dict[Any, Any]] = [{"type": "text", "text": text}]
    content += [_image_block(a, work) for a in state["attachments"]]
    earlier: list[BaseMessage] = []
    for exchange in state["history"]:
        earlier += [HumanMessage(exchange.question), AIMessage(exchange.answer)]
    asked = HumanMessage(
        content=content,
        additional_kwargs={
            "passages": shown,
            "question": state["question"],
            "queries": list(_forms(state)),
            "answerable": not state["unanswered"],
        },
    )
    return [SystemMessage(prompt("answer")), *earlier, asked]


def _image_block(attachment: Attachment, work: Workbench) -> dict[Any, Any]:
    path = work.media.path(attachment.media)
    kind = "image/png" if path.suffix == ".png" else "image/jpeg"
    data = base64.b64encode(path.read_bytes()).decode("ascii")
    return {"type": "image", "base64": data, "mime_type": kind}


def slots(state: TurnState) -> list[Slot]:
    """The picture slots of the draft."""
    return [piece for piece in parse(state["draft"]) if isinstance(piece, Slot)]


def illustrate(task: SlotTask, runtime: Context) -> Update:
    """Make the picture of one slot. Never raises: one branch must not end the turn."""
    result = illustrated(task, runtime.context, runtime.stream_writer)
    return {"made": [_told(Made(task["slot"], result), runtime)]}


def _told(made: Made, runtime: Context) -> Made:
    """What became of a slot, once the caller has been told."""
    if isinstance(made.result, Dropped):
        runtime.stream_writer(PictureDropped(made.slot.number, made.result.reason))
    else:
        runtime.stream_writer(PictureReady(made.slot.number, made.result))
    return made


def check(state: TurnState, runtime: Context) -> Update:
    """Keep the pictures that show what their slot asked for; repair once, else drop."""
    made = sorted(state["made"], key=lambda m: m.slot.number)
    kept = checked(made, state, runtime.context, runtime.stream_writer)
    for before, after in zip(made, kept, strict=True):
        if isinstance(after.result, Dropped) and not isinstance(before.result, Dropped):
            runtime.stream_writer(PictureDropped(after.slot.number, after.result.reason))
    return {"checked": kept}


def compose(state: TurnState, runtime: Context) -> Update:
    """Put texts and pictures together."""
    answer = composed(state, runtime.context)
    runtime.stream_writer(AnswerReady(answer))
    return {"answer": answer}
