"""The real gateway as a process of its own, configured in front of the stand-in providers."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
import yaml

START_S = 120.0
STOP_S = 15.0
APPEARS_S = 10.0
PAUSE_S = 0.05
REPOSITORY = Path(__file__).parents[2]

# `make test-clients` runs these tests with newer clients than the gateway's environment can hold;
# the gateway itself then runs in its own.
_GATEWAY_PYTHON = os.environ.get("TEST_GATEWAY_PYTHON", sys.executable)


class GatewayProcess:
    """``ponder serve`` with a home of its own; its log goes to ``home/gateway.log``.

    ``code`` is the checkout that it is started from, which may be changed between two starts.
    """

    def __init__(
        self,
        home: Path,
        configuration: Mapping[str, Any] | str,
        secrets: Mapping[str, str],
        *,
        code: Path = REPOSITORY,
    ) -> None:
        self.code = code
        self._home = home
        self._secrets = dict(secrets)
        self._process: subprocess.Popen[bytes] | None = None
        self.port = _free_port()
        self.log_file = home / "gateway.log"
        home.mkdir(parents=True, exist_ok=True)
        self.configure(configuration)

    @property
    def home(self) -> Path:
        """The folder with its database, journal, keys and log."""
        return self._home

    def configure(self, configuration: Mapping[str, Any] | str) -> None:
        """Write ``ponder.yaml``, as settings or as it shall stand there; a running gateway notices."""
        text = configuration if isinstance(configuration, str) else yaml.safe_dump(dict(configuration))
        (self._home / "ponder.yaml").write_text(text, "utf-8")

    @property
    def pid(self) -> int:
        """The process's number."""
        assert self._process is not None
        return self._process.pid

    def send_signal(self, number: signal.Signals) -> None:
        """Send the process a signal."""
        assert self._process is not None
        self._process.send_signal(number)

    def wait(self) -> int:
        """Wait until the process has ended; its exit code."""
        assert self._process is not None
        return self._process.wait(STOP_S)

    def cpu_s(self) -> float:
        """User and system seconds that the process has spent."""
        assert self._process is not None
        fields = Path(f"/proc/{self._process.pid}/stat").read_text("ascii").rpartition(") ")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def resident_bytes(self) -> int:
        """The process's resident memory."""
        assert self._process is not None
        status = Path(f"/proc/{self._process.pid}/status").read_text("ascii")
        return int(status.partition("VmRSS:")[2].split()[0]) * 1024

    def open_files(self) -> int:
        """How many files and sockets the process holds open."""
        assert self._process is not None
        return len(list(Path(f"/proc/{self._process.pid}/fd").iterdir()))

    @property
    def address(self) -> str:
        """``http://127.0.0.1:PORT``."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def key(self) -> str:
        """The virtual key that the first start wrote."""
        return (self._home / "default.key").read_text("utf-8").strip()

    @property
    def log(self) -> str:
        """Everything the process has said so far."""
        return self.log_file.read_text("utf-8", "replace")

    def __enter__(self) -> Self:
        environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(self.code),
            "PONDER_HOST": "127.0.0.1",
            "PONDER_PORT": str(self.port),
            "PONDER_HOME": str(self._home),
            "PONDER_CONFIG": str(self._home / "ponder.yaml"),
            **self._secrets,
        }
        with self.log_file.open("wb") as log:
            self._process = subprocess.Popen(
                [_GATEWAY_PYTHON, "-m", "gateway.cli", "serve"],
                cwd=self._home,
                env=environment,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        try:
            self._wait_until_ready(self._process)
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def _wait_until_ready(self, process: subprocess.Popen[bytes]) -> None:
        end = time.monotonic() + START_S
        while time.monotonic() < end:
            if process.poll() is not None:
                raise RuntimeError(f"the gateway ended with {process.returncode} at start:\n{self.log}")
            try:
                if httpx.get(f"{self.address}/health/ready", timeout=2).status_code == httpx.codes.OK:
                    return
            except httpx.TransportError:
                pass
            time.sleep(PAUSE_S)
        raise RuntimeError(f"the gateway was not ready within {START_S} s:\n{self.log}")

    def _stop(self) -> None:
        if self._process is None or self._process.poll() is not None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def post(self, path: str, **options: Any) -> httpx.Response:
        """POST with the gateway's key; ``options`` are httpx's."""
        headers = {"authorization": f"Bearer {self.key}", "content-type": "application/json"}
        headers |= options.pop("headers", {})
        return httpx.post(f"{self.address}{path}", headers=headers, timeout=30, **options)

    def get(self, path: str, **headers: str) -> httpx.Response:
        """GET with the gateway's key."""
        return httpx.get(
            f"{self.address}{path}", headers={"authorization": f"Bearer {self.key}", **headers}, timeout=30
        )

    def record(self, request_id: str) -> dict[str, Any]:
        """The record of a request, once the background writer has stored it."""

        def find() -> Any:
            answer = self.get(f"/v1/requests/{request_id}")
            return answer.json() if answer.status_code == httpx.codes.OK else None

        record: dict[str, Any] = awaited(find, f"a record of {request_id}")
        return record

    def log_line(self, request_id: str) -> dict[str, Any]:
        """The log line of a request, once it has been written."""

        def find() -> Any:
            lines = [line for line in self.log.splitlines() if request_id in line]
            return json.loads(lines[0]) if lines else None

        line: dict[str, Any] = awaited(find, f"a log line of {request_id}")
        return line


def awaited(find: Callable[[], Any], what: str, *, within_s: float = APPEARS_S) -> Any:
    """What ``find`` returns, as soon as that is something."""
    end = time.monotonic() + within_s
    while not (found := find()):
        if time.monotonic() > end:
            raise AssertionError(f"{what} did not appear within {within_s:g} s")
        time.sleep(PAUSE_S)
    return found


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
