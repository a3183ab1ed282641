"""A webhook's receiver for tests: a real server that keeps what it got and answers as told."""

from __future__ import annotations

import base64
import hmac
import json
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from tests.upstreams.listening import LoopThread

SECRET = "whsec_" + base64.b64encode(b"s" * 32).decode()


@dataclass(frozen=True, slots=True)
class Message:
    """One message as it arrived."""

    id: str
    timestamp: str
    signature: str
    body: bytes

    @property
    def json(self) -> Any:
        """The body, parsed."""
        return json.loads(self.body)

    @property
    def is_genuine(self) -> bool:
        """Whether the signature is one of SECRET over id, time and body."""
        key = base64.b64decode(SECRET.removeprefix("whsec_"))
        signed = f"{self.id}.{self.timestamp}.".encode() + self.body
        return self.signature == "v1," + base64.b64encode(hmac.digest(key, signed, "sha256")).decode()


@dataclass(slots=True)
class Receiver:
    """Serves at ``address`` between entering and leaving; ``status`` is what it answers next."""

    status: int = 204
    messages: list[Message] = field(default_factory=list)
    address: str = ""
    _thread: LoopThread | None = None
    _runner: web.AppRunner | None = None

    async def _take(self, request: web.Request) -> web.Response:
        headers, body = request.headers, await request.read()
        message = Message(headers["webhook-id"], headers["webhook-timestamp"], headers["webhook-signature"], body)
        self.messages.append(message)
        return web.Response(status=self.status)

    async def _start(self) -> None:
        application = web.Application()
        application.router.add_post("/{path:.*}", self._take)
        self._runner = web.AppRunner(application, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.address = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    def __enter__(self) -> Receiver:
        self._thread = LoopThread("receiver")
        self._thread.run(self._start())
        return self

    def __exit__(self, *_: object) -> None:
        assert self._thread is not None
        assert self._runner is not None
        self._thread.run(self._runner.cleanup())
        self._thread.close()
