"""OpenAI and every server that speaks its API: vLLM, llama.cpp, Together, Groq, Azure's v1 surface, …

Bytes go out and come back as they are; see ``transport.py`` for the wire.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager

from gateway.adapters.openai_batches import OpenAIBatches
from gateway.adapters.transport import Transport, model_ids
from gateway.domain.chat import Dialect
from gateway.ports import UpstreamCall, UpstreamReply

PASSED_ON = frozenset({"openai-beta", "traceparent", "tracestate", "x-client-request-id"})
"""A client's own headers that go along."""


class OpenAIUpstream:
    """One OpenAI-compatible server. ``base_url`` ends where ``/chat/completions`` begins."""

    def __init__(
        self,
        *,
        name: str,
        base_url: str,
        api_key: str | None,
        dialects: tuple[Dialect, ...],
        headers: Mapping[str, str],
        connections: int,
        allow_private: bool = False,
    ) -> None:
        self.name = name
        self.dialects = dialects
        credentials = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self._transport = Transport(
            name=name,
            base_url=base_url,
            headers={"Content-Type": "application/json", **headers, **credentials},
            connections=connections,
            allow_private=allow_private,
        )
        self.batches = OpenAIBatches(self._transport)

    def open(self, call: UpstreamCall) -> AbstractAsyncContextManager[UpstreamReply]:
        """Send the call; the client's own ``openai-beta`` and trace headers go along."""
        return self._transport.post(call, {name: call.headers[name] for name in PASSED_ON & call.headers.keys()})

    async def model_names(self, *, timeout_s: float) -> tuple[str, ...]:
        """The server's own list of models. Raises UpstreamError."""
        return model_ids(self.name, await self._transport.get("/models", timeout_s=timeout_s))

    async def close(self) -> None:
        """Close every pooled connection."""
        await self._transport.close()
