"""A real Redis for the tests of limits, started once; each test takes a prefix of its own."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.adapters.redis_server import RedisServer


@pytest.fixture(scope="session")
def shared_redis() -> Iterator[RedisServer]:
    """A server that no test stops."""
    yield from _server()


@pytest.fixture
def own_redis() -> Iterator[RedisServer]:
    """A server that the test may kill, freeze and start anew."""
    yield from _server()


def _server() -> Iterator[RedisServer]:
    # Not pytest's temporary folder: its path is too long for a socket.
    with tempfile.TemporaryDirectory(prefix="ponder-redis-") as folder:
        server = RedisServer(Path(folder))
        server.start()
        yield server
        server.thaw()
        server.kill()
