"""Calls over the pool: what goes out, what comes back, and what every status means."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.adapters.transport import MAX_ANSWER_BYTES
from gateway.errors import (
    ConfigurationError,
    UpstreamDenied,
    UpstreamError,
    UpstreamFailed,
    UpstreamOverloaded,
    UpstreamRateLimited,
    UpstreamRefused,
    UpstreamTimedOut,
)
from tests.adapters.odd_loop import OddLoop, on_odd_loop
from tests.adapters.raw_server import PATIENCE_S, Peer, RawServer, answer, answering
from tests.adapters.transport_calls import CHUNKED, KEY, PROMPT, answered, call, failure, post, transport_for


async def test_a_call_on_the_wire() -> None:
    """A call goes out as one HTTP/1.1 request with our headers, and its answer comes back as it is."""
    body = b'{"big": 123456789012345678901234567890, "odd": "\\ud800"}'
    async with RawServer(answering(answer(body, b"X-Request-Id: req_1"))) as server:
        transport = transport_for(f"{server.url}/v1/")
        async with transport.post(call(), {"openai-beta": "x=1", "traceparent": "00-1"}) as reply:
            assert (reply.status, reply.headers["x-request-id"]) == (200, "req_1")
            assert await reply.read() == body
        await transport.close()
    (asked,) = server.asked
    assert asked.start == "POST /v1/chat/completions HTTP/1.1"
    assert asked.body == PROMPT
    assert sorted(asked.headers) == sorted(
        [
            ("content-length", str(len(PROMPT))),
            ("host", f"127.0.0.1:{server.port}"),
            ("user-agent", "ponder"),
            ("accept-encoding", "identity"),
            ("authorization", f"Bearer {KEY}"),
            ("openai-beta", "x=1"),
            ("traceparent", "00-1"),
        ]
    )


async def test_a_document_is_fetched_without_a_body() -> None:
    """GET announces no body, and what is no JSON object is refused."""
    async with RawServer(answering(answer(b'{"data": []}'), answer(b"<html>"), answer(b"[]"))) as server:
        transport = transport_for(server.url)
        assert await transport.get("/models", timeout_s=PATIENCE_S) == {"data": []}
        for _ in range(2):
            with pytest.raises(UpstreamFailed, match="JSON object"):
                await transport.get("/models", timeout_s=PATIENCE_S)
        await transport.close()
    assert server.asked[0].start == "GET /models HTTP/1.1"
    assert "content-length" not in dict(server.asked[0].headers)


@given(st.dictionaries(st.sampled_from(["openai-beta", "traceparent", "anthropic-version"]), st.text(max_size=40)))
def test_no_header_of_a_client_can_end_the_head(headers: dict[str, str]) -> None:
    """Whatever a client's headers hold, the head has our lines and at most one more per header, unchanged."""
    head = transport_for("http://h")._head("POST / HTTP/1.1\r\ncontent-length: 0\r\n", headers)
    lines = head.decode("latin-1").split("\r\n")
    assert lines[-2:] == ["", ""]
    ours = [line for line in lines[1:-2] if line.partition(":")[0] not in headers]
    assert [line.partition(":")[0] for line in ours] == [
        "content-length", "host", "user-agent", "accept-encoding", "authorization",
    ]  # fmt: skip
    theirs = dict(line.split(": ", 1) for line in lines[1:-2] if line not in ours)
    assert theirs == {name: value for name, value in headers.items() if name in theirs}
    assert not any(ord(letter) < 32 and letter != "\t" for value in theirs.values() for letter in value)


@pytest.mark.parametrize(
    "headers",
    [
        {"X-A": "a\r\nx-b: b"}, {"X-A": "a\nb"}, {"X-A": "a\0"}, {"X-A": "€"}, {"X A": "a"}, {"X:A": "a"},
        {"": "a"}, {"Ä": "a"}, {"Content-Length": "5"}, {"transfer-encoding": "chunked"}, {"Connection": "close"},
        {"Expect": "100-continue"},
    ],
)  # fmt: skip
def test_configured_headers_cannot_break_the_head(headers: dict[str, str]) -> None:
    """A configured header that would change the framing is refused at start, without repeating its value."""
    with pytest.raises(ConfigurationError, match=r"upstreams\.up: header") as caught:
        transport_for("http://h", headers=headers)
    assert not any(value in caught.value.message for value in headers.values() if len(value) > 1)


async def test_a_stream_arrives_as_it_is_sent() -> None:
    """Each event is there before the next one is sent."""
    heard = asyncio.Queue[None]()

    async def serve(peer: Peer) -> None:
        await peer.asked()
        await peer.say(CHUNKED)
        for number in range(3):
            await peer.say(b"9\r\ndata: %d\n\n\r\n" % number)
            await heard.get()
        await peer.say(b"0\r\n\r\n")

    async with RawServer(serve) as server:
        pieces = []
        async with post(transport_for(server.url)) as reply:
            async for chunk in reply.chunks():
                pieces.append(chunk)
                heard.put_nowait(None)
        assert pieces == [b"data: 0\n\n", b"data: 1\n\n", b"data: 2\n\n"]


@pytest.mark.parametrize("is_complete", [True, False])
async def test_leaving_a_stream(*, is_complete: bool) -> None:
    """After its last event a stream's connection serves on; before, the upstream sees it closed at once."""
    seen = asyncio.get_running_loop().create_future()

    async def serve(peer: Peer) -> None:
        await peer.asked()
        await peer.say(CHUNKED + b"9\r\ndata: 1\n\n\r\n")
        if not is_complete:
            await peer.until_left()
            seen.set_result(None)
            return
        await seen
        await peer.say(b"0\r\n\r\n")
        await answering(answer(b"next"))(peer)

    async with RawServer(serve) as server:
        transport = transport_for(server.url, connections=1)
        async with post(transport) as reply:
            async for _ in reply.chunks():
                break
            if is_complete:
                reply.complete()
        if is_complete:
            seen.set_result(None)
            assert await answered(transport) == b"next"
            assert server.connections == 1
        async with asyncio.timeout(PATIENCE_S):
            await seen
        await transport.close()


@pytest.mark.parametrize(
    ("status", "kind", "http_status", "is_retryable"),
    [
        (300, UpstreamFailed, 502, True), (307, UpstreamFailed, 502, True), (304, UpstreamFailed, 502, True),
        (400, UpstreamRefused, 400, False), (401, UpstreamDenied, 502, False), (402, UpstreamDenied, 502, False),
        (403, UpstreamDenied, 502, False), (404, UpstreamRefused, 404, False), (407, UpstreamDenied, 502, False),
        (408, UpstreamTimedOut, 504, False), (409, UpstreamRefused, 409, False), (413, UpstreamRefused, 413, False),
        (422, UpstreamRefused, 422, False), (429, UpstreamRateLimited, 429, True), (499, UpstreamRefused, 499, False),
        (500, UpstreamFailed, 502, True), (501, UpstreamDenied, 502, False), (502, UpstreamFailed, 502, True),
        (503, UpstreamOverloaded, 503, True), (504, UpstreamTimedOut, 504, False), (529, UpstreamOverloaded, 503, True),
        (600, UpstreamFailed, 502, True),
    ],
)  # fmt: skip
async def test_statuses(status: int, kind: type[UpstreamError], http_status: int, *, is_retryable: bool) -> None:
    """Each status that is no success has its class, costs nothing, and leaves the connection in use."""
    told = json.dumps({"error": {"message": "about my secret diagnosis"}}).encode()
    body = b"" if status == 304 else told
    said = answer(body, b"retry-after: 7", status=b"%d x" % status)
    async with RawServer(answering(said, answer(b"{}"))) as server:
        transport = transport_for(server.url)
        error = await failure(transport)
        assert type(error) is kind
        assert (error.http_status, error.is_retryable, error.is_unbilled) == (http_status, is_retryable, True)
        assert error.retry_after_s == (7 if status in {429, 503, 529} else None)
        assert str(status) in error.message
        if isinstance(error, UpstreamRefused):
            assert error.body == told
        assert await answered(transport) == b"{}"
        assert server.connections == 1
        await transport.close()


@pytest.mark.parametrize(
    ("headers", "wait_s"),
    [
        ({}, None),
        ({b"retry-after": b"0"}, 0),
        ({b"retry-after": b"1.5"}, 1.5),
        ({b"retry-after": b"-1"}, None),
        ({b"retry-after": b"soon"}, None),
        ({b"retry-after": b"1e9"}, None),
        ({b"retry-after": b"nan"}, None),
        ({b"retry-after": b"Sun, 22 Nov 2026 10:00:09 GMT"}, None),
        ({b"retry-after": b"Sun, 22 Nov 2026 10:00:09 GMT", b"date": b"Sun, 22 Nov 2026 10:00:00 GMT"}, 9),
        ({b"retry-after": b"Sun, 22 Nov 2026 09:00:00 GMT", b"date": b"Sun, 22 Nov 2026 10:00:00 GMT"}, 0),
        ({b"retry-after": b"Sun, 22 Nov 2026 10:00:00 GMT", b"date": b"Sun, 22 Nov 2026 10:00:00"}, None),
        ({b"retry-after": b"later", b"date": b"Sun, 22 Nov 2026 10:00:00 GMT"}, None),
    ],
)
async def test_retry_after(headers: Mapping[bytes, bytes], wait_s: float | None) -> None:
    """Seconds and dates say when to come back; what is neither says nothing."""
    lines = [name + b": " + value for name, value in headers.items()]
    async with RawServer(answering(answer(b"", *lines, status=b"429 x"))) as server:
        transport = transport_for(server.url)
        assert (await failure(transport)).retry_after_s == wait_s
        await transport.close()


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b'"a"', b'{"a', b"\x1f\x8b\x08", b"{}" + b" " * 70_000, b"{}" + b" " * 10_000_000]
)
async def test_a_refusal_that_is_no_small_object_is_not_passed_on(body: bytes) -> None:
    """Of a refusal only a JSON object of modest size is kept."""
    async with RawServer(answering(answer(body, status=b"400 x"))) as server:
        transport = transport_for(server.url)
        error = await failure(transport)
        assert isinstance(error, UpstreamRefused)
        assert error.body == b""
        await transport.close()


def test_a_refusal_that_trickles_is_not_waited_for() -> None:
    """What a refusal says has little time, however slowly it comes."""

    async def test(loop: OddLoop) -> None:
        async def serve(peer: Peer) -> None:
            await peer.asked()
            await peer.say(b"HTTP/1.1 400 x\r\ncontent-length: 1000\r\n\r\n")
            while not peer.writer.is_closing():
                await peer.say(b" ")
                loop.ahead_s += 1
                await asyncio.sleep(0)

        async with RawServer(serve) as server:
            error = await failure(transport_for(server.url), deadline_s=900, idle_s=900)
            assert isinstance(error, UpstreamRefused)
            assert error.body == b""
            assert loop.ahead_s < 100

    on_odd_loop(test)


async def test_an_answer_larger_than_the_limit_is_refused() -> None:
    """An answer is not collected beyond its limit."""

    async def serve(peer: Peer) -> None:
        await peer.asked()
        await peer.say(CHUNKED)
        piece = b"100000\r\n" + b"x" * 0x100000 + b"\r\n"
        for _ in range(MAX_ANSWER_BYTES // 0x100000 + 1):
            await peer.say(piece)
        await peer.until_left()

    async with RawServer(serve) as server:
        error = await failure(transport_for(server.url))
        assert "larger than" in error.message
        assert type(error) is UpstreamFailed
