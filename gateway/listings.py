"""What providers say of their own models, asked in the background: at start, and whenever upstreams change.

Only Anthropic's list says what a model takes. A provider that does not answer costs nothing but a
line in the log: the table of :mod:`gateway.domain.capability_table` holds until it does.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping

from gateway.adapters.anthropic_upstream import AnthropicUpstream
from gateway.adapters.model_facts import ReportedModel, read_reported
from gateway.errors import UpstreamError
from gateway.ports import Upstream

TIMEOUT_S = 10.0
_log = logging.getLogger(__name__)


class Listings:
    """The models of each upstream as it reports them, by upstream and by its own name for them."""

    def __init__(self, *, timeout_s: float = TIMEOUT_S) -> None:
        self._timeout_s = timeout_s
        self._asked: dict[str, Upstream] = {}
        self._asking: set[asyncio.Task[None]] = set()
        self.reported: Mapping[str, Mapping[str, ReportedModel]] = {}

    def ask(self, upstreams: Mapping[str, Upstream], on_change: Callable[[], None]) -> None:
        """Ask those that were not asked before; ``on_change`` is called when they say something new."""
        for name, upstream in upstreams.items():
            if isinstance(upstream, AnthropicUpstream) and self._asked.get(name) is not upstream:
                self._asked[name] = upstream
                asking = asyncio.create_task(self._ask(name, upstream, on_change), name=f"listing of {name}")
                self._asking.add(asking)
                asking.add_done_callback(self._asking.discard)

    async def _ask(self, name: str, upstream: AnthropicUpstream, on_change: Callable[[], None]) -> None:
        try:
            entries = await upstream.models(timeout_s=self._timeout_s)
        except UpstreamError as fault:
            _log.warning(
                "upstream %s did not say what its models take, so the built-in table holds: %s", name, fault.message
            )
            return
        told = {entry["id"]: read_reported(entry) for entry in entries}
        if told != self.reported.get(name):
            self.reported = {**self.reported, name: told}
            on_change()

    async def close(self) -> None:
        """Stop asking."""
        asking = tuple(self._asking)
        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)
