"""vLLM: OpenAI's API, and beside it at the server's root what searches need: tokens, classification, pooling, load.

Paths that vLLM serves at its root are told apart from those below ``/v1``
(https://docs.vllm.ai/en/stable/serving/openai_compatible_server.html).
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from typing import Final

from gateway.adapters.openai_upstream import PASSED_ON
from gateway.adapters.transport import Transport, model_ids
from gateway.domain.chat import Dialect
from gateway.ports import UpstreamCall, UpstreamReply

AT_ROOT: Final = frozenset({"/tokenize", "/detokenize", "/classify", "/pooling", "/score", "/generative_scoring"})
"""What is not below ``/v1``."""
_BELOW: Final = "/v1"


class VllmUpstream:
    """One vLLM server. ``base_url`` is its root, with or without ``/v1``."""

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
            base_url=base_url.rstrip("/").removesuffix(_BELOW),
            headers={"Content-Type": "application/json", **headers, **credentials},
            connections=connections,
            allow_private=allow_private,
        )

    def open(self, call: UpstreamCall) -> AbstractAsyncContextManager[UpstreamReply]:
        """Send the call, to the root or below ``/v1``."""
        at = call if call.path in AT_ROOT else replace(call, path=_BELOW + call.path)
        return self._transport.post(at, {name: call.headers[name] for name in PASSED_ON & call.headers.keys()})

    async def model_names(self, *, timeout_s: float) -> tuple[str, ...]:
        """The server's own list of models. Raises UpstreamError."""
        return model_ids(self.name, await self._transport.get(f"{_BELOW}/models", timeout_s=timeout_s))

    def metrics(self, *, timeout_s: float) -> AbstractAsyncContextManager[UpstreamReply]:
        """Its Prometheus metrics. Entering raises UpstreamError."""
        return self._transport.fetch("/metrics", timeout_s=timeout_s)

    async def close(self) -> None:
        """Close every pooled connection."""
        await self._transport.close()
