"""``/admin/teams``: who shares limits."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

from fastapi import APIRouter, Query

from gateway.domain.identity import new_id
from gateway.domain.key import Role
from gateway.domain.tenancy import Team, TeamTerms, team_document
from gateway.errors import Forbidden
from gateway.http.admin.bodies import NewTeam, Page, TeamAmendment, TeamAnswer, amended_limits, amended_scope
from gateway.http.admin.desk import REFUSALS, UNCACHED, Admin, AtDesk, Id, Limit, Operator, Reference, Viewer

routes = APIRouter(prefix="/admin/teams", tags=["admin: teams"], responses=REFUSALS, dependencies=UNCACHED)


def answer(team: Team) -> TeamAnswer:
    """A team as the API shows it."""
    return TeamAnswer.model_validate(team_document(team))


@routes.post("", status_code=201, summary="Make a team (admin)")
async def create(body: NewTeam, by: Admin, desk: AtDesk) -> TeamAnswer:
    """Its limits and budgets are shared by all its keys, and what it may not ask for none of them may."""
    desk.check_policy(body.policy)
    terms = TeamTerms(body.name, body.scope(), body.all_limits(), body.policy)
    team = await desk.teams.create(new_id("team", by.at), terms, by=by)
    await desk.refresh()
    return answer(team)


@routes.get("", summary="List teams (viewer)")
async def page(
    _: Viewer, desk: AtDesk, limit: Limit = 100, after: Id = None, *, deleted: Annotated[bool, Query()] = False
) -> Page[TeamAnswer]:
    """The oldest first; ``deleted`` lists those that are gone as well."""
    found = await desk.teams.page(limit=limit, after=after, deleted=deleted)
    return Page(data=[answer(team) for team in found], next=found[-1].id if len(found) == limit else None)


@routes.get("/{team}", summary="Look up a team (viewer)")
async def find(team: Reference, _: Viewer, desk: AtDesk) -> TeamAnswer:
    """One team, with limits and budgets."""
    return answer(await desk.teams.find(team))


@routes.patch("/{team}", summary="Change a team (limits: operator; the rest: admin)")
async def amend(team: Reference, body: TeamAmendment, by: Operator, desk: AtDesk) -> TeamAnswer:
    """What is left out stays as it is."""
    if by.role is not Role.ADMIN and body.model_fields_set - {"limits"}:
        raise Forbidden("an operator changes a team's limits and budgets; the rest takes the role admin")
    desk.check_policy(body.policy)

    def amended(terms: TeamTerms) -> TeamTerms:
        return replace(
            terms,
            scope=amended_scope(terms.scope, body),
            limits=amended_limits(terms.limits, body.limits),
            **body.given("name", "policy"),
        )

    changed = await desk.teams.amend(team, amended, action="team.amend", by=by)
    await desk.refresh()
    return answer(changed)


@routes.delete("/{team}", summary="Delete a team without keys (admin)")
async def delete(team: Reference, by: Admin, desk: AtDesk) -> TeamAnswer:
    """Its keys must be revoked first. What it spent stays on record."""
    deleted = await desk.teams.delete(team, by=by)
    await desk.refresh()
    return answer(deleted)
