"""Judgements: what verifiers said of answers, beside what somebody who is believed said of the same ones."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import func, select

from gateway.store.calibration_tables import outcomes
from gateway.store.connections import Connections
from gateway.store.pages import pages
from gateway.store.tables import requests
from gateway.store.verifications import CALIBRATOR

VERIFIER: Final = "verifier:"
"""What sources of verifiers begin with; no client's may."""
_READ_AT_ONCE: Final = 5_000


@dataclass(frozen=True, slots=True)
class Judgement:
    """One verdict of a verifier on an answer of an arm.

    ``truth`` is the mean, by weight, of what was said of the answer by keys that may speak of anybody's requests;
    None where they said nothing.
    """

    verifier: str
    arm: str
    score: float
    truth: float | None


class Judgements:
    """The judgements in a database."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    async def read(
        self, policy: str, *, since: float, until: float, size: int = _READ_AT_ONCE
    ) -> AsyncIterator[Sequence[Judgement]]:
        """Those on requests of a policy that began in a period, so many at a time, each part by a short query."""
        verdict = outcomes.c
        order = (verdict.started_at, verdict.request_id, verdict.source)
        statement = _statement(policy).where(verdict.started_at < until)
        async for rows in pages(self._connections, statement, order, size=size, first=verdict.started_at >= since):
            yield [Judgement(row.source.removeprefix(VERIFIER), row.arm, row.score, row.truth) for row in rows]


def _statement(policy: str) -> Any:
    verdict, said = outcomes.c, outcomes.alias("said").c
    truth = (
        select(func.sum(said.score * said.weight) / func.sum(said.weight))
        .where(
            said.started_at == verdict.started_at,
            said.request_id == verdict.request_id,
            said.is_vouched,
            said.source.not_like(f"{VERIFIER}%"),
        )
        .scalar_subquery()
    )
    return (
        select(
            verdict.started_at, verdict.request_id, verdict.source, verdict.score, requests.c.arm, truth.label("truth")
        )
        .join(requests, requests.c.id == verdict.request_id)
        .where(
            verdict.key_id == CALIBRATOR,
            verdict.source.like(f"{VERIFIER}%"),
            requests.c.policy == policy,
            requests.c.arm.is_not(None),
        )
    )
