"""Making a connection: names and addresses, TLS, limits in time, and nothing left behind by a failure."""

from __future__ import annotations

import asyncio
import gc
import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gateway.adapters.pool import Pool, parse_address, system_trust
from gateway.adapters.wire import Broken, Connection
from tests.adapters.odd_loop import OddLoop, on_odd_loop
from tests.adapters.raw_server import PATIENCE_S, Peer, RawServer, answer, answering, open_sockets, until

HEAD = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n"
CERTIFICATES = Path(__file__).parent / "certificates"
NAME = "upstream.test"


def server_tls() -> ssl.SSLContext:
    """The TLS of a server that has our certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATES / "server.pem")
    return context


def trusting_tls() -> ssl.SSLContext:
    """What trusts our own authority alone."""
    return ssl.create_default_context(cafile=CERTIFICATES / "authority.pem")


async def use(connection: Connection) -> bytes:
    """One exchange."""
    await connection.send(HEAD, b"", within_s=PATIENCE_S)
    pieces = []
    while piece := await connection.read(within_s=PATIENCE_S):
        pieces.append(piece)
    connection.finish()
    return b"".join(pieces)


async def until_empty(pool: Pool) -> None:
    """Wait until the pool's last connection is gone."""
    pool.close()
    await until(lambda: not pool._open)


async def test_tls_is_verified_and_names_its_host() -> None:
    """A server with a certificate we trust for its name is used, and it is told which name we came for."""
    asked_for = []
    tls = server_tls()
    tls.sni_callback = lambda _connection, name, _context: asked_for.append(name)
    async with RawServer(answering(answer(b"safe")), tls=tls) as server:
        pool = Pool(parse_address(f"https://localhost:{server.port}"), 2, trust=trusting_tls())
        connection = await pool.take(within_s=PATIENCE_S)
        assert await use(connection) == b"safe"
        assert await pool.take(within_s=PATIENCE_S) is connection
        assert await use(connection) == b"safe"
        await until_empty(pool)
    assert asked_for == ["localhost"]


@pytest.mark.parametrize(
    ("host", "trust", "reason"),
    [
        ("127.0.0.1", trusting_tls, "IP address mismatch"),
        ("localhost", system_trust, "unable to get local issuer certificate"),
    ],
)
async def test_tls_that_cannot_be_verified_is_refused(
    host: str, trust: Callable[[], ssl.SSLContext], reason: str
) -> None:
    """A certificate for another name, or of an unknown authority, ends the attempt and leaves nothing behind."""
    before = open_sockets()
    async with RawServer(answering(answer()), tls=server_tls()) as server:
        pool = Pool(parse_address(f"https://{host}:{server.port}"), 1, trust=trust())
        for _ in range(3):
            with pytest.raises(ssl.SSLCertVerificationError, match=reason):
                await pool.take(within_s=PATIENCE_S)
        assert pool._open == 0
        assert not server.asked
    await asyncio.sleep(0.01)
    assert open_sockets() == before


@pytest.mark.parametrize("is_orderly", [True, False])
async def test_a_cut_tls_stream_is_not_the_end_of_a_body(*, is_orderly: bool) -> None:
    """A body without a length ends with TLS's own close; when only TCP ends, somebody may have cut it."""

    async def serve(peer: Peer) -> None:
        await peer.asked()
        await peer.say(b"HTTP/1.1 200 OK\r\n\r\nhello")
        if is_orderly:
            await peer.close()
        else:
            peer.writer.transport.abort()

    async with RawServer(serve, tls=server_tls()) as server:
        pool = Pool(parse_address(f"https://localhost:{server.port}"), 1, trust=trusting_tls())
        connection = await pool.take(within_s=PATIENCE_S)
        if is_orderly:
            assert await use(connection) == b"hello"
        else:
            with pytest.raises(Broken):
                await use(connection)
            connection.finish()
        await until_empty(pool)


async def test_large_bodies_over_tls() -> None:
    """Back-pressure and large writes work with TLS as without."""
    large = b"0123456789abcdef" * 4 * 65536

    async with RawServer(answering(answer(large)), tls=server_tls()) as server:
        pool = Pool(parse_address(f"https://localhost:{server.port}"), 1, trust=trusting_tls())
        connection = await pool.take(within_s=PATIENCE_S)
        head = HEAD.replace(b" 0\r", b" %d\r" % len(large))
        await connection.send(head, large, within_s=PATIENCE_S)
        pieces = []
        while piece := await connection.read(within_s=PATIENCE_S):
            pieces.append(piece)
            await asyncio.sleep(0)
        assert b"".join(pieces) == large
        connection.finish()
        assert await use(await pool.take(within_s=PATIENCE_S)) == large
        await until_empty(pool)
    assert server.asked[0].body == large


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_giving_up_while_connecting_leaves_nothing(scheme: str) -> None:
    """However far a connection had got when its caller gave up, its socket is closed and its place is free."""
    before = open_sockets()
    complaints: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    async with RawServer(answering(answer()), tls=server_tls() if scheme == "https" else None) as server:
        pool = Pool(parse_address(f"{scheme}://localhost:{server.port}"), 1, trust=trusting_tls())
        steps = 0
        while True:
            steps += 1
            taking = asyncio.ensure_future(pool.take(within_s=PATIENCE_S))
            for _ in range(steps):
                await asyncio.sleep(0)
            if not taking.cancel():
                break
            await asyncio.gather(taking, return_exceptions=True)
        await use(await taking)
        await until_empty(pool)
    assert not complaints
    await asyncio.sleep(0.05)
    assert open_sockets() == before


async def test_a_server_that_never_shakes_hands_is_given_up() -> None:
    """TCP, TLS and all take no longer than a connection may."""
    before = open_sockets()

    async def serve(peer: Peer) -> None:
        await peer.until_left()

    async with RawServer(serve) as server:
        pool = Pool(parse_address(f"https://localhost:{server.port}"), 1, trust=trusting_tls(), connect_s=0.1)
        with pytest.raises(TimeoutError):
            await pool.take(within_s=PATIENCE_S)
        assert pool._open == 0
    await asyncio.sleep(0.01)
    assert open_sockets() == before


async def test_nobody_listens() -> None:
    """A refused connection is reported as such, and frees its place for who waits."""
    async with RawServer(answering(answer())) as server:
        port = server.port
    pool = Pool(parse_address(f"http://127.0.0.1:{port}"), 1)
    attempts = [asyncio.ensure_future(pool.take(within_s=PATIENCE_S)) for _ in range(3)]
    results = await asyncio.gather(*attempts, return_exceptions=True)
    assert [type(result) for result in results] == [ConnectionRefusedError] * 3
    assert pool._open == 0


async def test_ipv6() -> None:
    """An IPv6 address is reached."""
    async with RawServer(answering(answer(b"six")), host="::1") as server:
        pool = Pool(parse_address(server.url), 1)
        assert await use(await pool.take(within_s=PATIENCE_S)) == b"six"
        await until_empty(pool)


@pytest.mark.parametrize("found", [["::1", "127.0.0.1"], ["127.0.0.9", "127.0.0.1"], ["127.0.0.1"]])
def test_the_address_that_answers_is_used(found: list[str]) -> None:
    """Of a host's addresses the first one that answers is used."""

    async def test(loop: OddLoop) -> None:
        loop.found = found
        async with RawServer(answering(answer(b"here"))) as server:
            pool = Pool(parse_address(f"http://{NAME}:{server.port}"), 1)
            assert await use(await pool.take(within_s=PATIENCE_S)) == b"here"
            await until_empty(pool)

    on_odd_loop(test)


def test_a_host_that_is_not_found() -> None:
    """An unknown host is reported as such, to all who looked for it, and found once it exists."""

    async def test(loop: OddLoop) -> None:
        async with RawServer(answering(answer(b"here"))) as server:
            pool = Pool(parse_address(f"http://{NAME}:{server.port}"), 4)
            attempts = [asyncio.ensure_future(pool.take(within_s=PATIENCE_S)) for _ in range(4)]
            results = await asyncio.gather(*attempts, return_exceptions=True)
            assert [type(result) for result in results] == [socket.gaierror] * 4
            assert loop.searches == 1
            loop.found = ["127.0.0.1"]
            assert await use(await pool.take(within_s=PATIENCE_S)) == b"here"
            await until_empty(pool)

    on_odd_loop(test)


def test_a_resolver_that_hangs_is_asked_once() -> None:
    """Slow names count against the time to connect, and many callers do not fill the resolver's threads."""

    async def test(loop: OddLoop) -> None:
        loop.resolves.clear()
        pool = Pool(parse_address(f"http://{NAME}"), 8, connect_s=0.05)
        for _ in range(2):
            attempts = [asyncio.ensure_future(pool.take(within_s=PATIENCE_S)) for _ in range(8)]
            results = await asyncio.gather(*attempts, return_exceptions=True)
            assert [type(result) for result in results] == [TimeoutError] * 8
        assert loop.searches == 1
        assert pool._open == 0

    on_odd_loop(test)


def test_a_failed_search_that_nobody_waits_for_is_silent() -> None:
    """When everybody has given up, a search that fails later is no unhandled error."""

    async def test(loop: OddLoop) -> None:
        complaints: list[Any] = []
        loop.set_exception_handler(lambda _, context: complaints.append(context))
        pool = Pool(parse_address(f"http://{NAME}"), 1)
        loop.resolves.clear()
        attempt = asyncio.ensure_future(pool.take(within_s=PATIENCE_S))
        await until(lambda: loop.searches)
        attempt.cancel()
        await asyncio.gather(attempt, return_exceptions=True)
        loop.resolves.set()
        await until(lambda: pool._lookup is None)
        gc.collect()
        assert not complaints

    on_odd_loop(test)


def test_idle_connections_grow_old() -> None:
    """Connections idle for almost a minute are closed, the younger ones kept."""

    async def test(loop: OddLoop) -> None:
        async with RawServer(answering(answer())) as server:
            pool = Pool(parse_address(server.url), 2)
            old, young = [await pool.take(within_s=PATIENCE_S) for _ in range(2)]
            await use(old)
            loop.ahead_s += 50
            await use(young)
            loop.ahead_s += 10
            await until(lambda: old.is_gone)
            assert not young.is_lost
            loop.ahead_s += 50
            await until(lambda: young.is_gone)
            assert pool._open == 0

    on_odd_loop(test)


def test_the_systems_trust_can_be_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    """SSL_CERT_FILE names what is trusted instead of the system's certificates."""
    monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATES / "authority.pem"))
    (only,) = system_trust.__wrapped__().get_ca_certs()
    assert ("commonName", "Ponder test authority (test only)") in only["subject"][0]


def test_a_system_without_certificates_trusts_certifis(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Small images have no certificates of their own."""
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none.pem"))
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
    assert len(system_trust.__wrapped__().get_ca_certs()) > 50
