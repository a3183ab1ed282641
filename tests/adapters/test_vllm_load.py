"""Tests of gateway/adapters/vllm_load.py, against a server of metrics."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from gateway.adapters.vllm_load import FRESH_S, STALE_S, VllmLoads, read_load
from gateway.adapters.vllm_upstream import VllmUpstream
from gateway.domain.chat import Dialect
from gateway.search_ports import Load
from tests.clock import SetClock
from tests.flow.scripted import ScriptedUpstream

PAGE = (
    "# TYPE vllm:num_requests_waiting gauge\n"
    'vllm:num_requests_waiting{engine="0",model_name="m"} 3.0\n'
    'vllm:num_requests_waiting{engine="1",model_name="m"} 1.0\n'
    'vllm:num_requests_waiting_by_reason{engine="0"} 9.0\n'
    'vllm:num_requests_running{engine="0"} 8.0\n'
    'vllm:kv_cache_usage_perc{engine="0"} 0.25\n'
    'vllm:kv_cache_usage_perc{engine="1"} 0.5\n'
)


class _Metrics:
    """A server that counts how often its metrics are asked for."""

    def __init__(self) -> None:
        self.page, self.status, self.asked = PAGE, 200, 0

    async def answer(self, _request: web.Request) -> web.Response:
        """The page as it is now."""
        self.asked += 1
        return web.Response(text=self.page, status=self.status)


@pytest.fixture
async def served() -> AsyncIterator[tuple[_Metrics, VllmUpstream]]:
    """A server of metrics, and the upstream that it is."""
    metrics = _Metrics()
    app = web.Application()
    app.add_routes([web.get("/metrics", metrics.answer)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    upstream = VllmUpstream(
        name="gpu",
        base_url=f"http://127.0.0.1:{runner.addresses[0][1]}/v1",
        api_key=None,
        dialects=(Dialect.OPENAI_CHAT,),
        headers={},
        connections=2,
    )
    yield metrics, upstream
    await upstream.close()
    await runner.cleanup()


def test_a_page_of_several_engines_is_one_load() -> None:
    """Queues add up, the fullest cache counts, and metrics of similar names do not."""
    assert read_load(PAGE) == Load(waiting=4.0, running=8.0, cache_use=0.5)
    assert read_load("nothing of ours 1\n") is None


async def test_a_server_is_asked_once_and_again_when_its_word_is_old(
    served: tuple[_Metrics, VllmUpstream],
) -> None:
    """The first question has no answer yet; a fresh one is kept, an old one renewed, a stale one forgotten."""
    metrics, upstream = served
    clock = SetClock(at=100.0)
    loads = VllmLoads(lambda: {"gpu": upstream}, clock)
    assert loads.of("gpu") is None
    assert loads.of("gpu") is None
    await loads.settled()
    assert (loads.of("gpu"), metrics.asked) == (Load(4.0, 8.0, 0.5), 1)
    clock.at += FRESH_S
    assert loads.of("gpu") == Load(4.0, 8.0, 0.5)
    await loads.settled()
    assert metrics.asked == 2
    clock.at += STALE_S
    assert loads.of("gpu") is None
    await loads.settled()


async def test_a_server_that_does_not_tell_has_no_load(served: tuple[_Metrics, VllmUpstream]) -> None:
    """A refusal is no load, and neither is an upstream of another kind or an unknown one."""
    metrics, upstream = served
    metrics.status = 500
    other = ScriptedUpstream(Dialect.OPENAI_CHAT)
    loads = VllmLoads(lambda: {"gpu": upstream, "other": other}, SetClock(at=100.0))
    loads.of("gpu")
    await loads.settled()
    assert [loads.of(name) for name in ("gpu", "other", "nobody")] == [None, None, None]
    await loads.settled()
