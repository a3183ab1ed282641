"""Which addresses an upstream may have: the rules, and the guard that applies them to every connection.

A base URL is the operator's, but the addresses behind its name are not: whoever controls that name
could lead calls, with their keys and prompts, to a cloud's metadata service or into the
private network. So addresses are judged after names are resolved, each time, and only addresses
that passed are connected to.
"""

from __future__ import annotations

import errno
import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

from aiohappyeyeballs import AddrInfoType

IPAddress: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
IPNetwork: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network


class Reach(Enum):
    """How far an address reaches, which decides who may lead calls to it."""

    PUBLIC = "public"
    PRIVATE = "private"
    """Loopback, or a network of one's own: for upstreams configured by a name or address that is local itself."""
    SHARED = "shared"
    """A carrier's network (RFC 6598), or an overlay such as Tailscale's: only where ``allow_private`` says so."""
    NEVER = "never"


_METADATA: tuple[tuple[str, str], ...] = (
    ("100.100.100.200/32", "Alibaba Cloud"),
    ("168.63.129.16/32", "Azure"),
    ("192.0.0.192/32", "Oracle Cloud"),
    ("fd00:ec2::254/128", "AWS"),
    ("fd00:ec2::23/128", "AWS"),
    ("fd20:ce::254/128", "Google Cloud"),
    ("fd00:42::42/128", "Scaleway"),
)
"""Metadata services that are not link-local; 169.254.169.254 and 169.254.170.2 fall with their network."""

_NEVER: tuple[tuple[IPNetwork, str], ...] = (
    *((ipaddress.ip_network(network), f"the metadata service of {cloud}") for network, cloud in _METADATA),
    *(
        (ipaddress.ip_network(network), what)
        for network, what in (
            ("169.254.0.0/16", "link-local, as metadata services are"),
            ("0.0.0.0/8", "unspecified"),
            ("224.0.0.0/4", "multicast"),
            ("240.0.0.0/4", "reserved or broadcast"),
            ("192.0.0.0/24", "reserved for protocols"),
            ("192.88.99.0/24", "a 6to4 relay"),
            ("fe80::/10", "link-local"),
            ("ff00::/8", "multicast"),
            # Tunnels hide an IPv4 address that no rule here can be sure of.
            ("2002::/16", "6to4"),
            ("2001::/32", "Teredo"),
            ("64:ff9b:1::/48", "a local NAT64 translation"),
        )
    ),
)
_SHARED = ipaddress.ip_network("100.64.0.0/10")
_MAPPED = ipaddress.ip_network("::ffff:0:0/96")
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_LOOPBACK = ipaddress.ip_address("::1")
_COMPATIBLE = ipaddress.ip_network("::/96")
"""``::`` itself, and the deprecated IPv4-compatible addresses."""

_LOCAL_ENDINGS = frozenset({"localhost", "local", "internal", "lan", "svc", "test", "home.arpa"})
"""Endings that no public DNS serves (RFC 6761, RFC 6762, RFC 8375), and those of container networks."""


def judge(address: IPAddress) -> tuple[Reach, str]:
    """How far an address reaches, and what it is in words."""
    if isinstance(address, ipaddress.IPv6Address):
        if address in _MAPPED or address in _NAT64:
            return judge(ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF))
        if address in _COMPATIBLE and address != _LOOPBACK:
            return Reach.NEVER, "unspecified or IPv4-compatible"
    for network, what in _NEVER:
        if address.version == network.version and address in network:
            return Reach.NEVER, what
    if address.version == _SHARED.version and address in _SHARED:
        return Reach.SHARED, "in the shared range 100.64.0.0/10"
    if address.is_global:
        return Reach.PUBLIC, "public"
    return Reach.PRIVATE, "loopback" if address.is_loopback else "private"


def is_local(host: str) -> bool:
    """Whether a host is an address, or a name that cannot be one of public DNS."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        labels = host.lower().rstrip(".").split(".")
        return len(labels) == 1 or labels[-1] in _LOCAL_ENDINGS or ".".join(labels[-2:]) in _LOCAL_ENDINGS
    return True


class EgressRefused(PermissionError):
    """A host leads to no address that may be called. The message is for the operator and names no address."""

    def __init__(self, message: str) -> None:
        super().__init__(errno.EACCES, message)


@dataclass(frozen=True, slots=True)
class Egress:
    """The guard of one upstream, whose configured base URL has ``host``; None leaves it to its provider."""

    host: str | None
    allow_private: bool = False

    def permitted(self, host: str, found: Iterable[AddrInfoType]) -> list[AddrInfoType]:
        """Those of a host's addresses that may be connected to. Raises EgressRefused when none is left."""
        kept: list[AddrInfoType] = []
        refusal = "its name has no address"
        for info in found:
            reach, what = judge(ipaddress.ip_address(info[4][0]))
            if self._permits(host, reach):
                kept.append(info)
            elif reach is Reach.NEVER:
                refusal = f"its address is {what}, and such are never called"
            else:
                refusal = f"its address is {what}; if that is meant, set allow_private: true"
        if not kept:
            raise EgressRefused(refusal)
        return kept

    def _permits(self, host: str, reach: Reach) -> bool:
        match reach:
            case Reach.PUBLIC:
                return True
            case Reach.PRIVATE:
                return self.allow_private or (host == self.host and is_local(host))
            case Reach.SHARED:
                return self.allow_private
            case Reach.NEVER:
                return False
