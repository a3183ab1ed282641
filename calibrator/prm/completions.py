"""Completions by token ids, from a vLLM behind a configured upstream.

Prefixes are handed over as the ids that the server itself gave back, so nothing is tokenised twice: a
completion goes on exactly where its chain stood, and the server finds the prefix in its cache.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Final

from gateway.adapters.batch_wire import read_object
from gateway.dialects.json_bytes import dumps
from gateway.dialects.openai_chat.usage import read_usage
from gateway.domain.chat import Dialect
from gateway.domain.model import Model
from gateway.domain.money import Usd
from gateway.domain.pricing import Price, ceiling, cost
from gateway.domain.usage import Usage
from gateway.errors import ConfigurationError, Unpriced, UpstreamError, UpstreamFailed
from gateway.ports import Upstream, UpstreamCall

_TRIES: Final = 5
_FIRST_PAUSE_S: Final = 0.25
_TEMPLATE_TOKENS: Final = 512
"""More than a chat template adds to a conversation, for the ceiling of the one call whose tokens nobody knows yet."""


@dataclass(frozen=True, slots=True)
class Spent:
    """What one call used and cost."""

    prompt_tokens: int
    output_tokens: int
    usd: Usd


@dataclass(frozen=True, slots=True)
class Completion:
    """What came back: its text, its ids, and where in the text each of its tokens ends."""

    text: str
    ids: tuple[int, ...]
    text_ends: tuple[int, ...]
    """Empty where the tokens, put together, are not the text."""
    is_truncated: bool
    spent: Spent


class Completions:
    """Calls to ``/completions`` of one model, priced."""

    def __init__(self, upstream: Upstream, model: Model, *, temperature: float, timeout_s: float) -> None:
        """Raises Unpriced for a model without a price: what it costs could not be told."""
        if model.price is None:
            raise Unpriced(
                f"model {model.name} has no price; set one in ponder.yaml, `free` for one that costs nothing"
            )
        self._upstream = upstream
        self._model = model
        self._price: Price = model.price
        self._temperature = temperature
        self._timeout_s = timeout_s

    def ceiling(self, prompt_tokens: int, max_tokens: int) -> Usd:
        """The most that writing so many tokens after so many can cost."""
        return ceiling(self._price, prompt_tokens, max_tokens, 1)

    def prompt_ceiling(self, prompt: str | Sequence[Mapping[str, Any]]) -> Usd:
        """The most that :meth:`tokenize` can cost: no token is shorter than a byte."""
        return ceiling(self._price, len(dumps(prompt)) + _TEMPLATE_TOKENS, 1, 1)

    async def tokenize(self, prompt: str | Sequence[Mapping[str, Any]]) -> tuple[tuple[int, ...], Spent]:
        """A prompt's token ids as the server reads it, a conversation by the model's chat template.

        One token is written for it. Raises UpstreamError.
        """
        is_text = isinstance(prompt, str)
        path, field = ("/completions", "prompt") if is_text else ("/chat/completions", "messages")
        answer = await self._post(path, {field: prompt, "max_tokens": 1})
        holder = _choice(answer) if is_text else answer
        ids = holder.get("prompt_token_ids")
        if not isinstance(ids, list) or not ids:
            raise ConfigurationError(
                f"upstream {self._upstream.name} does not return token ids; labels are drawn from a vLLM, 0.11 or newer"
            )
        return tuple(ids), self._spent(answer)

    async def go_on(self, ids: Sequence[int], *, max_tokens: int, seed: int) -> Completion:
        """One completion of these tokens. Raises UpstreamError."""
        asked = {
            "prompt": list(ids),
            "max_tokens": max_tokens,
            "temperature": self._temperature,
            "seed": seed,
            "logprobs": 0,
        }
        answer = await self._post("/completions", asked)
        choice = _choice(answer)
        text, written, logprobs = choice.get("text"), choice.get("token_ids"), choice.get("logprobs")
        pieces = logprobs.get("tokens") if isinstance(logprobs, dict) else None
        if not (isinstance(text, str) and isinstance(written, list) and isinstance(pieces, list)):
            raise UpstreamFailed(f"upstream {self._upstream.name} answered without text, token ids or tokens")
        return Completion(
            text=text,
            ids=tuple(written),
            text_ends=tuple(accumulate(map(len, pieces))) if "".join(pieces).startswith(text) else (),
            is_truncated=choice.get("finish_reason") == "length",
            spent=self._spent(answer),
        )

    async def _post(self, path: str, asked: Mapping[str, Any]) -> Mapping[str, Any]:
        """Ask, and ask again after a while what failed for a reason that may pass."""
        body = dumps({"model": self._model.upstream_name, "return_token_ids": True, **asked})
        pause = _FIRST_PAUSE_S
        for left in reversed(range(_TRIES)):
            try:
                return await self._once(path, body)
            except UpstreamError as fault:
                # What may have been charged is not asked for again: its cost is counted first, by the caller.
                if not left or not fault.is_retryable or not fault.is_unbilled:
                    raise
                await asyncio.sleep(fault.retry_after_s or pause * random.uniform(0.5, 1.5))  # noqa: S311
                pause *= 2
        raise AssertionError("the last try returns or raises")

    async def _once(self, path: str, body: bytes) -> Mapping[str, Any]:
        call = UpstreamCall(
            dialect=Dialect.OPENAI_CHAT,
            path=path,
            body=body,
            is_stream=False,
            request_id="prm-label",
            deadline_s=self._timeout_s,
            first_byte_s=self._timeout_s,
            idle_s=self._timeout_s,
        )
        async with self._upstream.open(call) as reply:
            return read_object(self._upstream.name, path, await reply.read())

    def _spent(self, answer: Mapping[str, Any]) -> Spent:
        told = answer.get("usage")
        if not isinstance(told, dict):
            raise UpstreamFailed(f"upstream {self._upstream.name} did not say what the call used")
        usage: Usage = read_usage(told)
        return Spent(usage.prompt_tokens, usage.output_tokens, cost(usage, self._price, at=time.time()))


def _choice(answer: Mapping[str, Any]) -> Mapping[str, Any]:
    choices = answer.get("choices")
    first = choices[0] if isinstance(choices, list) and choices else {}
    return first if isinstance(first, dict) else {}
