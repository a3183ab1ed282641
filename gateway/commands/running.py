"""Asks the running gateway over HTTP, as its commands do."""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping
from typing import Any

from gateway.errors import (
    ConfigurationError,
    Conflict,
    Forbidden,
    InvalidRequest,
    NotFound,
    PonderError,
    Unauthenticated,
    Unavailable,
)
from gateway.settings import Places

_TIMEOUT_S = 10
_KINDS: Mapping[int, type[PonderError]] = {
    kind.status: kind for kind in (InvalidRequest, Unauthenticated, Forbidden, NotFound, Conflict)
}
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104 - mapped to loopback, not bound


def reachable_host(host: str) -> str:
    """Where to reach a server that listens on ``host``."""
    return _EVERYWHERE.get(host, host)


def url_of(places: Places) -> str:
    """The gateway's address, for people to click on."""
    return _url(places.host, places.port)


def _url(host: str, port: int) -> str:
    host = reachable_host(host)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


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


def admin_key(places: Places, environment: Mapping[str, str]) -> str:
    """PONDER_ADMIN_KEY, or the key to /admin in PONDER_HOME. Raises ConfigurationError if there is neither."""
    if key := environment.get("PONDER_ADMIN_KEY"):
        return key
    try:
        return places.admin_key_file.read_text("utf-8").strip()
    except OSError as fault:
        raise ConfigurationError(
            f"no admin key: set PONDER_ADMIN_KEY, or PONDER_HOME to the folder that holds admin.key "
            f"({places.admin_key_file}: {fault.strerror})"
        ) from fault


def get(places: Places, path: str, key: str) -> Any:
    """The JSON that the gateway answers to ``GET path``. Raises PonderError."""
    return _call((places.host, places.port), "GET", path, key)


def administer(
    places: Places, environment: Mapping[str, str], method: str, path: str, body: Mapping[str, Any] | None = None
) -> Any:
    """The JSON that the gateway answers under ``/admin``, to the admin key. Raises PonderError."""
    return _call(places.admin_address, method, f"/admin{path}", admin_key(places, environment), body)


def metrics(places: Places) -> str:
    """The gateway's metrics, as Prometheus reads them. Raises PonderError."""
    status, body = _exchange(places.admin_address, "GET", "/metrics", {})
    if status != http.client.OK:
        raise Unavailable(f"the gateway answered {status} for /metrics")
    return body.decode("utf-8", "replace")


def health(places: Places) -> Any:
    """What the gateway says of its health, whether it is ready or not. Raises PonderError."""
    status, body = _exchange(places.admin_address, "GET", "/health/ready", {})
    return _accepted(http.client.OK if status == http.client.SERVICE_UNAVAILABLE else status, body)


def _call(address: tuple[str, int], method: str, path: str, key: str, body: Mapping[str, Any] | None = None) -> Any:
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    return _accepted(*_exchange(address, method, path, headers, body))


def _exchange(
    address: tuple[str, int],
    method: str,
    path: str,
    headers: Mapping[str, str],
    body: Mapping[str, Any] | None = None,
) -> tuple[int, bytes]:
    host, port = address
    connection = http.client.HTTPConnection(reachable_host(host), port, timeout=_TIMEOUT_S)
    try:
        connection.request(method, path, None if body is None else json.dumps(body), dict(headers))
        response = connection.getresponse()
        return response.status, response.read()
    except (OSError, http.client.HTTPException) as fault:
        raise Unavailable(f"no gateway answers at {_url(host, port)}; start one with `ponder up`") from fault
    finally:
        connection.close()


def _accepted(status: int, body: bytes) -> Any:
    try:
        value = json.loads(body)
    except ValueError as fault:
        raise Unavailable(f"the gateway answered {status} with something that is not JSON") from fault
    if status in {http.client.OK, http.client.CREATED}:
        return value
    error = value.get("error") if isinstance(value, dict) else None
    message = error.get("message") if isinstance(error, dict) else None
    raise _KINDS.get(status, Unavailable)(str(message or f"the gateway answered {status}"))
