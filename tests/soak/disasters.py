"""What is done to an installation on purpose, each with its end: killed and started again, cut and mended."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tests.soak.installation import Installation
from tests.soak.load import Load
from tests.soak.relay import Relay, Way
from tests.soak.upstream import Mood

_EBB_S = 1.0
"""How long after a change of the provider's mood answers of the one before may still come."""


@dataclass(frozen=True, slots=True)
class Disaster:
    """Something that goes wrong: its name, and what does it and mends it."""

    name: str
    happen: Callable[[], None]


class Disasters:
    """Does them to one installation under one load."""

    def __init__(self, installation: Installation, load: Load) -> None:
        self._installation = installation
        self._load = load

    def kill_gateway(self, number: int) -> None:
        """SIGKILL, and a new process in its home, which adopts its journal."""
        gateway = self._installation.gateways[number]
        self._load.places[number].is_killed = True
        gateway.send_signal(signal.SIGKILL)
        gateway.wait()
        gateway.__enter__()
        self._load.places[number].is_killed = False
        self._load.await_ready(number)

    def stop_gateway(self, number: int) -> None:
        """SIGTERM, as a roll-out does, and a new process in its home."""
        gateway = self._installation.gateways[number]
        gateway.send_signal(signal.SIGTERM)
        code = gateway.wait()
        assert code == 0, f"gateway {number} ended with {code}:\n{gateway.log[-2000:]}"
        gateway.__enter__()
        self._load.await_ready(number)

    def kill_helper(self, number: int) -> None:
        """SIGKILL to a worker or the beat, and a new process."""
        helper = self._installation.helpers[number]
        helper.kill()
        helper.start()

    def kill_redis(self, away_s: float) -> None:
        """A crash of Redis, which loses all that it had."""
        self._installation.redis.kill()
        time.sleep(away_s)
        self._installation.redis.start()

    def kill_postgres(self, away_s: float) -> None:
        """A crash of PostgreSQL."""
        self._installation.postgres.kill()
        time.sleep(away_s)
        self._installation.postgres.start()

    def cut_redis(self, way: Way, for_s: float) -> None:
        """No way to Redis for a while."""
        with _cut(self._installation.to_redis, way):
            time.sleep(for_s)

    def cut_postgres(self, way: Way, for_s: float) -> None:
        """No way to PostgreSQL for a while."""
        with _cut(self._installation.to_postgres, way):
            time.sleep(for_s)

    def trouble_provider(self, mood: Mood, for_s: float) -> None:
        """One of two providers fails for a while."""
        self._load.expects_cuts = mood is Mood.CUTS
        self._installation.provider.set(mood)
        time.sleep(for_s)
        self._installation.provider.set(Mood.WELL)
        time.sleep(_EBB_S)
        self._load.expects_cuts = False


@contextmanager
def _cut(relay: Relay, way: Way) -> Iterator[None]:
    relay.set(way)
    try:
        yield
    finally:
        relay.set(Way.PASS)
