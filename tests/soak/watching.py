"""What gateways hold while they run: memory and open files, every few seconds."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from tests.upstreams.gateway_process import GatewayProcess

_EVERY_S = 2.0


@dataclass(frozen=True, slots=True)
class Sample:
    """One gateway at one moment of the monotonic clock."""

    at: float
    gateway: int
    resident_mib: float
    open_files: int


class Watch:
    """Samples every gateway in a thread of its own, from entering until leaving."""

    def __init__(self, gateways: Sequence[GatewayProcess]) -> None:
        self.samples: list[Sample] = []
        self._gateways = gateways
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="soak-watch")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(_EVERY_S):
            for number, gateway in enumerate(self._gateways):
                # A gateway that is being killed or started has no such file, or one without an end.
                with suppress(OSError, IndexError):
                    resident = gateway.resident_bytes() / 2**20
                    self.samples.append(Sample(time.monotonic(), number, resident, gateway.open_files()))
