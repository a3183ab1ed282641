"""The relay: it passes, refuses and falls silent as it is told."""

from __future__ import annotations

import socket
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.soak.relay import Relay, Way

PATIENCE_S = 20.0


@pytest.fixture
def target() -> Iterator[Path]:
    """A server on a Unix socket that says everything back."""
    with tempfile.TemporaryDirectory(prefix="ponder-echo-") as folder:
        path = Path(folder) / "echo.sock"
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(str(path))
            listening.listen()
            threading.Thread(target=_echo, args=(listening,), daemon=True).start()
            yield path
            listening.shutdown(socket.SHUT_RDWR)


def _echo(listening: socket.socket) -> None:
    while True:
        try:
            connection, _ = listening.accept()
        except OSError:
            return
        threading.Thread(target=_say_back, args=(connection,), daemon=True).start()


def _say_back(connection: socket.socket) -> None:
    with connection:
        while said := connection.recv(100):
            connection.sendall(said)


def test_a_relay_does_as_it_is_told(target: Path) -> None:
    """It passes bytes; silent, it holds them back and hands them on later; refusing, it ends and refuses all."""
    with Relay(str(target)) as relay:
        address = ("127.0.0.1", relay.port)
        connection = socket.create_connection(address, timeout=PATIENCE_S)
        connection.sendall(b"one")
        assert connection.recv(100) == b"one"
        relay.set(Way.SILENCE)
        connection.sendall(b"two")
        connection.settimeout(0.2)
        with pytest.raises(TimeoutError):
            connection.recv(100)
        relay.set(Way.PASS)
        connection.settimeout(PATIENCE_S)
        assert connection.recv(100) == b"two"
        relay.set(Way.REFUSE)
        assert connection.recv(100) == b""
        connection.close()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(address, timeout=PATIENCE_S)
        relay.set(Way.PASS)
        with socket.create_connection(address, timeout=PATIENCE_S) as again:
            again.sendall(b"three")
            assert again.recv(100) == b"three"
