"""uvicorn's server, which lets requests end before it does, and cancels those that have not when their time is over."""

from __future__ import annotations

import asyncio
import socket

import uvicorn

from gateway.flow.house import House


class DrainingServer(uvicorn.Server):
    """Tells the house before requests are cancelled that it is not their clients who left."""

    def __init__(self, config: uvicorn.Config, house: House) -> None:
        super().__init__(config)
        self._house = house

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop in order; what is under way is given ``timeout_graceful_shutdown`` seconds."""
        # uvicorn begins to count a moment later: it is never the first to be done.
        telling = asyncio.get_running_loop().call_later(self.config.timeout_graceful_shutdown or 0, self._tell)
        try:
            await super().shutdown(sockets)
        finally:
            telling.cancel()

    def _tell(self) -> None:
        self._house.is_stopping = True
