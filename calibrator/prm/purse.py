"""A spending cap that holds whatever runs at the same time: the most of every call is set aside before it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from gateway.domain.money import ZERO, Usd, show
from gateway.errors import BudgetExhausted


class Purse:
    """What may be spent, what was, and what is set aside. None caps nothing."""

    def __init__(self, cap: Usd | None, spent: Callable[[], Usd]) -> None:
        """``spent`` says what was spent so far, earlier runs included."""
        self._cap = cap
        self._spent = spent
        self._held = ZERO
        self._changed = asyncio.Condition()

    @asynccontextmanager
    async def hold(self, most: Usd) -> AsyncIterator[None]:
        """Set money aside for one call, waiting until there is enough; what it came to is counted inside.

        Raises BudgetExhausted once there is too little and nothing under way that could leave some over.
        """
        async with self._changed:
            await self._changed.wait_for(lambda: self._fits(most) or not self._held)
            if not self._fits(most):
                raise BudgetExhausted(
                    f"the spending cap of ${show(self._cap or ZERO)} is reached: ${show(self._spent())} are spent, "
                    f"and the next call may cost ${show(most)}; run again with a higher cap to go on"
                )
            self._held = Usd(self._held + most)
        try:
            yield
        finally:
            async with self._changed:
                self._held = Usd(self._held - most)
                self._changed.notify_all()

    def _fits(self, most: Usd) -> bool:
        return self._cap is None or self._spent() + self._held + most <= self._cap
