"""Profiles: versions with their certificates, canaries, and what the measurements behind one say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from gateway.domain.experiment import CellProgress, Measurement
from gateway.domain.key import Role
from gateway.domain.profile_document import Certificate, ProfileDocument, PublishedProfile
from gateway.domain.rollout import Rollout
from gateway.errors import ConfigurationError, InvalidRequest, NotFound
from gateway.http.admin import profiles
from gateway.http.dashboard import forms
from gateway.http.dashboard.authors import author, may
from gateway.http.dashboard.board import Board
from gateway.http.dashboard.charts import accuracy_by_cost
from gateway.http.dashboard.entrance import FORM, VISITOR
from gateway.http.dashboard.evidence import Savings, points, savings
from gateway.http.dashboard.pages import Pages

_LISTED: Final = 30
_MOST_MEASUREMENTS: Final = 100_000
"""Of a run with more, savings are left to its report."""


@dataclass(frozen=True, slots=True)
class RuleEvidence:
    """What is known of one rule: its certificate, a chart for each category, and savings if the data permits."""

    name: str
    certificate: Certificate
    charts: tuple[Markup, ...]
    savings: Savings | None


def routes(board: Board, pages: Pages) -> list[Route]:
    """The list, the profile of one policy, and what can be done with it."""
    desk = board.desk

    async def page(request: Request) -> Response:
        rollouts = await desk.rollouts.all()
        found = [rollouts.get(name) or Rollout(name, None, None) for name in await desk.profiles.policies()]
        return HTMLResponse(
            await pages.render(
                "profiles.html", visitor=request.scope[VISITOR], here="profiles", title="Profiles", found=found
            )
        )

    async def one(request: Request) -> Response:
        return HTMLResponse(await _one(board, pages, request))

    async def roll_back(request: Request) -> Response:
        policy, by = forms.reference(request.path_params["policy"]), author(request, board, Role.OPERATOR)
        body = forms.read(profiles.RollbackBody, reason=request.scope[FORM].get("reason", "").strip())
        await profiles.roll_back(policy, by, desk, body)
        return RedirectResponse(f"/dashboard/profiles/{policy}", 303)

    async def activate(request: Request) -> Response:
        policy, by = forms.reference(request.path_params["policy"]), author(request, board, Role.OPERATOR)
        form = request.scope[FORM]
        number = form.get("number", "")
        if not number.isdecimal():
            raise InvalidRequest("a version is named by its number", param="number")
        body = forms.read(profiles.ActivateBody, number=int(number), reason=form.get("reason", "").strip())
        await profiles.activate(policy, by, desk, body)
        return RedirectResponse(f"/dashboard/profiles/{policy}", 303)

    return [
        Route("/dashboard/profiles", page, methods=["GET"]),
        Route("/dashboard/profiles/{policy}", one, methods=["GET"]),
        Route("/dashboard/profiles/{policy}/rollback", roll_back, methods=["POST"]),
        Route("/dashboard/profiles/{policy}/activate", activate, methods=["POST"]),
    ]


async def _one(board: Board, pages: Pages, request: Request) -> Markup:
    desk, policy = board.desk, forms.reference(request.path_params["policy"])
    versions = await desk.profiles.versions(policy, limit=_LISTED)
    if not versions:
        raise NotFound(f"no profile of policy {policy!r} was published; docs/calibrate.md says how one is")
    rollout = await desk.rollouts.find(policy)
    canaries = await desk.rollouts.canaries(policy, limit=_LISTED)
    activations = await desk.rollouts.history(policy, limit=_LISTED)
    shown = await _chosen(board, request, policy, rollout, versions[0])
    progress, measured = await _measured(board, shown.experiment_id)
    run = None if shown.experiment_id is None else await desk.experiments.find(shown.experiment_id)
    return await pages.in_thread(
        lambda: pages.draw(
            "profile.html",
            visitor=request.scope[VISITOR],
            here="profiles",
            title=f"Profile of {policy}",
            policy=policy,
            rollout=rollout,
            versions=versions,
            canaries=canaries,
            activations=activations,
            shown=shown,
            rules=_evidence(shown, progress, measured),
            is_measured=bool(progress),
            is_imported=run is not None and bool(run.experiment.target.get("imported")),
            may_operate=may(request, Role.OPERATOR),
        )
    )


async def _chosen(
    board: Board, request: Request, policy: str, rollout: Rollout, latest: PublishedProfile
) -> PublishedProfile:
    """The version that is looked at: as asked for, else the one in force, else the latest."""
    asked = request.query_params.get("version")
    if asked is not None and not (asked.isdecimal() and len(asked) < 10):  # noqa: PLR2004 - as long as a number gets
        raise InvalidRequest("a version is named by its number", param="version")
    number = int(asked) if asked is not None else rollout.number
    return latest if number is None else await board.desk.profiles.find(policy, number)


async def _measured(board: Board, run: str | None) -> tuple[tuple[CellProgress, ...], list[Measurement]]:
    """What the run behind a version measured; pair by pair only where that is no more than a page can bear."""
    if run is None:
        return (), []
    progress = await board.desk.measurements.progress(run)
    if sum(each.items for each in progress) > _MOST_MEASUREMENTS:
        return progress, []
    return progress, [each async for batch in board.desk.measurements.batches(run) for each in batch]


def _evidence(
    shown: PublishedProfile, progress: tuple[CellProgress, ...], measured: list[Measurement]
) -> list[RuleEvidence] | str:
    """By rule; words where this release cannot read the profile."""
    try:
        document: ProfileDocument = shown.document
    except ConfigurationError as fault:
        return fault.message
    return [
        RuleEvidence(
            name=name,
            certificate=rule.certificate,
            charts=tuple(
                Markup(accuracy_by_cost(category, drawn))  # noqa: S704 - SVG of ours, with its texts escaped
                for category, drawn in points(progress, rule).items()
            ),
            savings=savings(measured, rule),
        )
        for name, rule in document.rules.items()
    ]
