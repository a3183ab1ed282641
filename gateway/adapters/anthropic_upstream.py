"""Anthropic's Messages API, and servers that speak it. Bytes go out and come back as they are.

The anthropic package is the authority for shapes (``tests/adapters`` and ``tests/dialects`` check
ours against its types and error classes) and lists models for ``ponder doctor``. It takes 1.3 s and
35 MB to import, so it is imported where it is used and stays off the request path.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager

from gateway.adapters.transport import Transport, refusal
from gateway.domain.chat import Dialect
from gateway.errors import UpstreamFailed, UpstreamTimedOut
from gateway.ports import UpstreamCall, UpstreamReply

API_VERSION = "2023-06-01"
"""Sent when the client names no version: the value every official SDK sends."""

_PASSED_ON = frozenset({"anthropic-version", "anthropic-beta", "traceparent", "tracestate"})


class AnthropicUpstream:
    """One server that speaks anthropic-messages. ``base_url`` ends where ``/v1/messages`` begins."""

    dialects = (Dialect.ANTHROPIC_MESSAGES,)

    def __init__(
        self, *, name: str, base_url: str, api_key: str | None, headers: Mapping[str, str], connections: int
    ) -> None:
        self.name = name
        self._base_url = base_url
        self._api_key = api_key
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
        )

    def open(self, call: UpstreamCall) -> AbstractAsyncContextManager[UpstreamReply]:
        """Send the call; the client's API version and beta headers go along."""
        return self._transport.post(call, {name: call.headers[name] for name in _PASSED_ON & call.headers.keys()})

    async def model_names(self, *, timeout_s: float) -> tuple[str, ...]:
        """The server's own list of models, through the anthropic package. Raises UpstreamError."""
        import anthropic

        client = anthropic.AsyncAnthropic(
            api_key=self._api_key or "none", base_url=self._base_url, timeout=timeout_s, max_retries=0
        )
        try:
            return tuple([model.id async for model in client.models.list()])
        except anthropic.APIStatusError as fault:
            raise refusal(
                self.name, fault.status_code, fault.response.content, fault.response.headers.get("retry-after")
            ) from fault
        except anthropic.APITimeoutError as fault:
            raise UpstreamTimedOut(f"upstream {self.name} did not answer in time") from fault
        except anthropic.APIError as fault:
            raise UpstreamFailed(f"upstream {self.name} cannot be reached or did not list its models") from fault
        finally:
            await client.close()

    async def close(self) -> None:
        """Close every pooled connection."""
        await self._transport.close()
