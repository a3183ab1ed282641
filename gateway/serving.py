"""The gateway's process: its sockets, its signals, and the server between them and the application."""

from __future__ import annotations

import logging
import os
import resource
import signal
import socket
import sys

import uvicorn

from gateway.adapters.home_lock import serving_from
from gateway.app import Gateway
from gateway.errors import ConfigurationError
from gateway.http.draining import DrainingServer
from gateway.http.server import bounded_protocol
from gateway.settings import Places
from gateway.telemetry import configure_logging

_log = logging.getLogger(__name__)
_BACKLOG = 4096
_DRAIN_S = 30


def run(places: Places) -> int:
    """Serve until told to stop; the exit code. Raises ConfigurationError before anything is served."""
    configure_logging(sys.stderr)
    gateway = Gateway(places, os.environ)
    _allow_open_files(gateway.settings.limits.connections)
    server = DrainingServer(
        uvicorn.Config(
            gateway.app,
            host=places.host,
            port=places.port,
            loop="uvloop",
            http=bounded_protocol(gateway.settings.limits),
            ws="none",
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            backlog=_BACKLOG,
            timeout_keep_alive=75,
            timeout_graceful_shutdown=_DRAIN_S,
        ),
        gateway.house,
        notice_s=gateway.settings.shutdown.notice_s,
    )
    # Bound by us when there are two addresses: uvicorn binds one. A request tells by which it came.
    addresses = [(places.host, places.port), places.admin_address]
    # uvicorn raises the signal that ended it once more when it is done; after an orderly end that is no news.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    with serving_from(places.home, shares_limits=gateway.shares_limits):
        server.run([bound for each in addresses for bound in _listen(*each)] if places.admin_port else None)
    return 0 if server.started else 1


def _allow_open_files(connections: int) -> None:
    """Use all the open files that the system grants: common defaults are for programs with few connections."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    # Each client's connection may lead to one to an upstream.
    if hard != resource.RLIM_INFINITY and hard < 2 * connections:
        _log.warning(
            "limits.connections is %d, and the system grants %d open files; raise them (ulimit -n) to %d, or lower it",
            connections, hard, 2 * connections,
        )  # fmt: skip


def _listen(host: str, port: int) -> list[socket.socket]:
    """Sockets for all addresses of the host. Raises ConfigurationError when one of them cannot be had."""
    try:
        found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        return [
            socket.create_server(address[:2], family=family, backlog=_BACKLOG)
            for family, address in dict.fromkeys((each[0], each[4]) for each in found)
        ]
    except OSError as fault:
        raise ConfigurationError(f"cannot listen on {host}:{port} ({fault.strerror}); choose another") from fault
