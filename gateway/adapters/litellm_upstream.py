"""Any other provider (Gemini, Bedrock, Azure, Vertex, Mistral, …) through litellm.

The only file that imports litellm, and only when such an upstream is first called: importing it
takes seconds and over 100 MB. It speaks openai-chat to the gateway.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from gateway.dialects.json_bytes import dumps, loads
from gateway.domain.chat import Dialect
from gateway.ports import UpstreamCall, UpstreamReply


class LiteLLMUpstream:
    """One provider, by the name that litellm knows it under."""

    dialects = (Dialect.OPENAI_CHAT,)

    def __init__(self, *, name: str, provider: str, api_key: str | None, base_url: str | None) -> None:
        self.name = name
        self._provider = provider
        self._api_key = api_key
        self._base_url = base_url

    @asynccontextmanager
    async def open(self, call: UpstreamCall) -> AsyncIterator[UpstreamReply]:
        import litellm

        body = loads(call.body)
        answer = await litellm.acompletion(**body, api_key=self._api_key)
        yield _Reply(answer)

    async def close(self) -> None:
        return None


class _Reply:
    status = 200
    headers: Mapping[str, str] = {}

    def __init__(self, answer: Any) -> None:
        self._answer = answer

    async def read(self) -> bytes:
        return dumps(self._answer.model_dump())

    async def chunks(self) -> AsyncIterator[bytes]:
        async for chunk in self._answer:
            yield b"data: " + dumps(chunk.model_dump()) + b"\n\n"
        yield b"data: [DONE]\n\n"

    def complete(self) -> None:
        return None
