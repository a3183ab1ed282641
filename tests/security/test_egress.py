"""Promise: calls go to configured upstreams alone, and never to metadata services or what hides behind a name."""

from __future__ import annotations

import ipaddress
import socket

import httpx
import pytest

from gateway.adapters.egress import Egress, EgressRefused, Reach, is_local, judge
from gateway.adapters.litellm_wire import connection_pool
from gateway.adapters.openai_upstream import OpenAIUpstream
from gateway.adapters.pool import Pool, parse_address
from gateway.domain.chat import Dialect
from gateway.errors import UpstreamFailed
from tests.adapters.litellm_calls import AS_LITELLM_WARNS, ask, calling, chat_body, upstream_at
from tests.adapters.odd_loop import OddLoop, on_odd_loop
from tests.adapters.raw_server import PATIENCE_S, RawServer, answer, answering

pytestmark = AS_LITELLM_WARNS

PUBLIC_NAME = "models.example.com"
METADATA = "169.254.169.254"
NEVER = (
    METADATA,
    "169.254.170.2",
    "169.254.0.1",
    "100.100.100.200",
    "168.63.129.16",
    "192.0.0.192",
    "fd00:ec2::254",
    "fd20:ce::254",
    "fe80::1",
    "fe80::1%3",
    "febf::1",
    "0.0.0.0",
    "0.1.2.3",
    "::",
    "224.0.0.1",
    "239.255.255.255",
    "ff02::1",
    "255.255.255.255",
    "240.0.0.1",
    "192.88.99.1",
    "2002:a9fe:a9fe::1",
    "2002:7f00:1::",
    "2001:0:4136:e378:8000:63bf:3fff:fdd2",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b::100.100.100.200",
    "64:ff9b:1::a9fe:a9fe",
    "64:ff9b:1:fffe::808:808",
    "::ffff:169.254.169.254",
    "::ffff:0.0.0.0",
    "::169.254.169.254",
    "::7f00:1",
)
SHARED = ("100.64.0.0", "100.127.255.255", "::ffff:100.64.0.1", "64:ff9b::100.64.0.1")
PRIVATE = (
    "127.0.0.1",
    "127.255.0.1",
    "::1",
    "10.0.0.1",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.1.1",
    "fc00::1",
    "fdff::1",
    "::ffff:10.0.0.1",
    "::ffff:127.0.0.1",
    "64:ff9b::10.0.0.1",
    "192.0.2.1",
    "2001:db8::1",
)
PUBLIC = (
    "8.8.8.8",
    "100.63.255.255",
    "100.128.0.0",
    "172.32.0.1",
    "169.253.255.255",
    "2606:4700::1111",
    "64:ff9b::8.8.8.8",
    "::ffff:8.8.8.8",
)


def infos(*addresses: str) -> list[tuple[int, int, int, str, tuple[str, int]]]:
    """What a resolver says of a host with these addresses."""
    return [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (each, 443)) for each in addresses]


@pytest.mark.parametrize(
    ("address", "reach"),
    [
        (address, reach)
        for reach, addresses in (
            (Reach.NEVER, NEVER),
            (Reach.SHARED, SHARED),
            (Reach.PRIVATE, PRIVATE),
            (Reach.PUBLIC, PUBLIC),
        )
        for address in addresses
    ],
)
def test_every_address_has_its_reach(address: str, reach: Reach) -> None:
    """An address is judged by what it leads to, an IPv4 address inside it included."""
    assert judge(ipaddress.ip_address(address))[0] is reach


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("localhost", True),
        ("gpu", True),
        ("gpu.local", True),
        ("GPU.Internal.", True),
        ("vllm.models.svc", True),
        ("vllm.models.svc.cluster.local", True),
        ("nas.home.arpa", True),
        ("10.1.2.3", True),
        ("::1", True),
        ("api.openai.com", False),
        ("internal.example.com", False),
        ("localhost.example.com", False),
        ("arpa.example", False),
        ("127.1", False),
    ],
)
def test_local_names_are_those_that_public_dns_cannot_serve(host: str, expected: bool) -> None:
    """Addresses, single labels and special endings are local; a public name is not, whatever it begins with."""
    assert is_local(host) is expected


@pytest.mark.parametrize("address", [*NEVER, *SHARED])
@pytest.mark.parametrize("host", [PUBLIC_NAME, "gpu.internal", None])
def test_some_addresses_are_refused_whoever_leads_there(host: str | None, address: str) -> None:
    """Metadata, link-local, tunnels and shared ranges are refused even when they stand in base_url themselves."""
    configured = host or address
    with pytest.raises(EgressRefused):
        Egress(configured).permitted(configured, infos(address))


@pytest.mark.parametrize("address", PRIVATE)
def test_a_public_name_does_not_lead_inside(address: str) -> None:
    """Private and loopback addresses are for upstreams whose base_url says so: by address, name or setting."""
    found = infos(address)
    with pytest.raises(EgressRefused, match="allow_private: true"):
        Egress(PUBLIC_NAME).permitted(PUBLIC_NAME, found)
    assert Egress(PUBLIC_NAME, allow_private=True).permitted(PUBLIC_NAME, found) == found
    assert Egress("gpu.internal").permitted("gpu.internal", found) == found
    assert Egress(address).permitted(address, found) == found


def test_only_the_configured_host_may_be_local() -> None:
    """A local name that nobody configured, as a library's default might be, leads nowhere."""
    for configured in (None, PUBLIC_NAME, "other.internal"):
        with pytest.raises(EgressRefused):
            Egress(configured).permitted("localhost", infos("127.0.0.1"))


@pytest.mark.parametrize("address", NEVER)
def test_allow_private_allows_no_metadata(address: str) -> None:
    """The setting opens private and shared ranges, nothing else."""
    with pytest.raises(EgressRefused, match="never called"):
        Egress(PUBLIC_NAME, allow_private=True).permitted(PUBLIC_NAME, infos(address))
    shared = infos(SHARED[0])
    assert Egress(PUBLIC_NAME, allow_private=True).permitted(PUBLIC_NAME, shared) == shared


def test_of_many_addresses_the_good_ones_are_kept() -> None:
    """A name with a forbidden address beside good ones is served by the good ones."""
    found = infos(METADATA, "8.8.8.8", "10.0.0.1", "2606:4700::1111")
    assert Egress(PUBLIC_NAME).permitted(PUBLIC_NAME, found) == [found[1], found[3]]


def test_the_name_that_was_good_at_first_is_refused_when_it_changes() -> None:
    """Each new connection asks for addresses anew and judges what it got: a changed answer is not connected to."""

    async def test(loop: OddLoop) -> None:
        async with RawServer(answering(answer(b"ok"))) as server:
            pool = Pool(parse_address(f"http://gpu.internal:{server.port}"), 4)
            loop.found = ["127.0.0.1"]
            first = await pool.take(within_s=PATIENCE_S)
            for changed in ([METADATA], ["::ffff:169.254.169.254"], ["100.64.0.1"], ["0.0.0.0"]):
                loop.found = changed
                with pytest.raises(EgressRefused):
                    await pool.take(within_s=PATIENCE_S)
            assert loop.searches == 5
            first.close()
            pool.close()

    on_odd_loop(test)


def test_a_public_name_that_changes_to_loopback_reaches_nobody() -> None:
    """DNS rebinding: the server that listens there never sees a connection."""

    async def test(loop: OddLoop) -> None:
        async with RawServer(answering(answer(b"ok"))) as server:
            pool = Pool(parse_address(f"http://{PUBLIC_NAME}:{server.port}"), 4)
            for found in (["127.0.0.1"], ["::1", "127.0.0.1"], [METADATA, "127.0.0.1"]):
                loop.found = found
                with pytest.raises(EgressRefused):
                    await pool.take(within_s=PATIENCE_S)
            assert server.asked == []
            pool.close()

    on_odd_loop(test)


@pytest.mark.parametrize("host", [METADATA, "[fd00:ec2::254]", "2852039166", "[::ffff:a9fe:a9fe]", "0.0.0.0"])
async def test_the_upstream_says_why(host: str) -> None:
    """A refused address is a failed upstream that cost nothing, in words for the operator; decimal forms included."""
    upstream = OpenAIUpstream(
        name="up",
        base_url=f"http://{host}/v1",
        api_key="sk-up",
        dialects=(Dialect.OPENAI_CHAT,),
        headers={},
        connections=1,
    )
    with pytest.raises(UpstreamFailed, match=r"up cannot be reached: its address is .*never called") as refused:
        async with upstream.open(calling(chat_body("m"))):
            pass
    assert refused.value.is_unbilled
    await upstream.close()


async def test_the_guard_stands_before_litellm_too() -> None:
    """An upstream through litellm is refused the same addresses, in the same words."""
    with pytest.raises(UpstreamFailed, match=r"gemini cannot be reached: its address is .*never called") as refused:
        await ask(upstream_at(f"http://{METADATA}"), calling(chat_body()))
    assert refused.value.is_unbilled


def test_the_network_beneath_litellm_judges_every_connection() -> None:
    """It takes the next good address when one is dead, and refuses the name when its answer has changed."""

    async def test(loop: OddLoop) -> None:
        async with RawServer(answering(answer(b"ok"))) as server:
            url = f"http://gpu.internal:{server.port}/"
            loop.found = [METADATA, "::1", "127.0.0.1"]
            async with connection_pool(2, Egress("gpu.internal")) as pool:
                reply = await pool.handle_async_request(httpx.Request("POST", url))
                assert await reply.aread() == b"ok"
            for changed in ([METADATA], ["100.64.0.1"], ["::ffff:169.254.169.254"]):
                loop.found = changed
                async with connection_pool(2, Egress("gpu.internal")) as pool:
                    with pytest.raises(EgressRefused):
                        await pool.handle_async_request(httpx.Request("POST", url))
            assert len(server.asked) == 1

    on_odd_loop(test)
