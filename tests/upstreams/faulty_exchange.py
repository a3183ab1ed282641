"""One request to the faulty server: raw writing, and the valid bytes that a fault starts from."""

from __future__ import annotations

import asyncio
import itertools
import json
import socket
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from tests.upstreams import anthropic_wire, openai_chat_wire, openai_responses_wire
from tests.upstreams.replies import Counts, Reply

ANSWER = Reply(text="A true answer — however slowly it comes. ✓", counts=Counts(prompt=21, cached=0, completion=9))
EVENTS_BEFORE_A_FAULT = 6
PATIENCE_S = 60.0


class CallerLeftError(Exception):
    """The caller closed the connection before the fault had run its course."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request that was read whole, and the raw connection to answer it on."""

    path: str
    model: str
    is_stream: bool
    attempt: int
    """1 for the first call with this fault."""
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    @property
    def is_anthropic(self) -> bool:
        """Whether the caller speaks Anthropic's dialect."""
        return self.path.startswith("/v1/messages")

    def answer(self) -> dict[str, Any]:
        """A valid whole answer in the caller's dialect."""
        numbers = itertools.count(1)
        if self.is_anthropic:
            blocks = anthropic_wire.content_blocks(ANSWER, str)
            return anthropic_wire.message(ANSWER, "msg_1", self.model, blocks)
        if self.path == "/v1/responses":
            items = openai_responses_wire.output_items(ANSWER, lambda prefix: f"{prefix}{next(numbers)}")
            return openai_responses_wire.response_object({}, "resp_1", self.model, ANSWER, items)
        if self.path == "/v1/embeddings":
            data = [{"object": "embedding", "index": 0, "embedding": [0.5, 0.25]}]
            used = {"prompt_tokens": 3, "total_tokens": 3}
            return {"object": "list", "data": data, "model": self.model, "usage": used}
        return openai_chat_wire.completion(ANSWER, openai_chat_wire.ChatShape("chatcmpl-1", self.model, str))

    def events(self) -> list[bytes]:
        """A valid whole stream in the caller's dialect, with usage and its terminal event."""
        if self.is_anthropic:
            blocks = anthropic_wire.content_blocks(ANSWER, str)
            return list(anthropic_wire.events(ANSWER, "msg_1", self.model, blocks))
        if self.path == "/v1/responses":
            return list(openai_responses_wire.ResponseEvents(self.answer()).all())
        shape = openai_chat_wire.ChatShape("chatcmpl-1", self.model, str, include_usage=True)
        return list(openai_chat_wire.chunks(ANSWER, shape))

    def error_body(self, message: str, *, kind: str, code: str | None = None) -> bytes:
        """An error in the caller's dialect."""
        if self.is_anthropic:
            error: dict[str, Any] = {"type": "error", "error": {"type": kind, "message": message}}
            return json.dumps({**error, "request_id": "req_1"}).encode()
        return json.dumps({"error": {"message": message, "type": kind, "param": None, "code": code}}).encode()

    async def head(
        self, status: str, *headers: str, content_type: str = "application/json", connection: str = "close"
    ) -> None:
        """Send the status line and headers; the body ends with the connection unless they say otherwise."""
        lines = (f"HTTP/1.1 {status}", f"content-type: {content_type}", f"connection: {connection}", *headers)
        await self.send("\r\n".join(lines).encode() + b"\r\n\r\n")

    async def send(self, data: bytes) -> None:
        """Write raw bytes; raises :class:`CallerLeftError` once the caller has gone."""
        if self.reader.at_eof() or self.writer.transport.is_closing():
            raise CallerLeftError
        self.writer.write(data)
        await self.writer.drain()

    async def send_whole(self, status: str, body: bytes, *headers: str, content_type: str = "application/json") -> None:
        """Send a complete answer with its length."""
        await self.head(status, f"content-length: {len(body)}", *headers, content_type=content_type)
        await self.send(body)

    async def begin_stream(self) -> None:
        """Send the head of a chunked event stream."""
        await self.head("200 OK", "transfer-encoding: chunked", content_type="text/event-stream; charset=utf-8")

    async def send_chunks(self, pieces: Iterable[bytes]) -> None:
        """Send pieces, each as one chunk of the transfer encoding."""
        for piece in pieces:
            await self.send(b"%x\r\n%s\r\n" % (len(piece), piece))

    async def end_chunks(self) -> None:
        """Send the last chunk: the transfer ended in good order."""
        await self.send(b"0\r\n\r\n")

    async def wait_until_caller_leaves(self) -> None:
        """Keep the connection open, silent; raises :class:`CallerLeftError` when the caller has enough."""
        async with asyncio.timeout(PATIENCE_S):
            while await self.reader.read(65536):
                pass
        raise CallerLeftError

    def reset(self) -> None:
        """Close with a TCP reset: linger for zero seconds, then close."""
        raw = self.writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()
