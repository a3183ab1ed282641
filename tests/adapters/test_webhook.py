"""Tests of gateway/adapters/webhook.py, against real servers that behave and misbehave."""

from __future__ import annotations

import asyncio
import base64
import hmac
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from gateway.adapters.webhook import Webhook, make_webhook, signature
from gateway.domain.notice import BudgetEvent
from gateway.errors import ConfigurationError, DeliveryFailed
from tests.adapters.odd_loop import OddLoop, on_odd_loop

SECRET = "whsec_" + base64.b64encode(b"s" * 32).decode()
BODY = b'{"type":"budget.soft_limit"}'
_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def _serving(handler: _Handler) -> AsyncIterator[str]:
    """A server on loopback that answers every path with ``handler``; its address."""
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def _webhook(url: str, *, allow_private: bool = False) -> Webhook:
    return make_webhook(url, SECRET, frozenset(BudgetEvent), allow_private=allow_private)


def test_the_signature_is_that_of_the_specification() -> None:
    """The example that libraries of Standard Webhooks test themselves with comes out."""
    key = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    signed = signature(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert signed == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


async def test_a_message_arrives_signed_and_whole() -> None:
    """The server gets the body as it is, at the path and query configured, with id, time and a signature that holds."""
    seen: list[tuple[str, dict[str, str], bytes]] = []

    async def take(request: web.Request) -> web.Response:
        headers = {name.lower(): value for name, value in request.headers.items()}
        seen.append((request.path_qs, headers, await request.read()))
        return web.Response(status=204)

    async with _serving(take) as address:
        await _webhook(f"{address}/hooks/budget/?token=a%20b").send("msg_1", BODY, now=1_795_000_000.9)
    ((path, headers, body),) = seen
    assert (path, body) == ("/hooks/budget/?token=a%20b", BODY)
    assert (headers["webhook-id"], headers["webhook-timestamp"]) == ("msg_1", "1795000000")
    assert headers["content-type"] == "application/json"
    expected = base64.b64encode(hmac.digest(b"s" * 32, b"msg_1.1795000000." + BODY, "sha256")).decode()
    assert headers["webhook-signature"] == f"v1,{expected}"


@pytest.mark.parametrize("status", [400, 404, 429, 500, 503])
async def test_what_is_no_success_failed(status: int) -> None:
    """Any other answer than 2xx is a failure that may be tried again."""

    async def refuse(_: web.Request) -> web.Response:
        return web.Response(status=status, text="no")

    async with _serving(refuse) as address:
        with pytest.raises(DeliveryFailed, match=f"127.0.0.1:[0-9]+ answered {status}") as failed:
            await _webhook(address).send("msg_1", BODY, now=time.time())
    assert not failed.value.is_final


async def test_gone_is_final() -> None:
    """A server that answers 410 wants no further messages."""

    async def gone(_: web.Request) -> web.Response:
        return web.Response(status=410)

    async with _serving(gone) as address:
        with pytest.raises(DeliveryFailed, match="410") as failed:
            await _webhook(address).send("msg_1", BODY, now=time.time())
    assert failed.value.is_final


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_redirects_are_not_followed(status: int) -> None:
    """Neither to a metadata service nor anywhere else, and the message says what to correct."""
    paths: list[str] = []

    async def lead_away(request: web.Request) -> web.Response:
        paths.append(request.path)
        target = "http://169.254.169.254/latest/meta-data" if request.path == "/a" else "/elsewhere"
        return web.Response(status=status, headers={"location": target})

    async with _serving(lead_away) as address:
        for path in ("/a", "/b"):
            with pytest.raises(DeliveryFailed, match="redirects are not followed"):
                await _webhook(f"{address}{path}").send("msg_1", BODY, now=time.time())
    assert paths == ["/a", "/b"]


async def test_a_slow_server_is_given_up() -> None:
    """A server that takes the message and says nothing costs the time allowed, and no more."""
    is_over = asyncio.Event()

    async def stall(_: web.Request) -> web.Response:
        await is_over.wait()
        return web.Response()

    async with _serving(stall) as address:
        with pytest.raises(DeliveryFailed, match=r"did not answer within 0\.2 s"):
            await _webhook(address).send("msg_1", BODY, now=time.time(), within_s=0.2)
        is_over.set()


async def test_a_server_that_breaks_off_or_is_none_failed() -> None:
    """A connection closed without an answer, one that is refused, and an answer that is no HTTP are failures."""

    async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async def babble(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"SSH-2.0-OpenSSH\r\n\r\n")
        await writer.drain()
        writer.close()

    for answer in (hang_up, babble):
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(DeliveryFailed, match="broke off"):
            await _webhook(f"http://127.0.0.1:{port}").send("msg_1", BODY, now=time.time())
        server.close()
        await server.wait_closed()
    with pytest.raises(DeliveryFailed, match="cannot be reached"):
        await _webhook(f"http://127.0.0.1:{port}").send("msg_1", BODY, now=time.time())


@pytest.mark.parametrize(
    "host", ["169.254.169.254", "[fd00:ec2::254]", "100.100.100.200", "[::ffff:169.254.169.254]", "0.0.0.0"]
)
@pytest.mark.parametrize("allow_private", [False, True])
async def test_forbidden_addresses_are_never_called(host: str, *, allow_private: bool) -> None:
    """Metadata services and link-local addresses are refused before a connection is made, whatever is configured."""
    with pytest.raises(DeliveryFailed, match="such are never called"):
        await _webhook(f"http://{host}/hook", allow_private=allow_private).send("msg_1", BODY, now=time.time())


@pytest.mark.parametrize("address", ["127.0.0.1", "10.0.0.1", "100.64.0.1"])
def test_a_public_name_does_not_lead_inside(address: str) -> None:
    """A name of public DNS that leads to a private address is refused with the setting that would allow it."""

    async def test(loop: OddLoop) -> None:
        loop.found = [address]
        with pytest.raises(DeliveryFailed, match="set allow_private: true"):
            await _webhook("https://hooks.example.com/").send("msg_1", BODY, now=time.time())

    on_odd_loop(test)


def test_allow_private_lets_a_public_name_lead_inside() -> None:
    """With the setting the message arrives."""
    paths: list[str] = []

    async def take(request: web.Request) -> web.Response:
        paths.append(request.path)
        return web.Response()

    async def test(loop: OddLoop) -> None:
        async with _serving(take) as address:
            loop.found = ["127.0.0.1"]
            url = f"http://hooks.example.com:{address.rsplit(':', 1)[1]}/hook"
            await _webhook(url, allow_private=True).send("msg_1", BODY, now=time.time())

    on_odd_loop(test)
    assert paths == ["/hook"]


async def test_a_probe_connects_and_sends_nothing() -> None:
    """What doctor does: a server that can be reached is left alone, one that cannot is told of."""
    asked: list[str] = []

    async def note(request: web.Request) -> web.Response:
        asked.append(request.path)
        return web.Response()

    async with _serving(note) as address:
        await _webhook(address).probe(within_s=5)
    assert asked == []
    with pytest.raises(DeliveryFailed, match="cannot be reached"):
        await _webhook(address).probe(within_s=5)


@pytest.mark.parametrize(
    ("url", "secret"),
    [
        ("ftp://canary.example/hook", SECRET),
        ("https://user:canary@example.com/hook", SECRET),
        ("https://example.com/canary#fragment", SECRET),
        ("https://example.com/hook?canary=a b", SECRET),
        ("https://example.com/hook?canary=a#b", SECRET),
        ("https://example.com/canary é", SECRET),
        ("https://example.com:99999/canary", SECRET),
        ("https://example.com/hook", "canary"),
        ("https://example.com/hook", "whsec_" + base64.b64encode(b"canary").decode()),
        ("https://example.com/hook", "whsec_" + base64.b64encode(b"c" * 65).decode()),
        ("https://example.com/hook", ""),
    ],
)
def test_what_cannot_be_a_webhook_is_refused(url: str, secret: str) -> None:
    """Addresses and secrets of another form are refused at start, and not repeated."""
    with pytest.raises(ConfigurationError) as refused:
        make_webhook(url, secret, frozenset(BudgetEvent), allow_private=False)
    assert "canary" not in refused.value.message
    assert "base_url" not in refused.value.message


def test_an_address_and_its_secret_are_not_shown() -> None:
    """What a webhook is shown as holds its host alone; its fingerprint tells addresses apart."""
    one, other = (_webhook(f"https://example.com/canary?token=canary{number}") for number in range(2))
    assert "canary" not in repr(one)
    assert one.label == "example.com"
    assert one.fingerprint != other.fingerprint
