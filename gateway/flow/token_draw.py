"""Draws that continue a chain by its tokens, on a vLLM: steps without retokenisation, read from the prefix cache.

The prompt is rendered and tokenized by the server itself (``/tokenize`` with the conversation), and
every draw goes to ``/v1/completions`` with token ids and has its own back (``return_token_ids``). A
chain that another model goes on with, or that is cut where no token ends, is tokenized anew.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from gateway.dialects.json_bytes import dumps
from gateway.domain.chat import Dialect
from gateway.domain.money import Usd
from gateway.errors import UpstreamFailed
from gateway.flow.chat_draw import Written
from gateway.flow.line import Line, Sending, Spent
from gateway.flow.route import Route
from gateway.flow.tokens import Tokenizer
from gateway.search.protocol import DrawId, Launch, Until
from gateway.search.steps import Boundary

_KEPT: Final = (
    "top_p", "top_k", "min_p", "presence_penalty", "frequency_penalty", "repetition_penalty", "logit_bias", "priority",
)  # fmt: skip
"""Of a client's chat request, what means the same in a completion."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Some text of a chain, and the tokens that are it: the places in the text where each begins."""

    text: str
    ids: tuple[int, ...]
    starts: tuple[int, ...]


class TokenWriter:
    """Draws from one model at a vLLM. Chains are kept by the numbers of the draws that end in them."""

    def __init__(self, line: Line, route: Route, body: Mapping[str, Any], tokenizer: Tokenizer, *, salt: str) -> None:
        self._line = line
        self._tokenizer = tokenizer
        self._route = route
        self._salt = salt
        self._codec = line.exchange.house.codecs[Dialect.OPENAI_CHAT]
        self._body = body
        self._chains: dict[DrawId, tuple[Piece, ...]] = {}

    async def write(
        self, launch: Launch, before: str, *, ceiling: Usd, boundary: Boundary, spent: Spent,
        on_step: Callable[[str, int], None],
    ) -> Written:  # fmt: skip
        """More of the chain whose text so far is ``before``, to the end of a step or of the answer."""
        prompt = await self._tokenizer.prompt(launch.turns)
        pieces = await self._pieces_of(launch, before)
        added: list[Piece] = []
        used_before = spent.tokens
        steps = launch.steps if launch.until is Until.STEP else 1
        while True:
            ids = [*prompt.ids, *(token for piece in (*pieces, *added) for token in piece.ids)]
            left = launch.max_tokens - sum(len(piece.ids) for piece in added)
            if prompt.context_tokens is not None:
                left = min(left, prompt.context_tokens - len(ids))
            if left < 1:
                return Written("".join(piece.text for piece in added), spent.tokens - used_before, is_truncated=True)
            sending = self._sending(launch, ids, boundary, left, ceiling)
            choice = _choice(await self._line.whole(sending, spent, self._codec.find_usage))
            added += await self._written(choice)
            ends_step = _ends_step(choice, launch, boundary)
            steps -= 1
            if not ends_step or not steps:
                break
            on_step("".join(piece.text for piece in added), spent.tokens - used_before)
        self._chains[launch.draw] = (*pieces, *added)
        return Written(
            text="".join(piece.text for piece in added),
            tokens=spent.tokens - used_before,
            is_truncated=not ends_step and choice.get("finish_reason") == "length",
            ends_step=ends_step,
            mean_logprob=_mean_logprob(choice),
        )

    async def _pieces_of(self, launch: Launch, before: str) -> tuple[Piece, ...]:
        """The tokens of a chain's text, as they were written where that is known."""
        if not before:
            return ()
        known = self._chains.get(launch.prefix.draw) if launch.prefix is not None else None
        if known is None:
            return (await self._tokenized(before),)
        kept, rest = cut(known, before)
        return (*kept, await self._tokenized(rest)) if rest else kept

    async def _tokenized(self, text: str) -> Piece:
        """A text's tokens; where each begins is not known, so it is cut as a whole or not at all."""
        return Piece(text, await self._tokenizer.text(text), ())

    async def _written(self, choice: Mapping[str, Any]) -> tuple[Piece, ...]:
        """What a call wrote, with its tokens; a token that runs over the stop text is replaced by those up to it."""
        text, ids = choice["text"], tuple(choice["token_ids"])
        told = choice.get("logprobs") or {}
        starts, tokens = told.get("text_offset"), told.get("tokens")
        if not isinstance(starts, list) or not isinstance(tokens, list) or not len(starts) == len(tokens) == len(ids):
            return (Piece(text, ids, ()),)
        within = sum(start < len(text) for start in starts)  # without the token that ends the answer
        ids, starts = ids[:within], tuple(starts[:within])
        if not within or starts[-1] + len(tokens[within - 1]) <= len(text):
            return (Piece(text, ids, starts),)
        fitting = Piece(text[: starts[-1]], ids[:-1], starts[:-1])
        return (fitting, await self._tokenized(text[starts[-1] :]))

    def _sending(
        self, launch: Launch, ids: Sequence[int], boundary: Boundary, max_tokens: int, ceiling: Usd
    ) -> Sending:
        stops = _stops(self._body)
        if launch.until is Until.STEP and boundary.stop is not None:
            stops = [*stops, boundary.stop]
        limit = max_tokens
        if launch.until is Until.STEP and boundary.tokens is not None:
            limit = min(limit, boundary.tokens)
        shown: dict[str, Any] = {"max_tokens": limit, "seed": launch.seed}
        temperature = self._body.get("temperature") if launch.temperature is None else launch.temperature
        if temperature is not None:
            shown["temperature"] = temperature
        kept = {name: self._body[name] for name in _KEPT if name in self._body}
        body = {
            **kept,
            **shown,
            "model": self._line.model.upstream_name,
            "prompt": list(ids),
            "return_token_ids": True,
            "logprobs": 0,
            "cache_salt": self._salt,
        }
        if stops:
            body |= {"stop": stops, "include_stop_str_in_output": True}
        requested = {**self._route.requested, "draw": launch.draw}
        return Sending("/completions", Dialect.OPENAI_CHAT, dumps(body), requested, shown, ceiling, len(ids), limit)


def cut(pieces: Sequence[Piece], text: str) -> tuple[tuple[Piece, ...], str]:
    """The tokens that are the beginning of a text, as far as tokens end with it, and what of the text is left."""
    kept: list[Piece] = []
    left = text
    for piece in pieces:
        if left.startswith(piece.text):
            kept.append(piece)
            left = left[len(piece.text) :]
            continue
        whole = sum(1 for start in piece.starts[1:] if start <= len(left))
        end = piece.starts[whole] if whole else 0
        if end and piece.text.startswith(left[:end]):
            kept.append(Piece(piece.text[:end], piece.ids[:whole], piece.starts[:whole]))
            left = left[end:]
        break
    return tuple(kept), left


def _choice(document: Mapping[str, Any]) -> Mapping[str, Any]:
    choices = document.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else None
    if not isinstance(choice, dict) or not isinstance(choice.get("text"), str):
        raise UpstreamFailed("the upstream's /completions gave no text")
    if not isinstance(choice.get("token_ids"), list):
        raise UpstreamFailed("the upstream's /completions gave no token ids; a search by steps needs a vLLM")
    return choice


def _ends_step(choice: Mapping[str, Any], launch: Launch, boundary: Boundary) -> bool:
    if launch.until is not Until.STEP:
        return False
    if boundary.stop is not None and choice.get("stop_reason") == boundary.stop:
        return True
    return boundary.tokens is not None and choice.get("finish_reason") == "length"


def _mean_logprob(choice: Mapping[str, Any]) -> float | None:
    told = (choice.get("logprobs") or {}).get("token_logprobs")
    numbers = [each for each in told or () if isinstance(each, int | float) and math.isfinite(each)]
    return math.fsum(numbers) / len(numbers) if numbers else None


def _stops(body: Mapping[str, Any]) -> list[str]:
    stop = body.get("stop")
    return [stop] if isinstance(stop, str) else [each for each in stop or () if isinstance(each, str)]
