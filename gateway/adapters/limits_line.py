"""The line to Redis that limits are kept by: scripts in pipelines, loaded again where Redis has forgotten them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import orjson

from gateway.adapters.limits_prelude import Script
from gateway.adapters.limits_scripts import SCRIPTS
from gateway.adapters.redis_pipelines import Command, RedisPipelines


class RedisLine(RedisPipelines):
    """Runs scripts on one Redis, and gives each caller the script's answer."""

    def __init__(self, url: str, *, books: str, timeout_s: float) -> None:
        import redis.exceptions  # as in RedisPipelines

        super().__init__(url, timeout_s=timeout_s)
        self._unknown_script = redis.exceptions.NoScriptError
        self._books = books

    def call(self, script: Script, ask: dict[str, Any]) -> asyncio.Future[dict[str, Any]]:
        """The script's answer, to come; StoreAway when there is none in time."""
        return self.submit("EVALSHA", script.sha, 1, self._books, orjson.dumps(ask))

    async def _send(self, commands: Sequence[Command]) -> list[Any]:
        replies = await super()._send(commands)
        unknown = [place for place, reply in enumerate(replies) if isinstance(reply, self._unknown_script)]
        if unknown:
            # A Redis that was restarted or flushed: it has run none of these, so they can be sent again.
            for script in SCRIPTS:
                await self._client.script_load(script.text)
            again = await super()._send([commands[place] for place in unknown])
            for place, reply in zip(unknown, again, strict=True):
                replies[place] = reply
        return replies

    def _read(self, reply: Any) -> Any:
        return orjson.loads(reply)
