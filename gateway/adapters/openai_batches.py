"""OpenAI's Batch API: a file of requests goes up, a batch is made of it, and files of results come down.

https://platform.openai.com/docs/guides/batch
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Sequence
from typing import Any, Final

from gateway.adapters.batch_wire import CALL_S, TRANSFER_S, lines, post, quoted, text_of
from gateway.adapters.transport import Transport
from gateway.dialects.json_bytes import dumps
from gateway.errors import UpstreamFailed
from gateway.ports import BatchPhase, BatchRequest, BatchResult

_NAME = "ponder_batch"
"""The member of a batch's metadata that holds our name for it, by which it is found again."""
_LISTED = 100
_OK = 200
_PHASES = {
    "validating": BatchPhase.RUNNING,
    "in_progress": BatchPhase.RUNNING,
    "finalizing": BatchPhase.STOPPING,
    "cancelling": BatchPhase.STOPPING,
    "completed": BatchPhase.ENDED,
    "expired": BatchPhase.ENDED,
    "cancelled": BatchPhase.ENDED,
    "failed": BatchPhase.REFUSED,
}


class OpenAIBatches:
    """The batches of one account. Satisfies :class:`gateway.ports.BatchApi`."""

    mixes_models: Final = False

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def find(self, name: str) -> str | None:
        listing = await self._transport.get(f"/batches?limit={_LISTED}", timeout_s=CALL_S)
        for batch in listing.get("data") or ():
            if isinstance(batch, dict) and (batch.get("metadata") or {}).get(_NAME) == name:
                return text_of(batch, "id", self._transport.name)
        return None

    async def submit(self, name: str, endpoint: str, requests: Sequence[BatchRequest]) -> str:
        head = b'","method":"POST","url":' + dumps(endpoint) + b',"body":'
        # A request is one line of its file: inside JSON's strings there are no line ends.
        rows = [
            b'{"custom_id":"' + each.id.encode() + head + each.body.replace(b"\n", b" ").replace(b"\r", b" ") + b"}\n"
            for each in requests
        ]
        boundary = os.urandom(16).hex()
        part = f'--{boundary}\r\nContent-Disposition: form-data; name="%s"'
        opening = (
            f'{part % "purpose"}\r\n\r\nbatch\r\n{part % "file"}; filename="{name}.jsonl"\r\n'
            "Content-Type: application/jsonl\r\n\r\n"
        )
        body = b"".join([opening.encode(), *rows, f"\r\n--{boundary}--\r\n".encode()])
        kind = f"multipart/form-data; boundary={boundary}"
        file = await post(self._transport, "/files", body, kind, timeout_s=TRANSFER_S)
        terms = {
            "input_file_id": text_of(file, "id", self._transport.name),
            "endpoint": endpoint,
            "completion_window": "24h",
            "metadata": {_NAME: name},
        }
        batch = await post(self._transport, "/batches", dumps(terms), "application/json", timeout_s=CALL_S)
        return text_of(batch, "id", self._transport.name)

    async def phase(self, batch_id: str) -> BatchPhase:
        batch = await self._batch(batch_id)
        phase = _PHASES.get(str(batch.get("status")))
        if phase is None:
            raise UpstreamFailed(f"upstream {self._transport.name} answered a batch in a state that is not known here")
        return phase

    async def cancel(self, batch_id: str) -> None:
        path = f"/batches/{quoted(batch_id)}/cancel"
        await post(self._transport, path, b"", "application/json", timeout_s=CALL_S)

    async def results(self, batch_id: str) -> AsyncIterator[BatchResult]:
        batch = await self._batch(batch_id)
        for member in ("output_file_id", "error_file_id"):
            file_id = batch.get(member)
            if isinstance(file_id, str) and file_id:
                async for line in lines(self._transport, f"/files/{quoted(file_id)}/content"):
                    yield self._result(line)

    def _result(self, line: dict[str, Any]) -> BatchResult:
        custom_id = text_of(line, "custom_id", self._transport.name)
        response = line.get("response")
        if not isinstance(response, dict) or not isinstance(response.get("body"), dict):
            return BatchResult(custom_id, 0, None)
        status, request_id = response.get("status_code"), response.get("request_id")
        return BatchResult(
            custom_id,
            status if isinstance(status, int) else _OK,
            dumps(response["body"]),
            request_id if isinstance(request_id, str) else None,
        )

    async def _batch(self, batch_id: str) -> Any:
        return await self._transport.get(f"/batches/{quoted(batch_id)}", timeout_s=CALL_S)
