"""``/admin/verifiers``: how far each verifier can be trusted, the caps that follow from it, and lifting one."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Path
from pydantic import BaseModel

from gateway.http.admin.bodies import Page
from gateway.http.admin.desk import REFERENCE, REFUSALS, UNCACHED, AtDesk, Limit, Operator, Viewer
from gateway.search.verifier_health import BestOf, Estimate
from gateway.store.verifier_looks import VerifierLooks, VerifierStanding

routes = APIRouter(prefix="/admin/verifiers", tags=["admin: verifiers"], responses=REFUSALS, dependencies=UNCACHED)

_Name = Annotated[str, Path(pattern=REFERENCE, description="A verifier's name.")]


class EstimateAnswer(BaseModel):
    """A mean over so many problems, with its interval at 95%."""

    value: float
    low: float
    high: float
    problems: int


class BestOfAnswer(BaseModel):
    """How often the best scored of so many answers is right, and its mean score."""

    samples: int
    accuracy: EstimateAnswer
    mean_score: float


class LookAnswer(BaseModel):
    """One look at a verifier. ``cap`` is what it found, ``cap_after`` what was in force then until it was lifted."""

    number: int
    source: str
    answers: int
    problems: int
    within_auc: EstimateAnswer | None
    pooled_auc: float | None
    best_of: list[BestOfAnswer]
    cap: int | None
    cap_after: int | None
    at: datetime
    by: str
    lifted_at: datetime | None
    lifted_by: str | None


class VerifierAnswer(BaseModel):
    """A verifier, the most samples that searches draw for it to choose from, and the last look at it."""

    name: str
    is_configured: bool
    cap: int | None
    look: LookAnswer | None


@routes.get("", summary="List verifiers with their health (viewer)")
async def page(_: Viewer, desk: AtDesk) -> Page[VerifierAnswer]:
    """Those that are configured, and those that were ever examined, by name."""
    latest, configured = await VerifierLooks(desk.changes).latest(), desk.verifiers()
    names = sorted(latest.keys() | set(configured))
    data = [_verifier(name, latest.get(name), is_configured=name in configured) for name in names]
    return Page(data=data, next=None)


@routes.get("/{name}/looks", summary="List the looks at a verifier (viewer)")
async def looks(name: _Name, _: Viewer, desk: AtDesk, limit: Limit = 100) -> Page[LookAnswer]:
    """The last first."""
    found = await VerifierLooks(desk.changes).history(name, limit=limit)
    return Page(data=[_look(each) for each in found], next=None)


@routes.post("/{name}/lift", summary="Lift a verifier's cap (operator)")
async def lift(name: _Name, by: Operator, desk: AtDesk) -> VerifierAnswer:
    """In every process within two seconds. Another look may find a cap again."""
    done = await VerifierLooks(desk.changes).lift(name, by)
    await desk.refresh()
    return _verifier(name, done, is_configured=name in desk.verifiers())


def _verifier(name: str, standing: VerifierStanding | None, *, is_configured: bool) -> VerifierAnswer:
    return VerifierAnswer(
        name=name,
        is_configured=is_configured,
        cap=None if standing is None else standing.in_force,
        look=None if standing is None else _look(standing),
    )


def _look(standing: VerifierStanding) -> LookAnswer:
    look, health = standing.look, standing.look.health
    return LookAnswer(
        number=look.number,
        source=look.source,
        answers=look.answers,
        problems=look.problems,
        within_auc=None if health.within is None else _estimate(health.within),
        pooled_auc=health.pooled,
        best_of=[_best_of(each) for each in health.curve],
        cap=health.cap,
        cap_after=standing.cap,
        at=_time(standing.at),
        by=standing.by,
        lifted_at=None if standing.lifted_at is None else _time(standing.lifted_at),
        lifted_by=standing.lifted_by,
    )


def _best_of(point: BestOf) -> BestOfAnswer:
    return BestOfAnswer(samples=point.samples, accuracy=_estimate(point.truth), mean_score=point.score)


def _estimate(estimate: Estimate) -> EstimateAnswer:
    return EstimateAnswer(value=estimate.value, low=estimate.low, high=estimate.high, problems=estimate.problems)


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
