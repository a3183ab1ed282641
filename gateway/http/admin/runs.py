"""``/admin/runs``: the calibration runs, how far they are, what they spent and what they measured."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel

from gateway.domain.experiment import CellProgress, ExperimentStanding, ExperimentState
from gateway.domain.money import show
from gateway.errors import NotFound
from gateway.http.admin.bodies import Page
from gateway.http.admin.desk import REFERENCE, REFUSALS, UNCACHED, AtDesk, Limit, Viewer

routes = APIRouter(prefix="/admin/runs", tags=["admin: runs"], responses=REFUSALS, dependencies=UNCACHED)

_Run = Annotated[str, Path(pattern=REFERENCE, description="A run's id.")]
_Policy = Annotated[str | None, Query(pattern=REFERENCE, description="Of this policy alone.")]


class RunLine(BaseModel):
    """A run. ``held_usd`` is set aside for answers under way; the note of one that has ended says how."""

    run: str
    policy: str
    state: ExperimentState
    note: str | None
    spent_usd: str
    held_usd: str
    cap_usd: str
    created_at: datetime
    by: str
    finished_at: datetime | None


class MeasuredCell(BaseModel):
    """How an arm did on the items of a category and difficulty."""

    category: str
    difficulty: str | None
    arm: str
    items: int
    mean_score: float
    cost_usd: str


class RunAnswer(RunLine):
    """A run, what it was begun with, and what is measured so far."""

    policy_digest: str
    digest: str
    seed: int
    target: dict[str, Any]
    measured: list[MeasuredCell]


@routes.get("", summary="List calibration runs (viewer)")
async def page(_: Viewer, desk: AtDesk, policy: _Policy = None, limit: Limit = 100) -> Page[RunLine]:
    """The newest first."""
    found = await desk.experiments.recent(limit=limit, policy=policy)
    return Page(data=[_line(each) for each in found], next=None)


@routes.get("/{run}", summary="Read a calibration run (viewer)")
async def find(run: _Run, _: Viewer, desk: AtDesk) -> RunAnswer:
    """With its items and scores by arm, category and difficulty."""
    found = await desk.experiments.find(run)
    if found is None:
        raise NotFound(f"there is no run {run!r}; GET /admin/runs lists those that there are")
    about = found.experiment
    return RunAnswer(
        **_line(found).model_dump(),
        policy_digest=about.policy_digest,
        digest=about.digest,
        seed=about.seed,
        target=dict(about.target),
        measured=[_measured(each) for each in await desk.measurements.progress(run)],
    )


def _line(standing: ExperimentStanding) -> RunLine:
    about = standing.experiment
    return RunLine(
        run=about.id,
        policy=about.policy,
        state=standing.state,
        note=standing.note,
        spent_usd=show(standing.spent),
        held_usd=show(standing.held),
        cap_usd=show(about.cap),
        created_at=_time(about.created_at),
        by=about.created_by,
        finished_at=None if standing.finished_at is None else _time(standing.finished_at),
    )


def _measured(progress: CellProgress) -> MeasuredCell:
    return MeasuredCell(
        category=progress.category,
        difficulty=progress.difficulty,
        arm=progress.arm,
        items=progress.items,
        mean_score=progress.score / progress.items,
        cost_usd=show(progress.cost),
    )


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
