"""Bytes sent to a server as they are, and what it answers until it closes or falls silent."""

from __future__ import annotations

import re
import socket

PATIENCE_S = 20.0
_STATUS = re.compile(rb"HTTP/1\.[01] (\d{3}) ")
END = b"GET /health/live HTTP/1.1\r\nhost: end\r\nconnection: close\r\n\r\n"
"""A last request: its answer ends the connection, so that nobody has to wait for silence."""


def exchange(port: int, data: bytes) -> bytes:
    """Everything that is answered to these bytes, to the end of the connection."""
    with socket.create_connection(("127.0.0.1", port), PATIENCE_S) as connection:
        connection.sendall(data)
        pieces = []
        try:
            while piece := connection.recv(65536):
                pieces.append(piece)
        except ConnectionResetError:  # closed with bytes of ours unread: refused, which is what some tests are for
            pass
    return b"".join(pieces)


def statuses(answer: bytes) -> list[int]:
    """The status of each answer."""
    return [int(status) for status in _STATUS.findall(answer)]
