"""A real Redis for the tests of limits, and the event loops that the HTTP client is tested on."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
import uvloop

from tests.adapters.redis_server import RedisServer

_ON_BOTH_LOOPS = ("test_wire", "test_pool", "test_transport")


def pytest_asyncio_loop_factories(item: pytest.Item) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """The HTTP client runs on uvloop when serving, and on asyncio's own loop wherever that is missing."""
    if item.path.name.startswith(_ON_BOTH_LOOPS):
        return {"uvloop": uvloop.new_event_loop, "asyncio": asyncio.new_event_loop}
    return {"asyncio": asyncio.new_event_loop}


@pytest.fixture(scope="session")
def shared_redis() -> Iterator[RedisServer]:
    """A Redis that no test stops; each test takes a prefix of its own."""
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
