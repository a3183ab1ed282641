"""uvicorn's server, which gives notice, lets requests end before it does, and cancels those that have not in time."""

from __future__ import annotations

import asyncio
import socket

import uvicorn

from gateway.flow.house import House

_TICK_S = 0.1
_DATED_EVERY = 10
_CLOSE = (b"connection", b"close")


class DrainingServer(uvicorn.Server):
    """Stops in order, and tells the house how far it is.

    For ``notice_s`` seconds after it was told to stop it is not ready and serves on: balancers take it out,
    and every answer asks its client to come back by another connection. So nobody sends a request to a
    socket that is being closed. Before requests are cancelled the house learns that it is not their
    clients who left.
    """

    def __init__(self, config: uvicorn.Config, house: House, *, notice_s: float = 0.0) -> None:
        super().__init__(config)
        self._house = house
        self._notice_s = notice_s

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop in order; what is under way is given ``timeout_graceful_shutdown`` seconds."""
        self._house.is_leaving = True
        await self._give_notice()
        # uvicorn begins to count a moment later: it is never the first to be done.
        telling = asyncio.get_running_loop().call_later(self.config.timeout_graceful_shutdown or 0, self._tell)
        try:
            await super().shutdown(sockets)
        finally:
            telling.cancel()

    async def _give_notice(self) -> None:
        for tick in range(round(self._notice_s / _TICK_S)):
            if self.force_exit:
                return
            if tick % _DATED_EVERY == 0:
                await self.on_tick(0)  # the date in answers, which nobody else sets any more
                self.server_state.default_headers = [*self.server_state.default_headers, _CLOSE]
            await asyncio.sleep(_TICK_S)

    def _tell(self) -> None:
        self._house.is_stopping = True
