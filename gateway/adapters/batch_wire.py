"""What the batch endpoints of all providers share: small JSON calls, and results that come as lines."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Mapping
from typing import Any
from urllib.parse import quote

from gateway.adapters.transport import Transport
from gateway.dialects.json_bytes import loads
from gateway.domain.chat import Dialect
from gateway.errors import InvalidRequest, UpstreamFailed
from gateway.ports import UpstreamCall

_log = logging.getLogger(__name__)
CALL_S = 60.0
"""For a call that answers at once."""
TRANSFER_S = 600.0
"""For one that carries the requests of a batch, or its results."""
_MOST_LINE_BYTES = 64 * 1024 * 1024


async def post(transport: Transport, path: str, body: bytes, content_type: str, *, timeout_s: float) -> dict[str, Any]:
    """POST to a batch endpoint; the JSON object that it answers. Raises UpstreamError."""
    call = UpstreamCall(
        dialect=Dialect.OPENAI_CHAT,
        path=path,
        body=body,
        is_stream=False,
        request_id="",
        deadline_s=timeout_s,
        first_byte_s=timeout_s,
        idle_s=timeout_s,
    )
    async with transport.post(call, {"content-type": content_type}) as reply:
        return read_object(transport.name, path, await reply.read())


async def lines(transport: Transport, path: str) -> AsyncIterator[dict[str, Any]]:
    """The JSON objects of a file, one a line, as they come. Raises UpstreamError.

    A line that is none is passed over, with a word in the log: asking again would bring it again.
    """
    rest = b""
    async with transport.fetch(path, timeout_s=TRANSFER_S) as reply:
        async for chunk in reply.chunks():
            *whole, rest = (rest + chunk).split(b"\n")
            for line in whole:
                if (document := _read_line(transport.name, line)) is not None:
                    yield document
            if len(rest) > _MOST_LINE_BYTES:
                raise UpstreamFailed(f"upstream {transport.name} sent a result larger than {_MOST_LINE_BYTES} bytes")
    if (document := _read_line(transport.name, rest)) is not None:
        yield document


def _read_line(name: str, line: bytes) -> dict[str, Any] | None:
    if not line.strip():
        return None
    try:
        return read_object(name, "a result line", line)
    except UpstreamFailed as fault:
        _log.warning("a line of a batch's results is passed over: %s", fault.message)
        return None


def read_object(name: str, path: str, raw: bytes) -> dict[str, Any]:
    """A JSON object that an upstream sent. Raises UpstreamFailed for anything else."""
    try:
        document = loads(raw)
    except InvalidRequest as fault:
        raise UpstreamFailed(f"upstream {name} did not answer {path} with JSON") from fault
    if not isinstance(document, dict):
        raise UpstreamFailed(f"upstream {name} did not answer {path} with a JSON object")
    return document


def text_of(document: Mapping[str, Any], name: str, upstream: str) -> str:
    """A member that must be text. Raises UpstreamFailed."""
    value = document.get(name)
    if not isinstance(value, str) or not value:
        raise UpstreamFailed(f"upstream {upstream} answered a batch without {name!r}")
    return value


def quoted(identity: str) -> str:
    """An id as part of a path."""
    return quote(identity, safe="")
