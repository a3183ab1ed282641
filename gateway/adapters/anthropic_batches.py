"""Anthropic's Message Batches: requests go up in one call, results come down as lines.

https://docs.claude.com/en/docs/build-with-claude/batch-processing
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any, Final

from gateway.adapters.batch_wire import CALL_S, TRANSFER_S, lines, post, quoted, text_of
from gateway.adapters.transport import Transport
from gateway.dialects.json_bytes import dumps
from gateway.errors import UpstreamFailed
from gateway.ports import BatchPhase, BatchRequest, BatchResult

_PATH = "/v1/messages/batches"
_PHASES = {
    "in_progress": BatchPhase.RUNNING,
    "canceling": BatchPhase.STOPPING,
    "ended": BatchPhase.ENDED,
}
# https://docs.claude.com/en/api/errors
_STATUSES = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "timeout_error": 504,
    "overloaded_error": 529,
}
_OK, _FAULT = 200, 500


class AnthropicBatches:
    """The batches of one account. Satisfies :class:`gateway.ports.BatchApi`."""

    mixes_models: Final = True

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def find(self, name: str) -> str | None:
        """Always None: a batch there carries no name and no metadata to be found by."""
        return None

    async def submit(self, name: str, endpoint: str, requests: Sequence[BatchRequest]) -> str:
        rows = [b'{"custom_id":"' + each.id.encode() + b'","params":' + each.body + b"}" for each in requests]
        body = b'{"requests":[' + b",".join(rows) + b"]}"
        batch = await post(self._transport, _PATH, body, "application/json", timeout_s=TRANSFER_S)
        return text_of(batch, "id", self._transport.name)

    async def phase(self, batch_id: str) -> BatchPhase:
        batch = await self._transport.get(f"{_PATH}/{quoted(batch_id)}", timeout_s=CALL_S)
        phase = _PHASES.get(str(batch.get("processing_status")))
        if phase is None:
            raise UpstreamFailed(f"upstream {self._transport.name} answered a batch in a state that is not known here")
        return phase

    async def cancel(self, batch_id: str) -> None:
        path = f"{_PATH}/{quoted(batch_id)}/cancel"
        await post(self._transport, path, b"", "application/json", timeout_s=CALL_S)

    async def results(self, batch_id: str) -> AsyncIterator[BatchResult]:
        async for line in lines(self._transport, f"{_PATH}/{quoted(batch_id)}/results"):
            yield self._result(line)

    def _result(self, line: dict[str, Any]) -> BatchResult:
        custom_id = text_of(line, "custom_id", self._transport.name)
        result = line.get("result")
        result = result if isinstance(result, dict) else {}
        if isinstance(result.get("message"), dict):
            return BatchResult(custom_id, _OK, dumps(result["message"]))
        error = result.get("error")
        if not isinstance(error, dict):
            return BatchResult(custom_id, 0, None)
        detail = error.get("error")
        kind = detail.get("type") if isinstance(detail, dict) else None
        return BatchResult(custom_id, _STATUSES.get(str(kind), _FAULT), dumps(error))
