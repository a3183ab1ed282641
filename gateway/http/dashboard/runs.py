"""Calibration runs: how far each is, what it spent, and what it measured."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from gateway.errors import NotFound
from gateway.http.dashboard import forms
from gateway.http.dashboard.board import Board
from gateway.http.dashboard.entrance import VISITOR
from gateway.http.dashboard.evidence import wilson
from gateway.http.dashboard.pages import Pages

_LISTED = 50


def routes(board: Board, pages: Pages) -> list[Route]:
    """The list, and one run."""
    desk = board.desk

    async def page(request: Request) -> Response:
        found = await desk.experiments.recent(limit=_LISTED)
        return HTMLResponse(
            await pages.render(
                "runs.html", visitor=request.scope[VISITOR], here="runs", title="Calibration", runs=found
            )
        )

    async def one(request: Request) -> Response:
        run = forms.reference(request.path_params["run"])
        found = await desk.experiments.find(run)
        if found is None:
            raise NotFound(f"there is no run {run!r}")
        progress = await desk.measurements.progress(run)
        versions = await desk.profiles.versions(found.experiment.policy, limit=_LISTED)
        return HTMLResponse(
            await pages.render(
                "run_part.html" if "part" in request.query_params else "run.html",
                visitor=request.scope[VISITOR],
                here="runs",
                title=f"Run {run}",
                run=found,
                cells=[
                    (each, each.score / each.items, wilson(each.score / each.items, each.items)) for each in progress
                ],
                measured=sum(each.items for each in progress),
                planned=_planned(found.experiment.target),
                published=next((each for each in versions if each.experiment_id == run), None),
            )
        )

    return [
        Route("/dashboard/runs", page, methods=["GET"]),
        Route("/dashboard/runs/{run}", one, methods=["GET"]),
    ]


def _planned(target: Mapping[str, Any]) -> int | None:
    """How many answers a run measures at most, each item by each arm; None where its target does not say.

    A run that is sure earlier measures fewer.
    """
    rules = target.get("rules")
    counts = [
        each["items"] * len(each["arms"])
        for each in (rules.values() if isinstance(rules, Mapping) else ())
        if isinstance(each.get("items"), int) and isinstance(each.get("arms"), list)
    ]
    return sum(counts) or None
