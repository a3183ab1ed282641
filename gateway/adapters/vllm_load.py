"""How busy vLLM servers are, from their Prometheus metrics: asked for when somebody wants to know, and not more often.

https://docs.vllm.ai/en/stable/usage/metrics.html
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from gateway.adapters.vllm_upstream import VllmUpstream
from gateway.errors import PonderError
from gateway.ports import Clock, Upstream
from gateway.search_ports import Load

FRESH_S: Final = 1.0
"""An answer that is older is asked for again."""
STALE_S: Final = 5.0
"""One that is older than this says nothing any more."""
_TIMEOUT_S: Final = 1.0
_SAMPLE: Final = re.compile(
    r"^vllm:(num_requests_waiting|num_requests_running|kv_cache_usage_perc)(?:\{[^}\n]*\})? (\d[\d.eE+-]*)$",
    re.MULTILINE,
)


@dataclass(slots=True)
class _Known:
    at: float
    load: Load | None = None


class VllmLoads:
    """Satisfies :class:`gateway.search_ports.LoadSignals` for the vLLM servers among the upstreams."""

    def __init__(self, upstreams: Callable[[], Mapping[str, Upstream]], clock: Clock) -> None:
        self._upstreams = upstreams
        self._clock = clock
        self._known: dict[str, _Known] = {}
        self._asking: dict[str, asyncio.Task[None]] = {}

    def of(self, upstream: str) -> Load | None:
        """The latest word of a server; a first or an old one is asked for meanwhile."""
        server = self._upstreams().get(upstream)
        if not isinstance(server, VllmUpstream):
            return None
        now, known = self._clock.monotonic(), self._known.get(upstream)
        if (known is None or now - known.at >= FRESH_S) and upstream not in self._asking:
            task = self._asking[upstream] = asyncio.create_task(self._ask(upstream, server))
            task.add_done_callback(lambda _task: self._asking.pop(upstream, None))
        return None if known is None or now - known.at >= STALE_S else known.load

    async def settled(self) -> None:
        """Wait until every question under way has been answered."""
        while self._asking:
            await asyncio.wait(self._asking.values())

    async def _ask(self, upstream: str, server: VllmUpstream) -> None:
        try:
            async with server.metrics(timeout_s=_TIMEOUT_S) as reply:
                page = (await reply.read()).decode("utf-8", "replace")
        except PonderError:
            load = None
        else:
            load = read_load(page)
        self._known[upstream] = _Known(self._clock.monotonic(), load)


def read_load(page: str) -> Load | None:
    """The load that a page of metrics tells: queues of all engines together, the fullest cache."""
    told: dict[str, list[float]] = {}
    for name, value in _SAMPLE.findall(page):
        told.setdefault(name, []).append(float(value))
    if "num_requests_waiting" not in told:
        return None
    return Load(
        waiting=sum(told["num_requests_waiting"]),
        running=sum(told.get("num_requests_running", ())),
        cache_use=max(told.get("kv_cache_usage_perc", (0.0,))),
    )
