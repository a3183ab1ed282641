"""Asks the running gateway over HTTP, as its commands do."""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping
from typing import Any

from gateway.errors import ConfigurationError, NotFound, Unauthenticated, Unavailable
from gateway.settings import Places

_TIMEOUT_S = 10
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104 - mapped to loopback, not bound


def reachable_host(host: str) -> str:
    """Where to reach a server that listens on ``host``."""
    return _EVERYWHERE.get(host, host)


def url_of(places: Places) -> str:
    """The gateway's address, for people to click on."""
    host = reachable_host(places.host)
    return f"http://[{host}]:{places.port}" if ":" in host else f"http://{host}:{places.port}"


def caller_key(places: Places, environment: Mapping[str, str]) -> str:
    """PONDER_KEY, or the key in PONDER_HOME. Raises ConfigurationError if there is neither."""
    if key := environment.get("PONDER_KEY"):
        return key
    try:
        return places.default_key_file.read_text("utf-8").strip()
    except OSError as fault:
        raise ConfigurationError(
            f"no key: set PONDER_KEY, or PONDER_HOME to the folder that holds default.key "
            f"({places.default_key_file}: {fault.strerror})"
        ) from fault


def get(places: Places, path: str, key: str) -> Any:
    """The JSON that the gateway answers to ``GET path``. Raises PonderError."""
    connection = http.client.HTTPConnection(reachable_host(places.host), places.port, timeout=_TIMEOUT_S)
    try:
        connection.request("GET", path, headers={"Authorization": f"Bearer {key}"})
        response = connection.getresponse()
        status, body = response.status, response.read()
    except (OSError, http.client.HTTPException) as fault:
        raise Unavailable(f"no gateway answers at {url_of(places)}; start one with `ponder up`") from fault
    finally:
        connection.close()
    return _accepted(status, body)


def _accepted(status: int, body: bytes) -> Any:
    try:
        value = json.loads(body)
    except ValueError as fault:
        raise Unavailable(f"the gateway answered {status} with something that is not JSON") from fault
    if status == http.client.OK:
        return value
    error = value.get("error") if isinstance(value, dict) else None
    message = error.get("message") if isinstance(error, dict) else None
    kind = {http.client.UNAUTHORIZED: Unauthenticated, http.client.NOT_FOUND: NotFound}.get(status, Unavailable)
    raise kind(str(message or f"the gateway answered {status}"))
