"""Anthropic with its Message Batches: strict about what is submitted, and done when the test says so."""

from __future__ import annotations

import json
import re
from typing import Any

from aiohttp import web

from tests.upstreams.anthropic_rules import RefusedError
from tests.upstreams.anthropic_server import AnthropicServer

_CUSTOM_ID = re.compile(r"[a-zA-Z0-9_-]{1,64}")


class BatchingAnthropic(AnthropicServer):
    """A batch stays in progress until :meth:`finish`, or is done at once where ``is_prompt``."""

    def __init__(self, *, is_prompt: bool = True) -> None:
        super().__init__()
        self.is_prompt = is_prompt
        self.batches: dict[str, dict[str, Any]] = {}
        self._asked: dict[str, list[Any]] = {}

    def routes(self) -> list[web.RouteDef]:
        return [
            *super().routes(),
            web.post("/v1/messages/batches", self._guarded(self._create)),
            web.get("/v1/messages/batches/{batch}", self._guarded(self._retrieve)),
            web.get("/v1/messages/batches/{batch}/results", self._guarded(self._results)),
            web.post("/v1/messages/batches/{batch}/cancel", self._cancel),
        ]

    def finish(self) -> None:
        """Let every batch come to its end when it is looked at next."""
        self.is_prompt = True

    async def _create(self, request: web.Request, body: Any) -> web.StreamResponse:
        if body.keys() != {"requests"} or not body["requests"]:
            raise RefusedError("requests: Field required")
        ids = [each.get("custom_id") for each in body["requests"]]
        if len(set(ids)) != len(ids) or not all(isinstance(each, str) and _CUSTOM_ID.fullmatch(each) for each in ids):
            raise RefusedError("requests: custom_id must be unique and match ^[a-zA-Z0-9_-]{1,64}$")
        for each in body["requests"]:
            if each.keys() != {"custom_id", "params"} or each["params"].keys() & {"stream", "ponder"}:
                raise RefusedError("requests: Extra inputs are not permitted")
        batch = {"id": self.new_id("msgbatch_"), "type": "message_batch", "processing_status": "in_progress"}
        self.batches[batch["id"]] = batch
        self._asked[batch["id"]] = body["requests"]
        return self.send_json(batch, self._headers())

    def _batch(self, request: web.Request) -> dict[str, Any]:
        batch = self.batches.get(request.match_info["batch"])
        if batch is None:
            raise RefusedError("message_batch not found", status=404, kind="not_found_error")
        return batch

    async def _retrieve(self, request: web.Request, _: Any) -> web.StreamResponse:
        batch = self._batch(request)
        if self.is_prompt:
            batch["processing_status"] = "ended"
        return self.send_json(batch, self._headers())

    async def _cancel(self, request: web.Request) -> web.StreamResponse:
        await self.record(request)
        batch = self._batch(request)
        batch["processing_status"] = "canceling"
        return self.send_json(batch, self._headers())

    async def _results(self, request: web.Request, _: Any) -> web.StreamResponse:
        batch = self._batch(request)
        if batch["processing_status"] != "ended":
            raise RefusedError("Batch has no results yet", status=404, kind="not_found_error")
        rows = [await self._result(request, each) for each in self._asked[batch["id"]]]
        body = b"".join(json.dumps(row).encode() + b"\n" for row in rows[::-1])
        return web.Response(body=body, content_type="application/x-jsonl", headers=self._headers())

    async def _result(self, request: web.Request, asked: Any) -> dict[str, Any]:
        try:
            answer: Any = await self._messages(request, asked["params"])
        except RefusedError as fault:
            error = fault.body(self.new_id("req_"))
            return {"custom_id": asked["custom_id"], "result": {"type": "errored", "error": error}}
        message = json.loads(answer.body)
        message["usage"]["service_tier"] = "batch"
        return {"custom_id": asked["custom_id"], "result": {"type": "succeeded", "message": message}}
