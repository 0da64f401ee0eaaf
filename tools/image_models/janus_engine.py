"""Pictures of Janus as tokens, one of each at a time. Knows tensors; no prompts, no files.

Each picture is two rows, one with its prompt and one without; classifier-free guidance draws the
next token from both. A step is one function of tensors that stay where they are (the keys have
their full width from the start), so that a GPU can run it as one CUDA graph. The dice are thrown
beforehand, on the CPU and for each picture from its own seed, so that they are the same on every
device and in every company.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

__all__ = ["TokenLoop"]

_PLAIN = 3  # tokens before the graph is captured: kernels are chosen and loaded in the first ones


class TokenLoop:
    """The tokens of some pictures of one prompt.

    With the same seed a picture has the same tokens alone and among others, as far as the
    device's kernels compute a row alike in batches of different height. Where they do not, logits
    differ in their last digits, and a token may differ where two are all but equally likely.

    Args:
        model: ``JanusForConditionalGeneration``.
        told: the tokens before a picture.
        blank: as many that say nothing of it.
        seeds: one for each picture.
        guidance: 1 follows the prompt as the model does by itself, more follows it more closely.
        temperature: 1 draws tokens as likely as they are, 0 takes the likeliest.
        count: tokens of a picture.

    Attributes:
        tokens: int64 ``(pictures, count)``; those to come are 0.
        done: tokens of each picture that there are.
    """

    def __init__(
        self,
        model: Any,
        told: Sequence[int],
        blank: Sequence[int],
        seeds: Sequence[int],
        guidance: float,
        temperature: float,
        count: int,
    ) -> None:
        import torch
        from transformers import StaticCache

        device, pictures, start = model.device, len(seeds), len(told)
        self.done = 0
        self.tokens = torch.zeros(pictures, count, dtype=torch.long, device=device)
        self._model = model
        self._guidance, self._temperature = guidance, temperature
        self._ids = torch.tensor([told] * pictures + [blank] * pictures, device=device)
        # The last token is never fed.
        self._cache = StaticCache(model.config.get_text_config(), max_cache_len=start + count - 1)
        self._places = torch.arange(start + count - 1, device=device)
        self._start = start
        self._at = torch.zeros(1, dtype=torch.long, device=device)
        self._token = torch.zeros(pictures, dtype=torch.long, device=device)
        self._dice = [torch.Generator().manual_seed(seed) for seed in seeds]
        codes = model.config.vq_config.num_embeddings
        self._thrown = torch.ones(pictures, codes, device=device)
        self._finite = torch.ones((), dtype=torch.bool, device=device)
        self._graph: Any = None

    def next(self) -> None:
        """One more token of each picture.

        Raises:
            FloatingPointError: the model computed numbers that are none.
        """
        import torch

        with torch.no_grad():
            self._throw()
            if self.done == 0:
                self._read()
            elif self._graph is not None:
                self._graph.replay()
            else:
                self._step()
            self.done += 1
            if self._at.is_cuda and self.done == _PLAIN:
                self._graph = self._captured()
        if not bool(self._finite):  # waits for the device, so that who is told is told the truth
            raise FloatingPointError("numbers that are none")

    def close(self) -> None:
        """Let go of everything; what was handed out keeps only itself."""
        self.__dict__.clear()

    def _throw(self) -> None:
        """Exponential noise: the least ``noise / share`` is a draw by shares."""
        if self._temperature:
            import torch

            for row, dice in enumerate(self._dice):
                noise = torch.empty(self._thrown.shape[1]).exponential_(generator=dice)
                self._thrown[row].copy_(noise)

    def _read(self) -> None:
        """The prompts, and the first token."""
        embedded = self._model.get_input_embeddings()(self._ids)
        self._choose(self._forward(embedded, self._places[: self._start]))

    def _step(self) -> None:
        """From a token to the next: all of it on the device, in tensors that stay in place."""
        both = self._token.repeat(2).unsqueeze(1)
        embedded = self._model.prepare_embeddings_for_image_generation(both)
        self._choose(self._forward(embedded, self._at + (self._start - 1)))

    def _forward(self, embedded: Any, places: Any) -> Any:
        """The last layer's output for the last of some tokens, ``(2 × pictures, width)``."""
        seen = self._places <= places.unsqueeze(1)
        out = self._model.model.language_model(
            inputs_embeds=embedded,
            attention_mask=seen[None, None].expand(len(embedded), 1, -1, -1),
            position_ids=places.unsqueeze(0),
            past_key_values=self._cache,
            use_cache=True,
        )
        return out.last_hidden_state[:, -1]

    def _choose(self, hidden: Any) -> None:
        told, blank = self._model.model.generation_head(hidden).float().chunk(2)
        scores = blank + (told - blank) * self._guidance
        self._finite.logical_and_(scores.isfinite().all())
        if self._temperature:
            scores = (scores / self._temperature).softmax(-1) / self._thrown
        self._token.copy_(scores.argmax(-1))
        self.tokens.index_copy_(1, self._at, self._token.unsqueeze(1))
        self._at.add_(1)

    def _captured(self) -> Any:
        """The step as a CUDA graph. Capturing runs nothing. Written without a GPU, never run."""
        import torch

        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self._step()
        return graph
