"""Anthropic's Messages API, and servers that speak it. Bytes go out and come back as they are.

The anthropic package is the authority for shapes and statuses: the tests check ours against its
types and error classes. It is not used to call. It authenticates, follows redirects and reads its
environment in ways of its own, so what it reports would not hold for the calls that we serve.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any
from urllib.parse import quote

from gateway.adapters.anthropic_batches import AnthropicBatches
from gateway.adapters.transport import Transport, model_entries
from gateway.domain.chat import Dialect
from gateway.ports import UpstreamCall, UpstreamReply

API_VERSION = "2023-06-01"
"""Sent when the client names no version: the value every official SDK sends."""

_PAGE = 1000
_MOST = 10_000
_PASSED_ON = frozenset({"anthropic-version", "anthropic-beta", "traceparent", "tracestate"})


class AnthropicUpstream:
    """One server that speaks anthropic-messages. ``base_url`` ends where ``/v1/messages`` begins."""

    dialects = (Dialect.ANTHROPIC_MESSAGES,)

    def __init__(
        self,
        *,
        name: str,
        base_url: str,
        api_key: str | None,
        headers: Mapping[str, str],
        connections: int,
        allow_private: bool = False,
    ) -> None:
        self.name = name
        credentials = {"x-api-key": api_key} if api_key else {}
        self._transport = Transport(
            name=name,
            base_url=base_url,
            headers={
                "Content-Type": "application/json",
                "anthropic-version": API_VERSION,
                **headers,
                **credentials,
            },
            connections=connections,
            allow_private=allow_private,
        )
        self.batches = AnthropicBatches(self._transport)

    def open(self, call: UpstreamCall) -> AbstractAsyncContextManager[UpstreamReply]:
        """Send the call; the client's API version and beta headers go along."""
        return self._transport.post(call, {name: call.headers[name] for name in _PASSED_ON & call.headers.keys()})

    async def model_names(self, *, timeout_s: float) -> tuple[str, ...]:
        """The names in the server's own list of models. Raises UpstreamError."""
        return tuple(entry["id"] for entry in await self.models(timeout_s=timeout_s))

    async def models(self, *, timeout_s: float) -> tuple[Mapping[str, Any], ...]:
        """The server's own list of models, page by page; each has at least an ``id``. Raises UpstreamError."""
        models: list[Mapping[str, Any]] = []
        page = f"/v1/models?limit={_PAGE}"
        while True:
            listing = await self._transport.get(page, timeout_s=timeout_s)
            found = model_entries(self.name, listing)
            models += found
            last = listing.get("last_id")
            if listing.get("has_more") is not True or not isinstance(last, str) or not found or len(models) >= _MOST:
                return tuple(models)
            page = f"/v1/models?limit={_PAGE}&after_id={quote(last, safe='')}"

    async def close(self) -> None:
        """Close every pooled connection."""
        await self._transport.close()
