"""The books of an installation after a run: the log and the ledger, against what clients saw."""

from __future__ import annotations

import asyncio
import re
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

import httpx

from gateway.domain.money import Usd, from_nanos, show, to_nanos
from tests.soak.databases import Postgres
from tests.soak.installation import Installation
from tests.soak.load import Answer, Load, Outcome
from tests.soak.upstream import STEADY

_SETTLE_S = 60.0
_LAPSE_S = 180.0
_LOOK_EVERY_S = 0.5
_RESULTS = {
    Outcome.ANSWERED: frozenset({"answered"}),
    Outcome.CUT: frozenset({"truncated", "failed"}),
    Outcome.EXHAUSTED: frozenset({"refused"}),
}
"""What the log may say of a request, by what its client saw."""


@dataclass(frozen=True, slots=True)
class Books:
    """What was found; everything but ``rows`` and ``results`` should be nothing.

    ``lost`` requests were answered and are not in the log, ``doubled`` ones are there twice, ``wrong``
    ones with another result, ``drawless`` ones answered without a call. ``off`` names accounts whose ledger
    is not the sum over the log, ``overspent`` those that were charged more than their budget.
    """

    rows: int
    results: dict[str, int]
    lost: int
    doubled: int
    wrong: tuple[str, ...]
    drawless: int
    uneven: int
    """Requests whose cost is not the sum of their calls'."""
    off: tuple[str, ...]
    overspent: tuple[str, ...]

    @property
    def faults(self) -> tuple[str, ...]:
        """What is not as it should be, in words."""
        counted = {"lost": self.lost, "twice": self.doubled, "without a call": self.drawless, "uneven": self.uneven}
        said = [f"{number} {what}" for what, number in counted.items() if number]
        return (*said, *self.wrong[:5], *self.off, *self.overspent)


@dataclass(frozen=True, slots=True)
class Bounded:
    """A key, what it may spend in all, and what it is called by."""

    key_id: str
    secret: str
    amount_usd: str


def audit(installation: Installation, load: Load, keys: Sequence[Bounded]) -> Books:
    """Wait until every record is in the database, and compare. The load must have ended."""
    _await_records(installation)
    return asyncio.run(_audit(installation, load.answers, keys))


def _await_records(installation: Installation) -> None:
    end = time.monotonic() + _SETTLE_S
    for gateway in installation.gateways:
        while _waiting(gateway.address):
            assert time.monotonic() < end, f"records still wait in the journal after {_SETTLE_S:g} s"
            time.sleep(_LOOK_EVERY_S)


def _waiting(address: str) -> int:
    metrics = httpx.get(f"{address}/metrics", timeout=10).text
    names = ("ponder_records_queued", "ponder_settlements_waiting", "ponder_holds_open", "ponder_requests_in_flight")
    found = (re.search(rf"^{name} (\S+)$", metrics, re.MULTILINE) for name in names)
    return sum(int(float(each[1])) for each in found if each)


async def _audit(installation: Installation, answers: Sequence[Answer], keys: Sequence[Bounded]) -> Books:
    database = installation.postgres
    rows = await database.rows("SELECT replace(id::text, '-', '') AS id, result FROM requests")
    logged = {row["id"]: row["result"] for row in rows}
    known = [answer for answer in answers if answer.request_id is not None]
    wrong = [
        f"{answer.request_id} is {logged[answer.request_id]} and was {answer.outcome} ({answer.kind})"
        for answer in known
        if answer.request_id in logged
        and answer.outcome in _RESULTS
        and logged[answer.request_id] not in _RESULTS[answer.outcome]
    ]
    return Books(
        rows=len(rows),
        results=dict(Counter(logged.values())),
        lost=sum(answer.request_id not in logged for answer in known),
        doubled=len(rows) - len(logged),
        wrong=tuple(wrong),
        drawless=await _count(database, _DRAWLESS),
        uneven=await _count(database, _UNEVEN),
        off=tuple([fault for key in keys if (fault := await _off(installation, key))]),
        overspent=tuple([fault for key in keys if (fault := await _overspent(database, key))]),
    )


_DRAWLESS = """
SELECT count(*) FROM requests r WHERE r.result = 'answered'
AND NOT EXISTS (SELECT FROM draws d WHERE d.started_at = r.started_at AND d.request_id = r.id)
"""
_UNEVEN = """
SELECT count(*) FROM requests r
LEFT JOIN (SELECT started_at, request_id, sum(coalesce(cost_nanos, 0)) AS nanos FROM draws GROUP BY 1, 2) d
ON d.started_at = r.started_at AND d.request_id = r.id
WHERE r.cost_nanos <> coalesce(d.nanos, 0)
"""
_CHARGED = "SELECT coalesce(sum(coalesce(charged_nanos, cost_nanos)), 0)::bigint FROM requests WHERE key_id = $1"


async def _count(database: Postgres, statement: str) -> int:
    number: int = (await database.rows(statement))[0][0]
    return number


async def _charged(database: Postgres, key: Bounded) -> int:
    nanos: int = (await database.rows(_CHARGED, key.key_id))[0][0]
    return nanos


async def _off(installation: Installation, key: Bounded) -> str | None:
    """What the ledger has counted for a key, against the sum over the log.

    What a gateway held when it was killed lapses after a minute, and ends as the log has it within another one.
    """
    end = time.monotonic() + _LAPSE_S
    while True:
        fault = await _difference(installation, key)
        if fault is None or time.monotonic() >= end:
            return fault
        await asyncio.sleep(_LOOK_EVERY_S)


async def _difference(installation: Installation, key: Bounded) -> str | None:
    body = {"model": STEADY, "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 10**9}
    headers = {"authorization": f"Bearer {key.secret}"}
    address = installation.gateways[0].address
    async with httpx.AsyncClient(timeout=30) as client:
        refusal = await client.post(f"{address}/v1/chat/completions", json=body, headers=headers)
    said = refusal.json()["error"]["message"]
    told = re.search(r"\(\$([0-9.]+) spent(?:, \$([0-9.]+) held)?", said)
    if told is None:
        return f"the ledger of {key.key_id} cannot be read: {refusal.status_code} {said}"
    ledger = sum(_nanos(each) for each in told.groups() if each)
    log = await _charged(installation.postgres, key)
    if ledger == log:
        return None
    return f"{key.key_id}: ${show(from_nanos(ledger))} in the ledger and ${show(from_nanos(log))} in the log"


async def _overspent(database: Postgres, key: Bounded) -> str | None:
    charged = await _charged(database, key)
    if charged <= _nanos(key.amount_usd):
        return None
    return f"{key.key_id} was charged ${show(from_nanos(charged))} of ${key.amount_usd}"


def _nanos(dollars: str) -> int:
    return to_nanos(Usd(Decimal(dollars)))


def failures(answers: Sequence[Answer]) -> list[Answer]:
    """What a client without retries notices, and should not."""
    return [answer for answer in answers if answer.outcome in (Outcome.FAILED, Outcome.UNSERVED)]
