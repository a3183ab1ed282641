"""Holds whose lease ran out before anybody said how they ended, and what the log says of them.

A process that is killed takes with it what it had not told Redis yet: such a hold lapses and counts as spent at
its ceiling. The log knows better, once that process's journal has been moved there: what the request was charged,
or that it had not called any model and is not on record at all. So every lapsed hold is looked up there, and ends as
the log has it. One of a process whose journal nobody has found stays spent, and is looked up again, until it is
forgotten (``limits_prelude.KEPT_MS``): rather too much counted than too little.
"""

from __future__ import annotations

from collections.abc import Sequence

from gateway.adapters import limits_scripts as scripts
from gateway.adapters.limits_alone import SpendingLog
from gateway.adapters.limits_line import RedisLine
from gateway.adapters.limits_presence import require_books
from gateway.adapters.limits_wire import Wire
from gateway.domain.identity import id_time
from gateway.domain.money import ZERO

_AT_ONCE = 200


class Lapsed:
    """Ends lapsed holds as the log has them."""

    def __init__(self, line: RedisLine, wire: Wire, log: SpendingLog) -> None:
        self._line = line
        self._wire = wire
        self._log = log

    async def settle(self, *, gone: Sequence[str], now: float) -> int:
        """Look the next ones up, and end those that the log knows; how many that were.

        ``gone`` are processes whose journals are wholly in the log by now. Raises StoreAway, and Unavailable
        where the log cannot be read.
        """
        reply = await self._line.call(scripts.LAPSED, self._wire.ask(now, {"gone": list(gone), "most": _AT_ONCE}))
        require_books(reply)
        # Batches hold money under ids of their own, which no request has: whoever runs them settles them.
        found = {each["id"]: each["is_gone"] for each in reply.get("lapsed", ()) if id_time(each["id"]) is not None}
        if not found:
            return 0
        charged = await self._log.charged(list(found))
        ended = 0
        for request_id, is_gone in found.items():
            if request_id in charged or is_gone:
                ask = self._wire.late_end(request_id, charged.get(request_id, ZERO), now)
                ended += bool((await self._line.call(scripts.END, ask))["done"])
        return ended
