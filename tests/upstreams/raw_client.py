"""HTTP by hand: requests that no client library would send, and connections that dawdle."""

from __future__ import annotations

import http.client
import socket
from types import TracebackType
from typing import Self

from tests.upstreams.gateway_process import GatewayProcess

WAIT_S = 20.0


class RawConnection:
    """One connection to a gateway; bytes go out as they are."""

    def __init__(self, gateway: GatewayProcess) -> None:
        self._socket = socket.create_connection(("127.0.0.1", gateway.port), timeout=WAIT_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()

    def send(self, data: bytes) -> None:
        """Send bytes."""
        self._socket.sendall(data)

    def answer(self, method: str = "POST") -> tuple[http.client.HTTPResponse, bytes]:
        """The answer to a request of this method, read whole."""
        response = http.client.HTTPResponse(self._socket, method=method)
        response.begin()
        return response, response.read()


def head(target: str, *headers: str, method: str = "POST") -> bytes:
    """The head of a request."""
    lines = (f"{method} {target} HTTP/1.1", "host: gateway", "content-type: application/json", *headers)
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n"


def chunked(*pieces: bytes) -> bytes:
    """A body in the chunked transfer encoding."""
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in (*pieces, b""))
