"""OpenAI with its Files and Batch APIs: strict about what is submitted, and done when the test says so."""

from __future__ import annotations

import email
import email.policy
import json
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from tests.upstreams.openai_rules import RefusedError
from tests.upstreams.openai_server import OpenAIServer

_ENDPOINTS = {"/v1/chat/completions", "/v1/responses", "/v1/embeddings"}
_MEMBERS = {"input_file_id", "endpoint", "completion_window", "metadata"}
_LINE_MEMBERS = {"custom_id", "method", "url", "body"}
_LONGEST_VALUE = 512


class BatchingOpenAI(OpenAIServer):
    """A batch stays in progress until :meth:`finish`, or is done at once where ``is_prompt``."""

    def __init__(self, *, is_prompt: bool = True) -> None:
        super().__init__()
        self.is_prompt = is_prompt
        self.files: dict[str, bytes] = {}
        self.batches: dict[str, dict[str, Any]] = {}
        self.left_out: set[int] = set()
        """Lines, counted from 0, that a batch ends without."""

    def routes(self) -> list[web.RouteDef]:
        return [
            *super().routes(),
            web.post("/v1/files", self._upload),
            web.get("/v1/files/{file}/content", self._guarded(self._content)),
            web.post("/v1/batches", self._guarded(self._create)),
            web.get("/v1/batches", self._guarded(self._list)),
            web.get("/v1/batches/{batch}", self._guarded(self._retrieve)),
            web.post("/v1/batches/{batch}/cancel", self._bare(self._cancel)),
        ]

    def finish(self) -> None:
        """Let every batch come to its end when it is looked at next."""
        self.is_prompt = True

    def _bare(
        self, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def guarded(request: web.Request) -> web.StreamResponse:
            await self.record(request)
            try:
                self._check_key(request.headers.get("authorization", ""))
                return await handler(request)
            except RefusedError as fault:
                return self._refuse(fault)

        return guarded

    async def _upload(self, request: web.Request) -> web.StreamResponse:
        return await self._bare(self._keep)(request)

    async def _keep(self, request: web.Request) -> web.StreamResponse:
        raw = self.requests[-1].body
        head = f"Content-Type: {request.headers['content-type']}\r\n\r\n".encode()
        form = email.message_from_bytes(head + raw, policy=email.policy.HTTP)
        parts = {part.get_param("name", header="content-disposition"): part for part in form.iter_parts()}  # type: ignore[attr-defined]
        if parts.keys() != {"purpose", "file"} or parts["purpose"].get_payload() != "batch":
            raise RefusedError("'purpose' must be 'batch', and 'file' a file", "purpose")
        if not (parts["file"].get_filename() or "").endswith(".jsonl"):
            raise RefusedError("Invalid file format for Batch API. Must be .jsonl", "file")
        file_id = self._store(parts["file"].get_payload(decode=True).rstrip(b"\r\n") + b"\n")
        return self.send_json({"id": file_id, "object": "file", "purpose": "batch"}, self._headers())

    def _store(self, data: bytes) -> str:
        file_id = self.new_id("file-")
        self.files[file_id] = data
        return file_id

    async def _content(self, request: web.Request, _: Any) -> web.StreamResponse:
        data = self.files.get(request.match_info["file"])
        if data is None:
            raise RefusedError("No such File object", "id", status=404)
        return web.Response(body=data, content_type="application/jsonl", headers=self._headers())

    async def _create(self, request: web.Request, body: Any) -> web.StreamResponse:
        metadata = body.get("metadata") or {}
        if body.keys() - _MEMBERS or body.get("completion_window") != "24h" or body.get("endpoint") not in _ENDPOINTS:
            raise RefusedError("Invalid batch: its members, window or endpoint")
        if not all(isinstance(value, str) and len(value) <= _LONGEST_VALUE for value in metadata.values()):
            raise RefusedError("Invalid metadata", "metadata")
        if body["input_file_id"] not in self.files:
            raise RefusedError("Invalid input_file_id", "input_file_id")
        batch = {
            "id": self.new_id("batch_"),
            "object": "batch",
            "status": "validating",
            "output_file_id": None,
            "error_file_id": None,
            **body,
        }
        self.batches[batch["id"]] = batch
        return self.send_json(batch, self._headers())

    async def _list(self, request: web.Request, _: Any) -> web.StreamResponse:
        data = list(self.batches.values())[::-1][: int(request.query.get("limit", 20))]
        return self.send_json({"object": "list", "data": data, "has_more": False}, self._headers())

    def _batch(self, request: web.Request) -> dict[str, Any]:
        batch = self.batches.get(request.match_info["batch"])
        if batch is None:
            raise RefusedError("No batch found", "id", status=404)
        return batch

    async def _retrieve(self, request: web.Request, _: Any) -> web.StreamResponse:
        batch = self._batch(request)
        if batch["status"] == "validating":
            batch["status"] = "in_progress" if self._is_valid(batch) else "failed"
        if batch["status"] in {"in_progress", "cancelling"} and self.is_prompt:
            await self._run(request, batch)
            batch["status"] = "completed" if batch["status"] == "in_progress" else "cancelled"
        return self.send_json(batch, self._headers())

    async def _cancel(self, request: web.Request) -> web.StreamResponse:
        batch = self._batch(request)
        if batch["status"] not in {"validating", "in_progress"}:
            raise RefusedError(f"Cannot cancel a batch with status '{batch['status']}'.", status=409)
        batch["status"] = "cancelling"
        return self.send_json(batch, self._headers())

    def _lines(self, batch: dict[str, Any]) -> list[Any]:
        return [json.loads(line) for line in self.files[batch["input_file_id"]].splitlines()]

    def _is_valid(self, batch: dict[str, Any]) -> bool:
        lines = self._lines(batch)
        return (
            len({line["custom_id"] for line in lines}) == len(lines)
            and len({line["body"]["model"] for line in lines}) == 1
            and all(
                line.keys() == _LINE_MEMBERS
                and (line["method"], line["url"]) == ("POST", batch["endpoint"])
                and not line["body"].keys() & {"stream", "background", "ponder"}
                for line in lines
            )
        )

    async def _run(self, request: web.Request, batch: dict[str, Any]) -> None:
        handlers = {"/v1/chat/completions": self._chat, "/v1/responses": self._responses}
        handler = handlers.get(batch["endpoint"], self._embeddings)
        found: dict[str, list[bytes]] = {"output_file_id": [], "error_file_id": []}
        for number, line in enumerate(self._lines(batch)):
            if number in self.left_out:
                continue
            try:
                answer: Any = await handler(request, line["body"])
                status, body = 200, json.loads(answer.body)
            except RefusedError as fault:
                status, body = fault.status, fault.body
            response = {"status_code": status, "request_id": self.new_id("req_"), "body": body}
            result = {"id": self.new_id("batch_req_"), "custom_id": line["custom_id"], "response": response}
            member = "output_file_id" if status == web.HTTPOk.status_code else "error_file_id"
            found[member].append(json.dumps({**result, "error": None}).encode() + b"\n")
        for member, rows in found.items():
            batch[member] = self._store(b"".join(rows[::-1])) if rows else None
