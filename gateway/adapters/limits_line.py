"""The line to Redis: scripts that are called at the same time travel together, each within its time.

A call from an idle gateway is sent at once. Under load, those that come while others are under way
share the next pipeline, which costs a third of the processor time of single calls. A caller that is
cancelled does not break the pipeline of the others; what Redis did for it is not known then.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from itertools import zip_longest
from typing import Any, NamedTuple

import orjson

from gateway.adapters.limits_scripts import SCRIPTS, Script
from gateway.errors import PonderError

_PIPELINES = 4
_CALLS_PER_PIPELINE = 64


class StoreAway(PonderError):
    """Redis did not answer, or not with an answer; whether it has done what was asked is not known.

    Never reaches a caller of the gateway: the purse turns it into Unavailable or serves without Redis.
    """


class _Call(NamedTuple):
    script: Script
    ask: bytes
    answer: asyncio.Future[dict[str, Any]]


class RedisLine:
    """Sends scripts to one Redis, in pipelines, and gives each caller its answer."""

    def __init__(self, url: str, *, books: str, timeout_s: float) -> None:
        import redis.asyncio  # a third of a second and 40 MB, of no use where limits are kept in memory

        self._faults = (redis.RedisError, OSError, TimeoutError)
        self._unknown_script = redis.exceptions.NoScriptError
        self._client: Any = redis.asyncio.Redis.from_url(
            url,
            protocol=2,
            max_connections=2 * _PIPELINES,  # some may still be closing
            socket_connect_timeout=timeout_s,
            # The pipeline as a whole is timed; a timer per read and write would cost a task each.
            socket_timeout=None,
            # What is repeated, and when, is decided by the purse, which knows what is safe.
            retry=None,
        )
        self._books = books
        self._timeout_s = timeout_s
        self._waiting: deque[_Call] = deque()
        self._pipelines: set[asyncio.Task[None]] = set()
        self._is_scheduled = False

    def call(self, script: Script, ask: dict[str, Any]) -> asyncio.Future[dict[str, Any]]:
        """The script's answer, to come; StoreAway when there is none in time."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[dict[str, Any]] = loop.create_future()
        self._waiting.append(_Call(script, orjson.dumps(ask), answer))
        if not self._is_scheduled:
            self._is_scheduled = True
            loop.call_soon(self._dispatch)
        return answer

    async def close(self) -> None:
        """Let what is under way end, and close the connections."""
        while self._pipelines:
            await asyncio.wait(self._pipelines)
        await self._client.aclose()

    def _dispatch(self) -> None:
        self._is_scheduled = False
        while self._waiting and len(self._pipelines) < _PIPELINES:
            calls = [self._waiting.popleft() for _ in range(min(len(self._waiting), _CALLS_PER_PIPELINE))]
            calls = [call for call in calls if not call.answer.cancelled()]
            if not calls:
                continue
            pipeline = asyncio.create_task(self._run(calls))
            self._pipelines.add(pipeline)
            pipeline.add_done_callback(self._finish)

    def _finish(self, pipeline: asyncio.Task[None]) -> None:
        self._pipelines.discard(pipeline)
        self._dispatch()

    async def _run(self, calls: list[_Call]) -> None:
        replies: Sequence[Any] = ()
        try:
            async with asyncio.timeout(self._timeout_s):
                replies = await self._send(calls)
        except self._faults as fault:
            # Whoever waits behind would only wait as long again.
            calls += self._waiting
            self._waiting.clear()
            replies = [fault] * len(calls)
        finally:
            for call, reply in zip_longest(calls, replies):
                _answer(call.answer, reply)

    async def _send(self, calls: Sequence[_Call]) -> list[Any]:
        replies = await self._execute(calls)
        unknown = [place for place, reply in enumerate(replies) if isinstance(reply, self._unknown_script)]
        if unknown:
            # A Redis that was restarted or flushed: it has run none of these, so they can be sent again.
            for script in SCRIPTS:
                await self._client.script_load(script.text)
            for place, reply in zip(unknown, await self._execute([calls[place] for place in unknown]), strict=True):
                replies[place] = reply
        return replies

    async def _execute(self, calls: Sequence[_Call]) -> list[Any]:
        pipeline = self._client.pipeline(transaction=False)
        for call in calls:
            pipeline.execute_command("EVALSHA", call.script.sha, 1, self._books, call.ask)
        replies: list[Any] = await pipeline.execute(raise_on_error=False)
        return replies


def _answer(answer: asyncio.Future[dict[str, Any]], reply: Any) -> None:
    if answer.done():
        return
    if isinstance(reply, bytes):
        answer.set_result(orjson.loads(reply))
        return
    away = StoreAway(f"Redis gave no answer ({_reason(reply)})")
    away.__cause__ = reply
    answer.set_exception(away)


def _reason(fault: BaseException | None) -> str:
    """What happened, without what was sent: an error's first word is Redis's own code for it."""
    if fault is None:
        return "the call was given up"
    code = str(fault).split(" ", 1)[0]
    return f"{type(fault).__name__} {code}" if code.isupper() else type(fault).__name__
