"""The pool: how many connections, who gets them, and that none is ever lost or counted twice."""

from __future__ import annotations

import asyncio
import random

import pytest

from gateway.adapters.pool import Pool, parse_address
from gateway.adapters.wire import Connection
from gateway.errors import ConfigurationError
from tests.adapters.raw_server import PATIENCE_S, Peer, RawServer, answer, answering, open_sockets, until

HEAD = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n"


@pytest.mark.parametrize(
    ("base_url", "host", "port", "prefix", "authority"),
    [
        ("http://h", "h", 80, "", "h"),
        ("https://API.example.com/v1/", "api.example.com", 443, "/v1", "api.example.com"),
        ("http://vllm_1:8000/v1", "vllm_1", 8000, "/v1", "vllm_1:8000"),
        ("https://h:443", "h", 443, "", "h"),
        ("https://h:80", "h", 80, "", "h:80"),
        ("http://127.0.0.1:9", "127.0.0.1", 9, "", "127.0.0.1:9"),
        ("http://[::1]:9/a/b", "::1", 9, "/a/b", "[::1]:9"),
        ("https://[2001:DB8::1]", "2001:db8::1", 443, "", "[2001:db8::1]"),
        ("https://xn--bcher-kva.example", "xn--bcher-kva.example", 443, "", "xn--bcher-kva.example"),
    ],
)
def test_addresses(base_url: str, host: str, port: int, prefix: str, authority: str) -> None:
    """A base URL gives host, port, prefix and the Host header."""
    address = parse_address(base_url)
    assert (address.host, address.port, address.prefix) == (host, port, prefix)
    assert address.authority == authority
    assert address.is_secure is base_url.startswith("https")


@pytest.mark.parametrize(
    "base_url",
    [
        "", "h", "//h", "ftp://h", "http://", "http://:80", "http://u:p@h", "http://:secret@h", "http://@h",
        "http://h?a=b", "http://h#f", "http://h:0", "http://h:65536", "http://h:x", "http://a b", "http://h/a b",
        "http://h/\x7f", "http://bücher.example", "http://h/é", "http://[::1", "http://[fe80::1%eth0]",
        "http://a..b", f"http://{'a' * 64}.b", "http://h\x00", "http://h,g",
    ],
)  # fmt: skip
def test_impossible_addresses(base_url: str) -> None:
    """Anything but a plain http(s) address is refused, without repeating what may hold a credential."""
    with pytest.raises(ConfigurationError) as caught:
        parse_address(base_url)
    assert "secret" not in caught.value.message


def pool_for(server: RawServer, size: int) -> Pool:
    """A pool of connections to ``server``."""
    return Pool(parse_address(server.url), size)


async def take(pool: Pool, *, is_fresh: bool = False) -> Connection:
    """A connection, or a failed test."""
    return await pool.take(within_s=PATIENCE_S, is_fresh=is_fresh)


async def use(connection: Connection) -> None:
    """One exchange."""
    await connection.send(HEAD, b"", within_s=PATIENCE_S)
    while await connection.read(within_s=PATIENCE_S):
        pass
    connection.finish()


async def soon(pool: Pool) -> asyncio.Task[Connection]:
    """Somebody who waits for a connection, in the queue already."""
    task = asyncio.ensure_future(take(pool))
    await asyncio.sleep(0)
    return task


async def is_whole(pool: Pool, size: int) -> bool:
    """Whether exactly ``size`` connections can be had at once."""
    taken = [await take(pool) for _ in range(size)]
    waiter = await soon(pool)
    is_full = not waiter.done()
    waiter.cancel()
    await asyncio.gather(waiter, return_exceptions=True)
    for connection in taken:
        await use(connection)
    return is_full


async def test_the_most_recent_connection_serves_first() -> None:
    """Idle connections are used again, the last one first, so that those not needed grow old."""
    async with RawServer(answering(answer())) as server:
        pool = pool_for(server, 3)
        first, second = await take(pool), await take(pool)
        await use(first)
        await use(second)
        assert await take(pool) is second
        assert await take(pool) is first
        assert server.connections == 2


async def test_who_waits_is_served_in_order() -> None:
    """A connection that becomes free goes to who has waited longest, and nobody overtakes."""
    async with RawServer(answering(answer())) as server:
        pool = pool_for(server, 1)
        only = await take(pool)
        waiting = [await soon(pool) for _ in range(3)]
        for turn, waiter in enumerate(waiting):
            await use(only)
            late = await soon(pool)
            assert await waiter is only
            assert not any(other.done() for other in waiting[turn + 1 :])
            late.cancel()
            await asyncio.gather(late, return_exceptions=True)
        assert server.connections == 1


async def test_a_lost_connection_makes_room() -> None:
    """When a busy connection is lost, who waited longest makes a new one."""
    async with RawServer(answering(answer())) as server:
        pool = pool_for(server, 1)
        lost = await take(pool)
        waiter = await soon(pool)
        lost.finish()
        assert await waiter is not lost
        assert server.connections == 2


async def test_a_connection_lost_while_it_changes_hands() -> None:
    """A free connection that breaks before its new owner wakes is replaced: the owner keeps his turn."""
    async with RawServer(answering(answer())) as server:
        pool = pool_for(server, 1)
        only = await take(pool)
        first, second = await soon(pool), await soon(pool)
        await use(only)
        only.close()
        assert await first is not only
        assert not second.done()
        await use(await first)
        await use(await second)
        assert await is_whole(pool, 1)


async def test_a_connection_with_unread_bytes_is_not_handed_out() -> None:
    """An idle connection on which something waits to be read, that the loop does not know of yet, is passed over."""
    peers: list[Peer] = []

    async def serve(peer: Peer) -> None:
        peers.append(peer)
        await answering(answer())(peer)

    async with RawServer(serve) as server:
        pool = pool_for(server, 1)
        spoilt = await take(pool)
        await use(spoilt)
        peers[0].writer.write(answer(b"smuggled"))
        while spoilt.is_quiet():  # the bytes are on their way through the kernel; the loop stands still
            pass
        assert not spoilt.is_lost
        fresh = await take(pool)
        assert fresh is not spoilt
        await use(fresh)
        assert await is_whole(pool, 1)


async def test_a_closed_idle_connection_is_not_handed_out() -> None:
    """A server that closes an idle connection costs no call."""
    left = asyncio.Event()

    async def serve(peer: Peer) -> None:
        await peer.asked()
        await peer.say(answer())
        if peer.number == 1:
            await left.wait()
            return
        await answering(answer())(peer)

    async with RawServer(serve) as server:
        pool = pool_for(server, 1)
        first = await take(pool)
        await use(first)
        left.set()
        await until(lambda: first.is_gone)
        assert not pool._idle
        second = await take(pool)
        assert second is not first
        await use(second)


async def test_giving_up_leaves_no_trace() -> None:
    """Who stops waiting, before or just as a connection is handed over, takes nothing along."""
    async with RawServer(answering(answer())) as server:
        pool = pool_for(server, 1)
        only = await take(pool)
        patient, hasty = await soon(pool), await soon(pool)
        hasty.cancel()
        await use(only)  # it is handed to the patient one, who gives up before waking
        patient.cancel()
        results = await asyncio.gather(patient, hasty, return_exceptions=True)
        assert [type(result) for result in results] == [asyncio.CancelledError] * 2
        assert await take(pool) is only
        await use(only)
        assert await is_whole(pool, 1)


async def test_waiting_ends_in_time() -> None:
    """Nobody waits longer than asked, and the queue forgets who left."""
    async with RawServer(answering(answer())) as server:
        pool = pool_for(server, 1)
        only = await take(pool)
        with pytest.raises(TimeoutError):
            await pool.take(within_s=0.01)
        assert not pool._waiting
        await use(only)
        assert await is_whole(pool, 1)


async def test_a_fresh_connection_when_all_are_idle() -> None:
    """A fresh connection is had even when the pool is full of idle ones: the oldest makes room."""
    async with RawServer(answering(answer())) as server:
        pool = pool_for(server, 2)
        taken = [await take(pool), await take(pool)]
        for connection in taken:
            await use(connection)
        fresh = await take(pool, is_fresh=True)
        assert fresh not in taken
        await until(lambda: taken[0].is_gone)
        assert not taken[1].is_lost
        await use(fresh)
        assert await is_whole(pool, 2)


async def test_a_fresh_connection_when_all_are_busy() -> None:
    """Who needs a fresh connection goes first, and never keeps a used one from who could use it."""
    async with RawServer(answering(answer())) as server:
        pool = pool_for(server, 1)
        only = await take(pool)
        patient = await soon(pool)
        urgent = asyncio.ensure_future(take(pool, is_fresh=True))
        await asyncio.sleep(0)
        await use(only)
        fresh = await urgent
        assert fresh is not only
        await use(fresh)
        assert await patient is fresh
        await use(fresh)
        assert await is_whole(pool, 1)


@pytest.mark.parametrize("seed", range(10))
async def test_no_storm_of_cancellations_loses_a_connection(seed: int) -> None:
    """Whatever is cancelled whenever, the pool never holds more than its size, and all of it afterwards."""
    chance = random.Random(seed)
    most = 0
    living = 0

    async def serve(peer: Peer) -> None:
        nonlocal most, living
        living += 1
        most = max(most, living)
        try:
            while True:
                await peer.asked()
                if chance.random() < 0.2:
                    return
                await peer.say(answer())
        finally:
            living -= 1

    async def call(pool: Pool) -> None:
        connection = await pool.take(within_s=PATIENCE_S, is_fresh=chance.random() < 0.1)
        try:
            await connection.send(HEAD, b"", within_s=PATIENCE_S)
            for _ in range(chance.randrange(3)):
                await asyncio.sleep(0)
        finally:
            connection.finish()

    before = open_sockets()
    async with RawServer(serve) as server:
        pool = pool_for(server, 3)
        calls = [asyncio.ensure_future(call(pool)) for _ in range(60)]
        while not all(task.done() for task in calls):
            for _ in range(chance.randrange(6)):
                await asyncio.sleep(0)
            chance.choice(calls).cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        for _ in range(20):
            await asyncio.sleep(0)
        assert pool._open == len(pool._idle) <= 3
        assert not pool._waiting
        pool.close()
        await until(lambda: not pool._open)
    await asyncio.sleep(0.01)
    assert open_sockets() == before


async def test_closing_spares_who_is_busy() -> None:
    """A closed pool drops idle connections at once, busy ones after their exchange, and serves who still comes."""
    async with RawServer(answering(answer())) as server:
        pool = pool_for(server, 2)
        idle, busy = await take(pool), await take(pool)
        await use(idle)
        waiter = asyncio.ensure_future(use(busy))
        pool.close()
        await waiter
        await until(lambda: idle.is_gone)
        await until(lambda: busy.is_gone)
        late = await take(pool)
        await use(late)
        await until(lambda: late.is_gone)
        assert pool._open == 0


async def test_closing_serves_who_waits() -> None:
    """Who was waiting when the pool was closed is served."""
    async with RawServer(answering(answer())) as server:
        pool = pool_for(server, 1)
        busy = await take(pool)
        waiter = await soon(pool)
        pool.close()
        await use(busy)
        await use(await waiter)
        await until(lambda: busy.is_gone)
        assert pool._open == 0
