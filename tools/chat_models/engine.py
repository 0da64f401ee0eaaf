"""A chat model at work: one thread writes the answers of all who ask, a token of each at a time.

Questions wait in a line; as many as fit are read between two tokens and join the answers under way,
and each leaves when it ends. The thread ends with the last answer. Knows tokens, and nothing of
messages; `batch` computes.
"""

from __future__ import annotations

import re
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Self

from ...errors import LimnerError, ModelError, ModelOutputError, QuestionError
from ..model_files import fingerprint, loading
from .batch import Batch, Decoding, Sampling, Written, parameters
from .decoding import Row
from .eyes import Seen
from .families import FAMILIES, Family, family_of
from .pictured import Conversation
from .processing import Prepared, Preparer

__all__ = ["BATCH_TOKENS", "Asked", "Engine"]

BATCH_TOKENS = 16_384
"""Tokens of the answers under way with their questions, padding counted, that a further question
may not exceed. As many may wait in line before those who ask are held up."""

_READ_TOKENS = 2_048  # of questions that are read between two tokens of the answers under way
_GROUNDING = (
    *("<|object_ref_start|>", "<|object_ref_end|>", "<|box_start|>", "<|box_end|>"),
    *("<|quad_start|>", "<|quad_end|>"),
)
_MARKUP = re.compile(r"<\|[^<>|]+\|>")


class Asked:
    """A question on its way to an answer. Made by ``Engine.ask``.

    Attributes:
        prepared: its inputs.
        row: takes the tokens of the answer.
    """

    def __init__(
        self, prepared: Prepared, seen: Sequence[Seen], row: Row, sampling: Sampling
    ) -> None:
        self.prepared = prepared
        self.row = row
        self.seen: Sequence[Seen] = seen
        self.sampling = sampling
        self.written: Written | None = None
        self.texts: list[str] = []  # not taken yet
        self.error: BaseException | None = None
        self.ended = False
        self.unwanted = False


class Engine:
    """A loaded model. Made by ``load``; its methods may be called from several threads.

    Args:
        model: of transformers.
        preparer: makes its inputs.
        family: what is peculiar to its kind.
        revision: the hub's commit, or twelve digits made of the files.
        decoding: how tokens after the first are computed, see `batch.Decoding`; ``compiled`` on a
            GPU and ``plain`` elsewhere if left out. ``compiled`` gives the same tokens as
            ``plain`` on a CPU; on a GPU it was neither run nor measured.

    Attributes:
        window: tokens that it takes, the answer's among them.
    """

    def __init__(
        self,
        model: Any,
        preparer: Preparer,
        family: Family,
        revision: str,
        decoding: Decoding | None = None,
    ) -> None:
        self.model = model
        self.preparer = preparer
        self.family = family
        self.revision = revision
        self.window = int(model.config.get_text_config().max_position_embeddings)
        self.decoding = decoding or ("compiled" if model.device.type == "cuda" else "plain")
        ends = model.generation_config.eos_token_id
        self._ends = frozenset(ends if isinstance(ends, list) else [] if ends is None else [ends])
        self._unsaid = _unsaid(preparer.tokenizer)
        self._batch = Batch(
            model,
            family.model_type in FAMILIES,
            {"image": preparer.picture_token, "video": preparer.video_token},
            self.decoding,
        )
        self._lock = threading.Lock()
        self._news = threading.Condition(self._lock)  # there is more text
        self._over = threading.Condition(self._lock)  # an answer has ended, or the line moved
        self._waiting: deque[Asked] = deque()
        self._writing: list[Asked] = []
        self._worker: threading.Thread | None = None
        self._former: threading.Thread | None = None

    @classmethod
    def load(
        cls, name: str, device: str, dtype: str, bits: int, decoding: Decoding | None = None
    ) -> Self:
        """See `qwen2_vl.Qwen2VL.load`."""
        import torch
        from transformers import AutoConfig

        from .loading import find_folder, load_model, quietly, wait_asleep

        folder, revision = find_folder(name)
        device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        dtype = dtype or ("float32" if device == "cpu" else "bfloat16")
        with quietly():
            with loading(f"{folder}: its settings, tokenizer or image processor cannot be read"):
                config = AutoConfig.from_pretrained(
                    folder, local_files_only=True, trust_remote_code=False
                )
                family = family_of(config.model_type)
                preparer = Preparer(folder, family)
            _try_template(folder, preparer)
            model = load_model(folder, device, dtype, bits)
        if device == "cpu":
            wait_asleep()
        preparer.accepts_types = "mm_token_type_ids" in parameters(model)
        with loading(f"{folder}: cannot be used"):
            return cls(model, preparer, family, revision or fingerprint(folder), decoding)

    def text_of(self, tokens: list[int]) -> str:
        """Tokens as text: without special ones but those that mark a place in a picture."""
        said = [token for token in tokens if token not in self._unsaid]
        return str(self.preparer.tokenizer.decode(said, clean_up_tokenization_spaces=False))

    def forget(self) -> None:
        """Keep no keys and no features of earlier questions; while no answer is under way."""
        self._batch.kept.clear()
        self._batch.looked.clear()

    def ask(self, prepared: Prepared, sampling: Sampling, stops: Sequence[str]) -> Asked:
        """Put a question in the line; it waits here while the line is too long.

        Args:
            prepared: one question.
            sampling: how tokens are chosen.
            stops: words before which the answer ends.

        Raises:
            QuestionError: it is longer than the model's window.
        """
        room = self.window - prepared.tokens[0]
        if room < 1:
            raise QuestionError(
                f"the question with its passages and pictures is {prepared.tokens[0]:,} tokens "
                f"long; the model takes {self.window - 1:,}",
                "attach fewer pictures, or ask more shortly",
            )
        row = Row(self.text_of, stops, min(sampling.max_tokens, room))
        asked = Asked(prepared, self._batch.seen(prepared), row, sampling)
        with self._lock:
            while sum(one.prepared.tokens[0] for one in self._waiting) > BATCH_TOKENS:
                self._over.wait()
            self._waiting.append(asked)
            if self._worker is None:
                self._worker = threading.Thread(
                    target=self._work, name="limner-chat-model", daemon=True
                )
                self._worker.start()
        return asked

    def texts(self, asked: Asked) -> Iterator[str]:
        """The answer as it comes. Closing the iterator ends the answer.

        Raises:
            ModelError: out of memory, or the model fails; after the texts that came before it.
        """
        try:
            while True:
                with self._lock:
                    while not asked.texts and not asked.ended:
                        self._news.wait()
                    texts, asked.texts = asked.texts, []
                    ended = asked.ended
                yield from texts
                if ended:
                    break
        finally:
            self.leave([asked])
        if asked.error:
            raise asked.error

    def wait(self, several: Sequence[Asked]) -> None:
        """Wait for the end of some answers; whatever interrupts the waiting ends them."""
        try:
            with self._lock:
                while not all(asked.ended for asked in several):
                    self._over.wait()
        finally:
            self.leave(several)

    def give_up(self, several: Sequence[Asked]) -> None:
        """Have some answers end within one token, without waiting for it."""
        for asked in several:
            asked.unwanted = True

    def leave(self, several: Sequence[Asked]) -> None:
        """End some answers, within one token. No thread is left when no answer is."""
        with self._lock:
            for asked in several:
                asked.unwanted = True
            while not all(asked.ended for asked in several):
                self._over.wait()
            while self._worker and not self._waiting and not self._writing:
                self._over.wait()
            former = self._former
        if former:
            former.join()

    def _work(self) -> None:
        """Write until there is nothing left to write."""
        try:
            while self._go_on():
                read = 0
                while read < _READ_TOKENS and (asked := self._next()):
                    read += asked.prepared.tokens[0]
                    self._read(asked)
                if self._writing:
                    self._write()
        except BaseException as error:
            with self._lock:
                self._writing += self._waiting
                self._waiting.clear()
            self._fail(error)
            self._go_on()

    def _go_on(self) -> bool:
        """Let go of what nobody wants; whether anything is left."""
        with self._lock:
            for asked in [*self._waiting, *self._writing]:
                if asked.unwanted:
                    self._end(asked)
            if self._waiting or self._writing:
                return True
            self._former, self._worker = self._worker, None
            self._over.notify_all()
            return False

    def _next(self) -> Asked | None:
        """The next in line, if there is room for it."""
        with self._lock:
            if not self._waiting:
                return None
            width = max(self._batch.width, self._waiting[0].prepared.tokens[0])
            fits = self._batch.joinable and (len(self._writing) + 1) * width <= BATCH_TOKENS
            if self._writing and not fits:
                return None
            asked = self._waiting.popleft()
            self._writing.append(asked)
            self._over.notify_all()
            return asked

    def _read(self, asked: Asked) -> None:
        room = self.window - asked.prepared.tokens[0]
        try:
            asked.written, token = self._batch.join(
                asked.prepared, asked.seen, asked.sampling, room
            )
        except Exception as error:
            asked.error = self._told(error)
            with self._lock:
                self._end(asked)
        else:
            self._feed([asked], [token])
        finally:  # pixels are large, and an answer may be long
            asked.prepared.inputs.clear()
            asked.seen = []

    def _write(self) -> None:
        try:
            tokens = self._batch.step()
        except Exception as error:
            self._fail(self._told(error))
        else:
            self._feed(self._writing, tokens)

    def _feed(self, several: Sequence[Asked], tokens: Sequence[int]) -> None:
        """Give each answer its token, and tell those who wait for it."""
        texts: list[str] = []
        for asked, token in zip(several, tokens, strict=True):
            texts.append(asked.row.feed(token, token in self._ends))
        with self._lock:
            for asked, text in zip(list(several), texts, strict=True):
                if text:
                    asked.texts.append(text)
                if asked.row.ended:
                    self._end(asked)
            self._news.notify_all()

    def _end(self, asked: Asked) -> None:
        """An answer has come to its end, or nobody wants it; the lock is held."""
        if asked in self._waiting:
            self._waiting.remove(asked)
        else:
            self._writing.remove(asked)
        if asked.written:
            self._batch.leave(asked.written)
        asked.ended = True
        self._news.notify_all()
        self._over.notify_all()

    def _fail(self, error: BaseException) -> None:
        """What went wrong for all answers under way."""
        with self._lock:
            for asked in list(self._writing):
                asked.error = error
                self._end(asked)
            self._batch.clear()

    def _told(self, error: Exception) -> Exception:
        """An error of the model in our own words; others as they are."""
        if isinstance(error, LimnerError) or not isinstance(error, MemoryError | RuntimeError):
            return error
        if isinstance(error, MemoryError) or "memory" in str(error).lower():
            self.forget()
            told = ModelError(
                f"{self.family.name}: out of memory ({str(error)[:200]})",
                "attach fewer pictures, or take a smaller model",
            )
        else:
            told = ModelError(f"{self.family.name} failed: {str(error)[:300]}")
        told.__cause__ = error
        return told


def _try_template(folder: Path, preparer: Preparer) -> None:
    """Ask something, so that a damaged chat template is known before the weights are read."""
    said = [{"type": "text", "text": "?"}]
    try:
        with loading(f"{folder}: its chat template cannot be used"):
            preparer.prepare([Conversation([{"role": "user", "content": said}])], 0)
    except ModelOutputError as error:
        raise ModelError(
            f"{folder}: its chat template cannot be used ({error.__cause__})",
            "download chat_template.jinja and tokenizer_config.json again",
        ) from error


def _unsaid(tokenizer: Any) -> frozenset[int]:
    """Tokens that no answer shows: special ones, and those that only look so to a person."""
    added = tokenizer.added_tokens_decoder.items()
    markup = {number for number, token in added if _MARKUP.fullmatch(token.content)}
    said = set(tokenizer.convert_tokens_to_ids(list(_GROUNDING)))
    return frozenset((markup | set(tokenizer.all_special_ids)) - said)
