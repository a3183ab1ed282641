"""Calls over the pool: what goes out, what comes back, and how every failure is named."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.adapters.transport import MAX_ANSWER_BYTES, Transport
from gateway.domain.chat import Dialect
from gateway.errors import (
    ConfigurationError,
    UpstreamError,
    UpstreamFailed,
    UpstreamOverloaded,
    UpstreamRateLimited,
    UpstreamRefused,
    UpstreamTimedOut,
)
from gateway.ports import UpstreamCall, UpstreamReply
from tests.adapters.odd_loop import OddLoop, on_odd_loop
from tests.adapters.raw_server import PATIENCE_S, Peer, RawServer, answer, answering, open_sockets

PROMPT = b'{"model": "m", "messages": [{"role": "user", "content": "my secret diagnosis"}]}'
KEY = "sk-very-secret"
CHUNKED = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


def transport_for(url: str, *, connections: int = 4, **headers: str) -> Transport:
    """An upstream's transport, with a credential."""
    return Transport(
        name="up", base_url=url, headers={"Authorization": f"Bearer {KEY}", **headers}, connections=connections
    )


def call(body: bytes = PROMPT, **times: float) -> UpstreamCall:
    """A call with much time, unless said otherwise."""
    return UpstreamCall(
        dialect=Dialect.OPENAI_CHAT,
        path="/chat/completions",
        body=body,
        is_stream=False,
        request_id="r",
        **{"deadline_s": PATIENCE_S, "first_byte_s": PATIENCE_S, "idle_s": PATIENCE_S, **times},
    )


def post(transport: Transport, **times: float) -> AbstractAsyncContextManager[UpstreamReply]:
    """Send the prompt."""
    return transport.post(call(**times), {})


async def answered(transport: Transport, **times: float) -> bytes:
    """The body of the answer to one call."""
    async with post(transport, **times) as reply:
        return await reply.read()


async def failure(transport: Transport, **times: float) -> UpstreamError:
    """The error of one call, which holds neither the prompt nor the key, and neither do its causes."""
    with pytest.raises(UpstreamError) as caught:
        await answered(transport, **times)
    told: BaseException | None = caught.value
    while told is not None:
        for secret in (KEY, "secret", "diagnosis", "messages"):
            assert secret not in repr(told)
            assert secret not in str(told)
        told = told.__cause__
    return caught.value


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
        {"X-A": "a\r\nx-b: b"}, {"X-A": "a\nb"}, {"X-A": "a\0"}, {"X-A": "€"}, {"X A": "a"}, {"X:A": "a"}, {"": "a"}, {"Ä": "a"},
        {"Content-Length": "5"}, {"transfer-encoding": "chunked"}, {"Connection": "close"}, {"Expect": "100-continue"},
    ],
)  # fmt: skip
def test_configured_headers_cannot_break_the_head(headers: dict[str, str]) -> None:
    """A configured header that would change the framing is refused at start, without repeating its value."""
    with pytest.raises(ConfigurationError, match=r"upstreams\.up: header") as caught:
        transport_for("http://h", **headers)
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
        (400, UpstreamRefused, 400, False), (401, UpstreamFailed, 502, True), (402, UpstreamFailed, 502, True),
        (403, UpstreamFailed, 502, True), (404, UpstreamRefused, 404, False), (407, UpstreamFailed, 502, True),
        (408, UpstreamTimedOut, 504, False), (409, UpstreamRefused, 409, False), (413, UpstreamRefused, 413, False),
        (422, UpstreamRefused, 422, False), (429, UpstreamRateLimited, 429, True), (499, UpstreamRefused, 499, False),
        (500, UpstreamFailed, 502, True), (501, UpstreamFailed, 502, True), (502, UpstreamFailed, 502, True),
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


@pytest.mark.parametrize("body", [b"", b"<html>", b'"a"', b'{"a', b"\x1f\x8b\x08", b"{}" + b" " * 10_000_000])
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

        async with RawServer(serve) as server:
            error = await failure(transport_for(server.url), deadline_s=900, idle_s=900)
            assert isinstance(error, UpstreamRefused)
            assert error.body == b""
            assert loop.ahead_s < 60

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


BREAKS: dict[str, tuple[bytes, str]] = {
    "closed": (b"", "closed the connection before answering"),
    "half a head": (b"HTTP/1.1 200 OK\r\n", "broke off its answer"),
    "short": (answer(b"hello")[:-1], "broke off its answer"),
    "no HTTP": (b"SSH-2.0-OpenSSH\r\n", "not an answer we accept"),
    "compressed": (answer(b"\x1f\x8b", b"content-encoding: gzip"), "compressed its answer"),
    "other protocol": (b"HTTP/1.1 101 x\r\nupgrade: y\r\nconnection: upgrade\r\n\r\n", "change of protocol"),
    "echo": (PROMPT, "not an answer we accept"),
    "echo in head": (b"HTTP/1.1 200 OK\r\n" + PROMPT + b"\r\n\r\n", "not an answer we accept"),
}


@pytest.mark.parametrize("name", BREAKS)
async def test_broken_answers(name: str) -> None:
    """A broken answer is a failure that may have cost something, told without what it echoed."""
    said, words = BREAKS[name]

    async def serve(peer: Peer) -> None:
        await peer.asked()
        await peer.say(said)

    async with RawServer(serve) as server:
        error = await failure(transport_for(server.url))
        assert type(error) is UpstreamFailed
        assert words in error.message
        assert not error.is_unbilled


async def test_an_upstream_that_is_away() -> None:
    """Nothing was sent, so nothing can have been charged."""
    async with RawServer(answering(answer())) as server:
        url = server.url
    error = await failure(transport_for(url))
    assert type(error) is UpstreamFailed
    assert "connection refused" in error.message
    assert error.is_unbilled


def test_a_host_that_does_not_exist() -> None:
    """A wrong name is told apart from a server that is away."""

    async def test(_: OddLoop) -> None:
        error = await failure(transport_for("http://nowhere.test"))
        assert "host not found" in error.message
        assert error.is_unbilled

    on_odd_loop(test)


async def test_an_untrusted_upstream() -> None:
    """An upstream whose TLS fails is told apart from one that is away."""

    async def serve(peer: Peer) -> None:
        await peer.reader.read(1)
        await peer.say(answer(status=b"400 Bad Request"))
        await peer.until_left()

    async with RawServer(serve) as server:
        error = await failure(transport_for(server.url.replace("http:", "https:")))
        assert "no TLS connection" in error.message
        assert error.is_unbilled
    assert not server.asked


@pytest.mark.parametrize("times", [{"deadline_s": 0.1}, {"first_byte_s": 0.1}], ids=["deadline", "first byte"])
async def test_no_answer_in_time(times: dict[str, float]) -> None:
    """The wait for an answer ends at its own time and at the call's."""

    async def serve(peer: Peer) -> None:
        await peer.asked()
        await peer.until_left()

    async with RawServer(serve) as server:
        error = await failure(transport_for(server.url), **times)
        assert type(error) is UpstreamTimedOut
        assert not error.is_unbilled


@pytest.mark.parametrize("times", [{"deadline_s": 0.2}, {"idle_s": 0.1}], ids=["deadline", "idle"])
async def test_no_end_in_time(times: dict[str, float]) -> None:
    """A body that trickles meets the call's deadline, and one that stops is given up sooner."""

    async def serve(peer: Peer) -> None:
        await peer.asked()
        await peer.say(CHUNKED)
        while "deadline_s" in times:
            await peer.say(b"1\r\nx\r\n")
            await asyncio.sleep(0.01)
        await peer.until_left()

    async with RawServer(serve) as server:
        error = await failure(transport_for(server.url), **times)
        assert type(error) is UpstreamTimedOut
        assert not error.is_unbilled


async def test_no_connection_in_time() -> None:
    """A call that never got a connection cost nothing."""
    release = asyncio.Event()

    async def serve(peer: Peer) -> None:
        await peer.asked()
        await release.wait()
        await peer.say(answer())

    async with RawServer(serve) as server:
        transport = transport_for(server.url, connections=1)
        busy = asyncio.ensure_future(answered(transport))
        await asyncio.sleep(0)
        error = await failure(transport, deadline_s=0.05)
        assert type(error) is UpstreamTimedOut
        assert error.is_unbilled
        release.set()
        assert await busy == b"{}"
        await transport.close()


async def test_a_cancelled_call_leaves_nothing_behind() -> None:
    """Cancelled at any step, a call closes or returns its connection, and the next call is served."""
    large = b"x" * 300_000
    before = open_sockets()
    async with RawServer(answering(answer(large))) as server:
        transport = transport_for(server.url, connections=1)
        steps = 0
        while True:
            steps += 1
            calling = asyncio.ensure_future(answered(transport))
            for _ in range(steps):
                await asyncio.sleep(0)
            if not calling.cancel():
                break
            await asyncio.gather(calling, return_exceptions=True)
            assert await answered(transport) == large
        assert await calling == large
        await transport.close()
    await asyncio.sleep(0.01)
    assert open_sockets() == before


async def test_a_reload_spares_calls_under_way() -> None:
    """Closing a transport ends no call, and its connections go when their calls end."""
    go_on = asyncio.Event()
    before = open_sockets()

    async def serve(peer: Peer) -> None:
        await peer.asked()
        await go_on.wait()
        await peer.say(answer(b"done"))
        await peer.until_left()

    async with RawServer(serve) as server:
        transport = transport_for(server.url)
        calling = asyncio.ensure_future(answered(transport))
        while not server.asked:
            await asyncio.sleep(0)
        await transport.close()
        go_on.set()
        assert await calling == b"done"
        assert await answered(transport) == b"done"
        assert server.connections == 2
    await asyncio.sleep(0.01)
    assert open_sockets() == before


async def test_a_reply_keeps_its_own_head() -> None:
    """A reply that was left still tells its own status and headers, whoever uses the connection now."""
    async with RawServer(answering(answer(b"{}", b"x-request-id: 1"), answer(b"{}", b"x-request-id: 2"))) as server:
        transport = transport_for(server.url, connections=1)
        async with post(transport) as first:
            await first.read()
        async with post(transport) as second:
            assert (first.headers["x-request-id"], second.headers["x-request-id"]) == ("1", "2")
        await transport.close()


async def test_many_calls_share_few_connections() -> None:
    """More calls than connections take turns, and each gets its own answer."""

    async def serve(peer: Peer) -> None:
        while True:
            asked = await peer.asked()
            await peer.say(answer(asked.body))

    async with RawServer(serve) as server:
        transport = transport_for(server.url, connections=3)

        async def one(number: int) -> None:
            body = b"%d" % number
            async with transport.post(call(body), {}) as reply:
                assert await reply.read() == body

        await asyncio.gather(*(one(number) for number in range(100)))
        assert server.connections == 3
        await transport.close()
