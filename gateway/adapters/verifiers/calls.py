"""Calls to a verifier's model: through its upstream, within a deadline, tried again where that can help.

Answers are JSON objects of a bounded size; whatever else comes is the upstream's failure.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from gateway.dialects.json_bytes import dumps, loads
from gateway.domain.chat import Dialect
from gateway.domain.model import Model
from gateway.errors import InvalidRequest, UpstreamError, UpstreamFailed, UpstreamTimedOut
from gateway.ports import Upstream, UpstreamCall
from gateway.tracing import trace_headers

MAX_ANSWER_BYTES: Final = 4 * 1024 * 1024
"""Some hundred times what scores of a full batch take."""
_FIRST_PAUSE_S: Final = 0.1
_NEVER_S: Final = 0.001


@dataclass(frozen=True, slots=True)
class CallTerms:
    """How an upstream is called: waits in seconds, and how often a call that failed is made again.

    ``is_vllm``: whether it keeps its cache by salt.
    """

    first_byte_s: float
    idle_s: float
    retries: int
    is_vllm: bool


@dataclass(frozen=True, slots=True)
class Calls:
    """The way to one model, for the verifier of this name."""

    verifier: str
    model: Model
    upstream: Upstream
    terms: CallTerms

    async def post(
        self, path: str, body: Mapping[str, Any], *, deadline_s: float, dialect: Dialect = Dialect.OPENAI_CHAT
    ) -> Mapping[str, Any]:
        """The answer to a call; one that failed, and certainly cost nothing, is made again. Raises UpstreamError."""
        loop = asyncio.get_running_loop()
        until, raw = loop.time() + deadline_s, dumps(body)
        for attempt in range(self.terms.retries + 1):
            try:
                return await self._once(path, raw, until - loop.time(), dialect)
            except UpstreamError as fault:
                pause_s = max(_FIRST_PAUSE_S * 2**attempt, fault.retry_after_s or 0.0)
                is_worth_it = fault.is_retryable and fault.is_unbilled and attempt < self.terms.retries
                if not is_worth_it or loop.time() + pause_s >= until:
                    raise
            await asyncio.sleep(pause_s)
        raise AssertionError("the last attempt raises or returns")

    async def _once(self, path: str, raw: bytes, left_s: float, dialect: Dialect) -> Mapping[str, Any]:
        if left_s < _NEVER_S:
            raise UpstreamTimedOut(f"no time was left to ask verifier {self.verifier}", is_unbilled=True)
        call = UpstreamCall(
            dialect=dialect,
            path=path,
            body=raw,
            is_stream=False,
            request_id="",
            deadline_s=left_s,
            first_byte_s=self.terms.first_byte_s,
            idle_s=self.terms.idle_s,
            headers=trace_headers(),
        )
        async with self.upstream.open(call) as reply:
            pieces: list[bytes] = []
            size = 0
            async for piece in reply.chunks():
                pieces.append(piece)
                size += len(piece)
                if size > MAX_ANSWER_BYTES:
                    raise UpstreamFailed(
                        f"verifier {self.verifier}: the answer is larger than {MAX_ANSWER_BYTES} bytes"
                    )
        return self._object(b"".join(pieces))

    def _object(self, raw: bytes) -> Mapping[str, Any]:
        try:
            answer = loads(raw)
        except InvalidRequest as fault:
            raise UpstreamFailed(f"verifier {self.verifier}: the answer is not valid JSON, or holds NaN") from fault
        if not isinstance(answer, dict) or answer.get("error") is not None:
            raise UpstreamFailed(f"verifier {self.verifier}: the answer is an error, or no JSON object")
        return answer
