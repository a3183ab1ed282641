"""Providers on loopback that answer with exactly the bytes they are told to."""

from __future__ import annotations

import asyncio
import json
import threading
from collections import deque
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Literal

from aiohttp import web

from tests.upstreams.listening import ProviderServer

GEMINI_USAGE = {
    "promptTokenCount": 10,
    "candidatesTokenCount": 5,
    "thoughtsTokenCount": 7,
    "totalTokenCount": 22,
    "cachedContentTokenCount": 4,
}
CHAT_USAGE = {
    "prompt_tokens": 10,
    "completion_tokens": 9,
    "total_tokens": 19,
    "prompt_cache_hit_tokens": 4,
    "completion_tokens_details": {"reasoning_tokens": 6},
}


@dataclass(frozen=True, slots=True)
class Told:
    """One answer: its pieces are written one by one, then it ends, is cut, or never ends."""

    pieces: tuple[bytes, ...]
    status: int = 200
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)
    ending: Literal["end", "cut", "never", "silence"] = "end"


def told_json(value: Any, *, status: int = 200, **headers: str) -> Told:
    """A whole JSON answer."""
    return Told((json.dumps(value).encode(),), status, headers=headers)


def told_events(events: Iterable[Any], ending: Literal["end", "cut", "never", "silence"] = "end") -> Told:
    """A stream with one server-sent event per value."""
    pieces = tuple(b"data: " + json.dumps(event).encode() + b"\n\n" for event in events)
    return Told(pieces, content_type="text/event-stream", ending=ending)


def gemini(*parts: Mapping[str, Any], finish: str | None = "STOP", usage: Any = GEMINI_USAGE) -> dict[str, Any]:
    """A GenerateContentResponse."""
    candidate: dict[str, Any] = {"content": {"role": "model", "parts": list(parts)}, "index": 0}
    if finish is not None:
        candidate["finishReason"] = finish
    answer = {"candidates": [candidate], "modelVersion": "gemini-2.5-flash", "responseId": "r-1"}
    return answer if usage is None else {**answer, "usageMetadata": usage}


def chat(**message: Any) -> dict[str, Any]:
    """A chat completion as Mistral and DeepSeek write it."""
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": "stop"}
    return {
        "id": "c-1",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [choice],
        "usage": CHAT_USAGE,
    }


def chat_chunk(finish: str | None = None, usage: Any = None, **delta: Any) -> dict[str, Any]:
    """One chunk of a chat completion."""
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    chunk = {"id": "c-1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
    return chunk if usage is None else {**chunk, "usage": usage}


class ToldServer(ProviderServer):
    """Answers each request with the next :class:`Told`, whatever was asked."""

    def __init__(self) -> None:
        super().__init__()
        self.answers: deque[Told] = deque()
        self.hung_up = threading.Event()
        """The client closed the connection before the answer was over."""

    def tell(self, *answers: Told) -> None:
        """Set the next answers, forgetting what was asked before."""
        self.requests.clear()
        self.hung_up.clear()
        self.answers = deque(answers)

    def routes(self) -> list[web.RouteDef]:
        return []

    async def refuse_path(self, request: web.Request) -> web.StreamResponse:
        await self.record(request)
        answer = self.answers.popleft()
        response = web.StreamResponse(
            status=answer.status, headers={"content-type": answer.content_type, **answer.headers}
        )
        if answer.ending != "cut":
            response.enable_chunked_encoding()
        else:
            response.content_length = sum(map(len, answer.pieces)) + 1
        await response.prepare(request)
        for piece in answer.pieces:
            await response.write(piece)
        await self._end(request, response, answer)
        return response

    async def _end(self, request: web.Request, response: web.StreamResponse, answer: Told) -> None:
        if answer.ending == "cut":
            assert request.transport is not None
            request.transport.close()
            return
        transport = request.transport
        while answer.ending in ("never", "silence"):
            if transport is None or transport.is_closing():
                self.hung_up.set()
                return
            if answer.ending == "never":
                with suppress(ConnectionResetError):
                    await response.write(answer.pieces[-1])
            await asyncio.sleep(0.01)
        await response.write_eof()
