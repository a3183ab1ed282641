"""``/admin/reconciliations``: what the nightly checks of the books found."""

from __future__ import annotations

from datetime import UTC, datetime

from fastapi import APIRouter
from pydantic import BaseModel

from gateway.domain.money import show
from gateway.http.admin.desk import REFUSALS, UNCACHED, AtDesk, Limit, Viewer
from gateway.store.reconciliations import Kind, Reconciliation

routes = APIRouter(prefix="/admin/reconciliations", tags=["admin: books"], responses=REFUSALS, dependencies=UNCACHED)


class ReconciliationLine(BaseModel):
    """One check of one day. ``difference_usd`` adds all differences without their signs; ``details`` has the largest.

    ``finished_at`` is null while the check runs, and stays null where its process ended in it.
    """

    day: str
    kind: Kind
    started_at: datetime
    finished_at: datetime | None
    compared: int
    differing: int
    difference_usd: str
    details: list[dict[str, str]]


class ReconciliationsAnswer(BaseModel):
    """The newest checks first, and how many requests are under way at this gateway, in no ledger yet."""

    data: list[ReconciliationLine]
    open_requests: int


@routes.get("", summary="List the nightly checks of ledger and log (viewer)")
async def recent(_: Viewer, desk: AtDesk, limit: Limit = 30) -> ReconciliationsAnswer:
    """``balances``: what budgets counted, against the log. ``calls``: each request's cost, against its calls'."""
    found = await desk.reconciliations.recent(limit=limit)
    return ReconciliationsAnswer(data=[_line(each) for each in found], open_requests=desk.open_requests())


def _line(each: Reconciliation) -> ReconciliationLine:
    return ReconciliationLine(
        day=each.day,
        kind=each.kind,
        started_at=datetime.fromtimestamp(each.started_at, UTC),
        finished_at=None if each.finished_at is None else datetime.fromtimestamp(each.finished_at, UTC),
        compared=each.finding.compared,
        differing=each.finding.differing,
        difference_usd=show(each.finding.difference),
        details=[dict(detail) for detail in each.finding.details],
    )
