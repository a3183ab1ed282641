"""The background lane put together: its stores, its endpoints and its runner."""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence

from fastapi import APIRouter

from gateway.background.provider import ProviderLane
from gateway.background.runner import Runner
from gateway.background.steward import Steward
from gateway.flow.house import House
from gateway.http import batches, files, responses
from gateway.http.responses import BackgroundIntake
from gateway.http.shelf import Shelf
from gateway.ports import KeyDirectory
from gateway.settings import BackgroundSettings
from gateway.store.base import Database
from gateway.store.batches import Batches
from gateway.store.connections import Connections
from gateway.store.files import Files
from gateway.store.jobs import Jobs

_CONNECTIONS = 4


class BackgroundLane:
    """Everything that answers requests later."""

    def __init__(self, database: Database, house: House, keys: KeyDirectory, terms: BackgroundSettings) -> None:
        # Names this start of this process: what an earlier one left under its leases is not ours.
        owner = f"{socket.gethostname()}:{os.getpid()}:{os.urandom(4).hex()}"
        self._connections = Connections(database, most=_CONNECTIONS)
        shelf = Shelf(
            house=house,
            jobs=Jobs(self._connections, owner),
            files=Files(self._connections),
            batches=Batches(self._connections, owner),
            terms=terms,
            ring=self._ring,
        )
        self._runner = Runner(shelf, keys, Steward(shelf, ProviderLane(shelf, keys)))
        self._runner.watch(house.meter)
        self.intake = BackgroundIntake(shelf)
        self.routers: Sequence[APIRouter] = [each.router(house, shelf) for each in (responses, files, batches)]

    def _ring(self) -> None:
        self._runner.ring()

    def degraded(self) -> tuple[str, ...]:
        """What is not as it should be, in words for an operator."""
        fault = self._runner.last_error
        return () if fault is None else (f"background work waits: {fault}",)

    def start(self) -> None:
        """Begin to work; call once, in the event loop."""
        self._runner.start()

    async def close(self, *, within_s: float) -> None:
        """Let what runs end in the given time, put the rest back, and close the connections."""
        await self._runner.close(within_s=within_s)
        await self._connections.close()
