"""The faults, one function each; its name with dashes is the fault's name in an address."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import Awaitable, Callable
from typing import Final

from tests.upstreams.faulty_exchange import EVENTS_BEFORE_A_FAULT, Exchange

_Fault = Callable[[Exchange], Awaitable[None]]
FAULTS: Final[dict[str, _Fault]] = {}
METADATA_ADDRESS = "http://169.254.169.254/latest/meta-data/"
RETRY_AFTER_S = 7
PIECE = 64 * 1024
SETTLE_S = 0.05
"""Long enough for what was sent to be read: a reset discards the rest, and parsers must fail apart from it."""
OVERLONG_BYTES = 20 * 1024 * 1024
HUGE_BYTES = 512 * 1024 * 1024


def _fault(act: _Fault) -> _Fault:
    FAULTS[act.__name__.replace("_", "-")] = act
    return act


async def _begin_well(exchange: Exchange) -> None:
    """The valid beginning of a stream, and time for it to be read."""
    await exchange.begin_stream()
    await exchange.send_chunks(exchange.events()[:EVENTS_BEFORE_A_FAULT])
    await asyncio.sleep(SETTLE_S)


@_fault
async def reset_before_headers(exchange: Exchange) -> None:
    """The connection is reset once the request has been read."""
    exchange.reset()


@_fault
async def close_before_headers(exchange: Exchange) -> None:
    """The connection is closed in good order, without an answer."""


@_fault
async def hang_before_headers(exchange: Exchange) -> None:
    """No answer ever comes."""
    await exchange.wait_until_caller_leaves()


@_fault
async def hang_after_headers(exchange: Exchange) -> None:
    """The head of a 200 comes, and then nothing."""
    if exchange.is_stream:
        await exchange.begin_stream()
    else:
        await exchange.head("200 OK", "content-length: 1000")
    await exchange.wait_until_caller_leaves()


@_fault
async def trickle(exchange: Exchange) -> None:
    """A whole and valid answer, byte by byte."""
    if exchange.is_stream:
        await exchange.begin_stream()
        for event in exchange.events():
            await exchange.send_chunks(event[at : at + 1] for at in range(len(event)))
            await asyncio.sleep(0.005)
        await exchange.end_chunks()
        return
    body = json.dumps(exchange.answer()).encode()
    await exchange.head("200 OK", f"content-length: {len(body)}")
    for at in range(0, len(body), 8):
        await exchange.send(body[at : at + 8])
        await asyncio.sleep(0.001)


@_fault
async def rate_limited(exchange: Exchange) -> None:
    """429 that does not say when to come back."""
    await exchange.send_whole("429 Too Many Requests", _rate_limit_body(exchange))


@_fault
async def rate_limited_retry_after(exchange: Exchange) -> None:
    """429 with ``Retry-After``."""
    await exchange.send_whole("429 Too Many Requests", _rate_limit_body(exchange), f"retry-after: {RETRY_AFTER_S}")


@_fault
async def rate_limited_once(exchange: Exchange) -> None:
    """429 with ``Retry-After: 0`` at first, and a good answer from then on."""
    if exchange.attempt == 1:
        await exchange.send_whole("429 Too Many Requests", _rate_limit_body(exchange), "retry-after: 0")
        return
    await _good(exchange)


@_fault
async def failing_once(exchange: Exchange) -> None:
    """500 at first, and a good answer from then on."""
    if exchange.attempt == 1:
        await error_500(exchange)
        return
    await _good(exchange)


def _rate_limit_body(exchange: Exchange) -> bytes:
    kind = "rate_limit_error" if exchange.is_anthropic else "requests"
    return exchange.error_body("Rate limit reached for requests.", kind=kind, code="rate_limit_exceeded")


async def _good(exchange: Exchange) -> None:
    if not exchange.is_stream:
        await exchange.send_whole("200 OK", json.dumps(exchange.answer()).encode())
        return
    await exchange.begin_stream()
    await exchange.send_chunks(exchange.events())
    await exchange.end_chunks()


@_fault
async def error_500(exchange: Exchange) -> None:
    """500 in the provider's own shape."""
    kind = "api_error" if exchange.is_anthropic else "server_error"
    await exchange.send_whole("500 Internal Server Error", exchange.error_body("Internal server error", kind=kind))


@_fault
async def error_502(exchange: Exchange) -> None:
    """502 as a proxy in front of the provider writes it: HTML."""
    page = b"<html><head><title>502 Bad Gateway</title></head><body>nginx</body></html>"
    await exchange.send_whole("502 Bad Gateway", page, content_type="text/html")


@_fault
async def error_503(exchange: Exchange) -> None:
    """503 with ``Retry-After``."""
    kind = "overloaded_error" if exchange.is_anthropic else "server_error"
    body = exchange.error_body("The engine is currently overloaded.", kind=kind)
    await exchange.send_whole("503 Service Unavailable", body, f"retry-after: {RETRY_AFTER_S}")


@_fault
async def error_529(exchange: Exchange) -> None:
    """529, Anthropic's "overloaded"."""
    body = exchange.error_body("Overloaded", kind="overloaded_error")
    await exchange.send_whole("529 Overloaded", body, "x-should-retry: true")


@_fault
async def malformed_json(exchange: Exchange) -> None:
    """200 whose JSON breaks off; in a stream, one event's data does."""
    if not exchange.is_stream:
        await exchange.send_whole("200 OK", b'{"id": "x", "choices": [{"index": 0, ')
        return
    await _begin_well(exchange)
    await exchange.send_chunks([b'data: {"id": "x", "choices": [{"ind\n\n'])
    await exchange.end_chunks()


@_fault
async def wrong_content_type(exchange: Exchange) -> None:
    """200 with an HTML page, as a captive portal sends it."""
    page = b"<!doctype html><html><body>Please sign in.</body></html>"
    await exchange.send_whole("200 OK", page, content_type="text/html; charset=utf-8")


@_fault
async def error_event(exchange: Exchange) -> None:
    """A stream that begins well, then reports the provider's own error inside."""
    await _begin_well(exchange)
    await exchange.send_chunks([_stream_error(exchange)])
    await exchange.end_chunks()


@_fault
async def error_event_first(exchange: Exchange) -> None:
    """A stream whose very first event is the provider's error."""
    await exchange.begin_stream()
    await exchange.send_chunks([_stream_error(exchange)])
    await exchange.end_chunks()


def _stream_error(exchange: Exchange) -> bytes:
    if exchange.is_anthropic:
        return b"event: error\ndata: " + exchange.error_body("Overloaded", kind="overloaded_error") + b"\n\n"
    if exchange.path == "/v1/responses":
        error = {"type": "error", "code": "server_error", "message": "The server had an error", "param": None}
        return b"event: error\ndata: " + json.dumps({**error, "sequence_number": 7}).encode() + b"\n\n"
    return b"data: " + exchange.error_body("The server had an error", kind="server_error") + b"\n\n"


@_fault
async def cut(exchange: Exchange) -> None:
    """A stream that ends in good order, but without its terminal event."""
    await _begin_well(exchange)
    await exchange.end_chunks()


@_fault
async def cut_inside_event(exchange: Exchange) -> None:
    """A stream that ends in good order in the middle of an event."""
    events = exchange.events()
    await _begin_well(exchange)
    await exchange.send_chunks([events[EVENTS_BEFORE_A_FAULT][:20]])
    await exchange.end_chunks()


@_fault
async def reset_mid_stream(exchange: Exchange) -> None:
    """A stream whose connection is reset after some events."""
    await _begin_well(exchange)
    exchange.reset()


@_fault
async def stall(exchange: Exchange) -> None:
    """A stream that falls silent after some events."""
    await _begin_well(exchange)
    await exchange.wait_until_caller_leaves()


@_fault
async def empty_stream(exchange: Exchange) -> None:
    """A stream without a single event."""
    await exchange.begin_stream()
    await exchange.end_chunks()


@_fault
async def endless_stream(exchange: Exchange) -> None:
    """A stream that never ends, until the caller leaves."""
    events = exchange.events()
    await exchange.begin_stream()
    await exchange.send_chunks(events[: EVENTS_BEFORE_A_FAULT - 1])
    while True:
        await exchange.send_chunks([events[EVENTS_BEFORE_A_FAULT - 1]])
        await asyncio.sleep(0.01)


@_fault
async def error_body_with_200(exchange: Exchange) -> None:
    """200 whose body is an error."""
    kind = "api_error" if exchange.is_anthropic else "server_error"
    body = exchange.error_body("The server had an error", kind=kind)
    if not exchange.is_stream:
        await exchange.send_whole("200 OK", body)
        return
    await exchange.send_whole("200 OK", body, content_type="application/json")


@_fault
async def overlong_line(exchange: Exchange) -> None:
    """A stream with one line of 20 MiB; without streaming, a JSON string that long."""
    if exchange.is_stream:
        await _begin_well(exchange)
        await exchange.send_chunks([b"data: "])
        for _ in range(OVERLONG_BYTES // PIECE):
            await exchange.send_chunks([b"x" * PIECE])
        await exchange.end_chunks()
        return
    await huge_body(exchange)


@_fault
async def huge_body(exchange: Exchange) -> None:
    """A body of half a gigabyte."""
    await exchange.head("200 OK", f"content-length: {HUGE_BYTES}")
    await exchange.send(b'{"id": "')
    for _ in range(HUGE_BYTES // PIECE):
        await exchange.send(b"x" * PIECE)


@_fault
async def bad_utf8(exchange: Exchange) -> None:
    """Bytes that are not UTF-8 inside an answer that is valid otherwise."""
    if not exchange.is_stream:
        body = json.dumps(exchange.answer(), ensure_ascii=False).encode()
        await exchange.send_whole("200 OK", body.replace("—".encode(), b"\xff\xfe"))
        return
    events = exchange.events()
    odd = next(event for event in events if "—".encode() in event)
    await _begin_well(exchange)
    await exchange.send_chunks([odd.replace("—".encode(), b"\xff\xfe")])
    await exchange.send_chunks(events[EVENTS_BEFORE_A_FAULT:])
    await exchange.end_chunks()


@_fault
async def redirect(exchange: Exchange) -> None:
    """A redirect to a cloud's metadata address, which must not be followed."""
    await exchange.send_whole("307 Temporary Redirect", b"", f"location: {METADATA_ADDRESS}")


@_fault
async def bad_chunking(exchange: Exchange) -> None:
    """A transfer encoding that breaks: a chunk size that is no number."""
    if exchange.is_stream:
        await _begin_well(exchange)
    else:
        await exchange.head("200 OK", "transfer-encoding: chunked")
        await exchange.send_chunks([b'{"id": "x", '])
        await asyncio.sleep(SETTLE_S)
    await exchange.send(b"zz\r\nnot a chunk\r\n")


@_fault
async def short_body(exchange: Exchange) -> None:
    """A ``Content-Length`` longer than the body that comes."""
    body = json.dumps(exchange.answer()).encode()
    await exchange.head("200 OK", f"content-length: {len(body) + 100}")
    await exchange.send(body)


@_fault
async def gzip_answer(exchange: Exchange) -> None:
    """A valid answer, compressed although nobody asked for it."""
    if not exchange.is_stream:
        body = gzip.compress(json.dumps(exchange.answer()).encode())
        await exchange.send_whole("200 OK", body, "content-encoding: gzip")
        return
    body = gzip.compress(b"".join(exchange.events()))
    await exchange.send_whole("200 OK", body, "content-encoding: gzip", content_type="text/event-stream")


@_fault
async def stale_connection(exchange: Exchange) -> None:
    """A good answer on a connection that promises to stay, and is closed when the next request comes on it."""
    body = json.dumps(exchange.answer()).encode()
    await exchange.head("200 OK", f"content-length: {len(body)}", connection="keep-alive")
    await exchange.send(body)
    await exchange.reader.read(1)


@_fault
async def hints_first(exchange: Exchange) -> None:
    """Informational answers before the good one."""
    await exchange.send(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n")
    await asyncio.sleep(SETTLE_S)
    await _good(exchange)


@_fault
async def second_answer(exchange: Exchange) -> None:
    """Two answers to one request: the second would be the next caller's, were the connection used again."""
    body = json.dumps(exchange.answer()).encode()
    smuggled = b'{"id": "smuggled", "object": "chat.completion", "choices": []}'
    await exchange.head("200 OK", f"content-length: {len(body)}", connection="keep-alive")
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(smuggled)
    await exchange.send(body + head + smuggled)
    await exchange.wait_until_caller_leaves()
