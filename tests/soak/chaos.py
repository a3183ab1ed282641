"""Every process of an installation killed in turn, every way cut, under load; and how fast changes spread."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import httpx

from gateway.store.base import locate
from gateway.store.changes import Changes
from gateway.store.profiles import Profiles
from tests.policy.documents import write_policy
from tests.soak.books import Books, Bounded, audit, failures
from tests.soak.disasters import Disaster, Disasters
from tests.soak.installation import POLICY, Installation, policy
from tests.soak.load import Answer, Load
from tests.soak.relay import Way
from tests.soak.upstream import STEADY, Mood
from tests.store.profiles import document
from tests.store.tenants import OPERATOR

AMPLE_USD = "1000"
_ANSWERS_BETWEEN = 20
_SPREAD_S = 20.0
_LOOK_EVERY_S = 0.02
_YEAR_S = 3.15e7


@dataclass(frozen=True, slots=True)
class Step:
    """What was done, and what the clients saw of it."""

    name: str
    took_s: float
    answers: tuple[Answer, ...]


@dataclass(frozen=True, slots=True)
class Spread:
    """A change at one gateway, and after how long the last one had it."""

    name: str
    took_s: float


@dataclass(frozen=True, slots=True)
class Chaos:
    """A whole round of it."""

    cut_s: float
    rate_per_s: float
    steps: tuple[Step, ...]
    spreads: tuple[Spread, ...]
    answers: tuple[Answer, ...]
    books: Books

    @property
    def failures(self) -> list[Answer]:
        """What a client without retries notices, and should not."""
        return failures(self.answers)


def keys_of(installation: Installation, *budgets_usd: str) -> list[Bounded]:
    """A new key for each of these budgets, known to every gateway; without limits for an empty one."""
    administrator = installation.administrator()
    made = []
    for amount in budgets_usd:
        key, secret = administrator.key(budgets=[{"period": "total", "amount_usd": amount}] if amount else [])
        made.append(Bounded(key["id"], secret, amount))
    for gateway in installation.gateways:
        for key in made:
            headers = {"authorization": f"Bearer {key.secret}"}
            _await(lambda at=gateway.address, by=headers: httpx.get(f"{at}/v1/models", headers=by).is_success)
    return made


def disasters(does: Disasters, installation: Installation, *, cut_s: float) -> list[Disaster]:
    """Everything that can be killed, killed and started again; everything that can be cut, cut for so long."""
    blink_s = min(cut_s, 5.0)
    found = [
        Disaster(f"gateway {number} killed", partial(does.kill_gateway, number))
        for number in range(len(installation.gateways))
    ]
    found += [
        Disaster(f"{helper.word} killed", partial(does.kill_helper, number))
        for number, helper in enumerate(installation.helpers)
    ]
    return [
        *found,
        Disaster("provider errs", partial(does.trouble_provider, Mood.ERRORS, blink_s)),
        Disaster("provider cuts streams", partial(does.trouble_provider, Mood.CUTS, blink_s)),
        Disaster("PostgreSQL killed", partial(does.kill_postgres, blink_s)),
        Disaster("Redis killed", partial(does.kill_redis, blink_s)),
        Disaster("PostgreSQL refuses", partial(does.cut_postgres, Way.REFUSE, cut_s)),
        Disaster("PostgreSQL silent", partial(does.cut_postgres, Way.SILENCE, cut_s)),
        Disaster("Redis refuses", partial(does.cut_redis, Way.REFUSE, cut_s)),
        Disaster("Redis silent", partial(does.cut_redis, Way.SILENCE, cut_s)),
        Disaster("gateway 0 stopped", partial(does.stop_gateway, 0)),
    ]


def play(
    installation: Installation, *, rate: float, cut_s: float, bounded_usd: str, say: Callable[[str], None]
) -> Chaos:
    """Do all of it, one after the other, and look at the books.

    Where keys with a budget are refused while Redis is away, most of the load is by a key without one.
    """
    keys = keys_of(installation, AMPLE_USD, bounded_usd)
    (main,) = keys_of(installation, "") if installation.is_closed else keys[:1]
    load = Load([gateway.address for gateway in installation.gateways], main.secret, rate=rate, seed=20261122)
    load.is_closed = installation.is_closed
    load.bounded_secrets = [key.secret for key in keys]
    steps = []
    with load:
        load.await_answers(_ANSWERS_BETWEEN)
        for disaster in disasters(Disasters(installation, load), installation, cut_s=cut_s):
            began, first = time.monotonic(), len(load.answers)
            disaster.happen()
            took_s = time.monotonic() - began
            load.await_answers(_ANSWERS_BETWEEN)
            steps.append(Step(disaster.name, took_s, tuple(load.answers[first:])))
            say(f"{disaster.name}: {took_s:.1f} s, {len(steps[-1].answers)} requests, "
                f"{len(failures(steps[-1].answers))} failed")  # fmt: skip
        spreads = spread(installation)
    books = audit(installation, load, keys)
    return Chaos(cut_s, rate, tuple(steps), tuple(spreads), tuple(load.answers), books)


def spread(installation: Installation) -> list[Spread]:
    """How long three changes take from the gateway where they are made to the last one."""
    administrator = installation.administrator()
    for gateway in installation.gateways:
        write_policy(gateway.home / "policies", POLICY, policy(STEADY))
    _await(lambda: len(administrator.get(f"/policies/{POLICY}/versions")["data"]) > 1)
    digest = administrator.get("/policies")["data"][0]["digest"]
    for number in range(len(installation.gateways)):
        _await(lambda at=number: installation.administrator(at).get("/policies")["data"][0]["digest"] == digest)
    asyncio.run(_publish(installation))
    key, secret = administrator.key()
    headers = {"authorization": f"Bearer {secret}"}
    addresses = [gateway.address for gateway in installation.gateways]
    for address in addresses:
        _await(lambda at=address: httpx.get(f"{at}/v1/models", headers=headers).is_success)
    return [
        Spread(
            "a policy rolled back",
            _until_all(
                addresses,
                partial(administrator.done, "POST", f"/policies/{POLICY}/rollback"),
                lambda at: _gauge(at, "ponder_policies_rolled_back") == 1,
            ),
        ),
        Spread(
            "a profile activated",
            _until_all(
                addresses,
                partial(administrator.done, "POST", f"/profiles/{POLICY}/activate", {"number": 1}),
                lambda at: _gauge(at, "ponder_profiles") == 1,
            ),
        ),
        Spread(
            "a key revoked",
            _until_all(
                addresses,
                partial(administrator.done, "POST", f"/keys/{key['id']}/revoke"),
                lambda at: httpx.get(f"{at}/v1/models", headers=headers).status_code == httpx.codes.UNAUTHORIZED,
            ),
        ),
    ]


async def _publish(installation: Installation) -> None:
    changes = Changes(locate(installation.postgres.url))
    try:
        version = document(POLICY)
        await Profiles(changes).publish(version, number=1, expires_at=time.time() + _YEAR_S, by=OPERATOR)
    finally:
        await changes.close()


def _until_all(addresses: Sequence[str], change: Callable[[], object], has_it: Callable[[str], bool]) -> float:
    change()
    began = time.monotonic()
    for address in addresses:
        _await(lambda at=address: has_it(at))
    return time.monotonic() - began


def _gauge(address: str, name: str) -> float:
    found = re.search(rf"^{name} (\S+)$", httpx.get(f"{address}/metrics", timeout=10).text, re.MULTILINE)
    return float(found[1]) if found else 0.0


def _await(is_so: Callable[[], bool]) -> None:
    end = time.monotonic() + _SPREAD_S
    while not is_so():
        assert time.monotonic() < end, f"a change had not spread after {_SPREAD_S:g} s"
        time.sleep(_LOOK_EVERY_S)
