"""Templates made into pages, in a thread of their own, and parts of pages that many readers share for a moment."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from gateway.domain.money import show
from gateway.http.dashboard import words
from gateway.http.dashboard.assets import address_of
from gateway.ports import Clock

_KEPT_PARTS: Final = 64

Rendered: TypeAlias = Markup
"""HTML that a template made: safe to put into another as it is."""


class Pages:
    """The templates beside this module. What they are given is escaped; no text of a client is ever one."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        # One thread: however many look at the dashboard, serving competes with one page at a time.
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="ponder-dashboard")
        self._templates = Environment(
            loader=PackageLoader("gateway.http.dashboard"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        self._templates.filters.update(
            money=words.money,
            dollars=words.dollars,
            duration=words.duration,
            share=words.share,
            count=words.count,
            iso=words.iso,
            exact=show,
        )
        self._templates.globals["asset"] = address_of

    async def render(self, template: str, **values: Any) -> Rendered:
        """The template filled in."""
        return await self.in_thread(lambda: self.draw(template, **values))

    def draw(self, template: str, **values: Any) -> Rendered:
        """The same, in the thread that one is in already."""
        now = self._clock.now()
        filled = self._templates.get_template(template).render(
            **values,
            now=now,
            when=lambda moment: words.when(moment, now),
            ago=lambda moment: words.ago(moment, now),
        )
        return Markup(filled)  # noqa: S704 - every value in it was escaped, or is such a page itself

    async def in_thread(self, work: Callable[[], Rendered]) -> Rendered:
        """Do what takes a processor's time off the event loop."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)


@dataclass(frozen=True, slots=True)
class _Part:
    made: asyncio.Task[Rendered]
    until: float


class Parts:
    """Parts of pages, made once for all who ask within some seconds: ten readers cost what one does."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._parts: dict[Hashable, _Part] = {}

    async def get(self, name: Hashable, *, for_s: float, make: Callable[[], Awaitable[Rendered]]) -> Rendered:
        """The part of this name; ``make`` is asked where there is none as young as that. Holds nothing personal."""
        now = self._clock.monotonic()
        part = self._parts.get(name)
        if part is None or part.until <= now or _has_failed(part.made):
            self._parts = {each: kept for each, kept in self._parts.items() if kept.until > now}
            if len(self._parts) >= _KEPT_PARTS:
                self._parts.clear()
            part = _Part(asyncio.create_task(_made(make)), now + for_s)
            self._parts[name] = part
        # Shielded: that one reader leaves must not take the part from the others.
        return await asyncio.shield(part.made)

    def forget(self) -> None:
        """Make all parts anew: something was changed from here, and who did it looks for it next."""
        self._parts.clear()


async def _made(make: Callable[[], Awaitable[Rendered]]) -> Rendered:
    return await make()


def _has_failed(made: asyncio.Task[Rendered]) -> bool:
    return made.done() and (made.cancelled() or made.exception() is not None)
