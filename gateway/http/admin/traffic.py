"""``/admin/requests`` and ``/admin/spend``: what was asked, by whom, and what it cost."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import AwareDatetime, BaseModel

from gateway.domain.money import show
from gateway.domain.record import Result
from gateway.errors import InvalidRequest
from gateway.http.admin.bodies import Page
from gateway.http.admin.desk import REFUSALS, UNCACHED, AtDesk, Id, Limit, Viewer
from gateway.store.requests import Filter, Grouping, RequestSummary, Spend

routes = APIRouter(prefix="/admin", tags=["admin: traffic"], responses=REFUSALS, dependencies=UNCACHED)

Text = Annotated[str | None, Query(min_length=1, max_length=200, pattern=r"^[ -~]+$")]
Moment = Annotated[AwareDatetime | None, Query(description="A time with its zone: 2026-11-22T00:00:00Z")]

_DEFAULT_SPAN_S = 30 * 86_400
_LAST_YEAR = 9000


class RequestLine(BaseModel):
    """One request in a list; ``GET /v1/requests/{id}`` tells the rest."""

    id: str
    started_at: datetime
    key_id: str
    endpoint: str
    model_asked: str
    arm: str | None
    category: str | None
    result: Result
    status: int
    cost_usd: str
    is_cost_complete: bool
    total_s: float


class SpendLine(BaseModel):
    """What upstream calls of one group cost; ``unpriced`` ones are not in ``cost_usd``, as nobody knows theirs."""

    key_id: str | None
    team_id: str | None
    upstream: str | None
    model: str | None
    day: str | None
    calls: int
    unpriced: int
    cost_usd: str
    prompt_tokens: int
    output_tokens: int


class SpendAnswer(BaseModel):
    """Spending in a period, the dearest first. With ``more``, cheaper groups were left out."""

    since: datetime
    until: datetime
    data: list[SpendLine]
    more: bool


@routes.get("/requests", summary="List requests (viewer)")
async def requests(
    _: Viewer,
    desk: AtDesk,
    *,
    limit: Limit = 100,
    key: Id = None,
    team: Id = None,
    model: Text = None,
    arm: Text = None,
    category: Text = None,
    result: Result | None = None,
    since: Moment = None,
    until: Moment = None,
    after: UUID | None = None,
) -> Page[RequestLine]:
    """The newest first; those on record, which a request is moments after it ended."""
    chosen = Filter(
        key_id=key,
        team_id=team,
        model_asked=model,
        arm=arm,
        category=category,
        result=result,
        since=_seconds(since),
        until=_seconds(until),
        after=None if after is None else str(after),
    )
    found = await desk.requests.recent(chosen, limit=limit)
    return Page(data=[_line(each) for each in found], next=found[-1].id if len(found) == limit else None)


@routes.get("/spend", summary="Sum what requests cost (viewer)")
async def spend(
    _: Viewer,
    desk: AtDesk,
    by: Annotated[list[Grouping], Query(min_length=1, max_length=len(Grouping))],
    since: Moment = None,
    until: Moment = None,
    limit: Limit = 1000,
) -> SpendAnswer:
    """By key, team, model, day, or several of these; over the last 30 days unless said otherwise."""
    end = _seconds(until) or desk.clock.now()
    begin = _seconds(since)
    begin = end - _DEFAULT_SPAN_S if begin is None else begin
    found = await desk.requests.spend(since=begin, until=end, by=by, limit=limit + 1)
    return SpendAnswer(
        since=datetime.fromtimestamp(begin, UTC),
        until=datetime.fromtimestamp(end, UTC),
        data=[_spend_line(group) for group in found[:limit]],
        more=len(found) > limit,
    )


def _seconds(moment: datetime | None) -> float | None:
    if moment is None:
        return None
    if not datetime.fromtimestamp(0, UTC) <= moment or moment.year > _LAST_YEAR:
        raise InvalidRequest(f"times must lie between 1970 and {_LAST_YEAR}")
    return moment.timestamp()


def _line(summary: RequestSummary) -> RequestLine:
    return RequestLine(
        id=summary.id,
        started_at=datetime.fromtimestamp(summary.started_at, UTC),
        key_id=summary.key_id,
        endpoint=summary.endpoint,
        model_asked=summary.model_asked,
        arm=summary.arm,
        category=summary.category,
        result=summary.result,
        status=summary.status,
        cost_usd=show(summary.cost),
        is_cost_complete=summary.is_cost_complete,
        total_s=summary.total_s,
    )


def _spend_line(group: Spend) -> SpendLine:
    return SpendLine(
        key_id=group.key_id,
        team_id=group.team_id,
        upstream=group.upstream,
        model=group.model,
        day=group.day,
        calls=group.calls,
        unpriced=group.unpriced,
        cost_usd=show(group.cost),
        prompt_tokens=group.prompt_tokens,
        output_tokens=group.output_tokens,
    )
