"""A conversation as the tokens that its model reads, told by the vLLM that serves it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from gateway.dialects.append_turns import with_turns
from gateway.dialects.json_bytes import dumps
from gateway.domain.chat import Dialect
from gateway.domain.money import ZERO
from gateway.domain.usage import Usage
from gateway.errors import UpstreamFailed
from gateway.flow.line import Line, Sending, Spent
from gateway.search.protocol import Turn

_FOR_TEMPLATE: Final = ("chat_template_kwargs", "documents", "tools")


@dataclass(frozen=True, slots=True)
class Tokenized:
    """Token ids, and the most tokens that their model holds; None where its server does not say."""

    ids: tuple[int, ...]
    context_tokens: int | None


class Tokenizer:
    """What tokenizes for one model and one request. ``body`` is the request as that model's chat API takes it."""

    def __init__(self, line: Line, body: Mapping[str, Any]) -> None:
        self._line = line
        self._body = body
        self._prompts: dict[tuple[Turn, ...], asyncio.Task[Tokenized]] = {}

    async def prompt(self, turns: tuple[Turn, ...] = ()) -> Tokenized:
        """The conversation and what is said after it, ready to be answered. All draws of a search share one question.

        Raises PonderError.
        """
        task = self._prompts.get(turns)
        if task is None or (task.done() and (task.cancelled() or task.exception() is not None)):
            task = self._prompts[turns] = asyncio.create_task(self._prompt(turns))
        return await asyncio.shield(task)

    async def text(self, text: str) -> tuple[int, ...]:
        """The tokens of a text as it stands. Raises PonderError."""
        return (await self._ask({"prompt": text, "add_special_tokens": False})).ids

    async def _prompt(self, turns: tuple[Turn, ...]) -> Tokenized:
        said = with_turns(Dialect.OPENAI_CHAT, self._body, [(turn.speaker, turn.text) for turn in turns])
        extra = {name: self._body[name] for name in _FOR_TEMPLATE if name in self._body}
        return await self._ask({"messages": said["messages"], "add_generation_prompt": True, **extra})

    async def _ask(self, what: Mapping[str, Any]) -> Tokenized:
        body = {"model": self._line.model.upstream_name, **what}
        sending = Sending("/tokenize", Dialect.OPENAI_CHAT, dumps(body), {"tokenize": True}, {}, ZERO)
        document = await self._line.whole(sending, Spent(), lambda _document: Usage())
        tokens, longest = document.get("tokens"), document.get("max_model_len")
        if not isinstance(tokens, list) or not all(isinstance(token, int) for token in tokens):
            raise UpstreamFailed("the upstream's /tokenize gave no tokens; a search by steps needs a vLLM")
        return Tokenized(tuple(tokens), longest if isinstance(longest, int) else None)
