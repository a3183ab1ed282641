"""Commands to one Redis: those that are sent at the same time travel together, each within its time.

A command from an idle gateway is sent at once. Under load, those that come while others are under way
share the next pipeline, which costs a third of the processor time of single commands. A caller that is
cancelled does not break the pipeline of the others; what Redis did for it is not known then.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from itertools import zip_longest
from typing import Any, Final, NamedTuple, TypeAlias

from gateway.errors import PonderError

Command: TypeAlias = tuple[str | bytes | int, ...]

_PIPELINES = 4
_CALLS_PER_PIPELINE = 64
_MISSING: Final = object()


class StoreAway(PonderError):
    """Redis did not answer, or not with an answer; whether it has done what was asked is not known.

    Never reaches a caller of the gateway: whoever asks Redis goes on without it, or says Unavailable.
    """


class _Call(NamedTuple):
    command: Command
    answer: asyncio.Future[Any]


class RedisPipelines:
    """Sends commands to one Redis, in pipelines, and gives each caller its reply."""

    def __init__(self, url: str, *, timeout_s: float) -> None:
        import redis.asyncio  # a third of a second and 40 MB, of no use to a gateway without Redis

        self._faults = (redis.RedisError, OSError, TimeoutError)
        self._client: Any = redis.asyncio.Redis.from_url(
            url,
            protocol=2,
            max_connections=2 * _PIPELINES,  # some may still be closing
            socket_connect_timeout=timeout_s,
            # The pipeline as a whole is timed; a timer per read and write would cost a task each.
            socket_timeout=None,
            # What is repeated, and when, is decided by the callers, who know what is safe.
            retry=None,
        )
        self._timeout_s = timeout_s
        self._waiting: deque[_Call] = deque()
        self._pipelines: set[asyncio.Task[None]] = set()
        self._is_scheduled = False

    def submit(self, *command: str | bytes | int) -> asyncio.Future[Any]:
        """The reply, to come; StoreAway when there is none in time."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Any] = loop.create_future()
        self._waiting.append(_Call(command, answer))
        if not self._is_scheduled:
            self._is_scheduled = True
            loop.call_soon(self._dispatch)
        return answer

    async def close(self) -> None:
        """Let what is under way end, and close the connections."""
        while self._waiting or self._pipelines:
            await (asyncio.wait(self._pipelines) if self._pipelines else asyncio.sleep(0))
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
                replies = await self._send([call.command for call in calls])
        except self._faults as fault:
            # Whoever waits behind would only wait as long again.
            calls += self._waiting
            self._waiting.clear()
            replies = [fault] * len(calls)
        finally:
            for call, reply in zip_longest(calls, replies, fillvalue=_MISSING):
                if isinstance(call, _Call) and not call.answer.done():
                    self._answer(call.answer, reply)

    async def _send(self, commands: Sequence[Command]) -> list[Any]:
        """The replies in their order, an error of Redis' own in the place of one."""
        pipeline = self._client.pipeline(transaction=False)
        for command in commands:
            pipeline.execute_command(*command)
        replies: list[Any] = await pipeline.execute(raise_on_error=False)
        return replies

    def _answer(self, answer: asyncio.Future[Any], reply: Any) -> None:
        if reply is not _MISSING and not isinstance(reply, BaseException):
            answer.set_result(self._read(reply))
            return
        away = StoreAway(f"Redis gave no answer ({_reason(reply)})")
        away.__cause__ = reply if isinstance(reply, BaseException) else None
        answer.set_exception(away)

    def _read(self, reply: Any) -> Any:
        """A reply as its caller gets it."""
        return reply


def _reason(fault: object) -> str:
    """What happened, without what was sent: an error's first word is Redis's own code for it."""
    if not isinstance(fault, BaseException):
        return "the call was given up"
    code = str(fault).split(" ", 1)[0]
    return f"{type(fault).__name__} {code}" if code.isupper() else type(fault).__name__
