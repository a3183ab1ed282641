"""``/admin/keys/{key}/budgets`` and ``/admin/teams/{team}/budgets``: what may be spent per period."""

from __future__ import annotations

from dataclasses import replace

from fastapi import APIRouter

from gateway.domain.limits import Budget, Limits, Period
from gateway.domain.tenancy import key_account, team_account
from gateway.errors import NotFound
from gateway.http.admin import keys, teams
from gateway.http.admin.bodies import BudgetBody, KeyAnswer, TeamAnswer
from gateway.http.admin.desk import REFUSALS, UNCACHED, AtDesk, Operator, Reference

routes = APIRouter(prefix="/admin", tags=["admin: budgets"], responses=REFUSALS, dependencies=UNCACHED)

_ORDER = list(Period)


@routes.put("/keys/{key}/budgets/{period}", summary="Set a key's budget (operator)")
async def set_of_key(key: Reference, period: Period, body: BudgetBody, by: Operator, desk: AtDesk) -> KeyAnswer:
    """At most this much per period, from now on; what the period has seen so far counts."""
    budget = body.budget(period)
    found = await desk.keys.find(key)
    if not _has(found.terms.limits, period):
        await desk.recount(key_account(found.id), period)
    changed = await desk.keys.amend(
        key, lambda terms: replace(terms, limits=_with(terms.limits, budget)), action="key.set_budget", by=by
    )
    await desk.refresh()
    return keys.answer(changed)


@routes.delete("/keys/{key}/budgets/{period}", summary="Remove a key's budget (operator)")
async def remove_of_key(key: Reference, period: Period, by: Operator, desk: AtDesk) -> KeyAnswer:
    """Budgets of other periods, and its team's, go on binding."""
    changed = await desk.keys.amend(
        key, lambda terms: replace(terms, limits=_without(terms.limits, period)), action="key.remove_budget", by=by
    )
    await desk.refresh()
    return keys.answer(changed)


@routes.put("/teams/{team}/budgets/{period}", summary="Set a team's budget (operator)")
async def set_of_team(team: Reference, period: Period, body: BudgetBody, by: Operator, desk: AtDesk) -> TeamAnswer:
    """At most this much per period for all its keys together, from now on."""
    budget = body.budget(period)
    found = await desk.teams.find(team)
    if not _has(found.terms.limits, period):
        await desk.recount(team_account(found.id), period)
    changed = await desk.teams.amend(
        team, lambda terms: replace(terms, limits=_with(terms.limits, budget)), action="team.set_budget", by=by
    )
    await desk.refresh()
    return teams.answer(changed)


@routes.delete("/teams/{team}/budgets/{period}", summary="Remove a team's budget (operator)")
async def remove_of_team(team: Reference, period: Period, by: Operator, desk: AtDesk) -> TeamAnswer:
    """Budgets of other periods, and its keys' own, go on binding."""
    changed = await desk.teams.amend(
        team, lambda terms: replace(terms, limits=_without(terms.limits, period)), action="team.remove_budget", by=by
    )
    await desk.refresh()
    return teams.answer(changed)


def _has(limits: Limits, period: Period) -> bool:
    return any(budget.period is period for budget in limits.budgets)


def _with(limits: Limits, budget: Budget) -> Limits:
    others = [each for each in limits.budgets if each.period is not budget.period]
    return replace(limits, budgets=tuple(sorted([*others, budget], key=lambda each: _ORDER.index(each.period))))


def _without(limits: Limits, period: Period) -> Limits:
    kept = tuple(each for each in limits.budgets if each.period is not period)
    if len(kept) == len(limits.budgets):
        raise NotFound(f"there is no budget per {period} to remove; the budgets are: {_periods(limits) or 'none'}")
    return replace(limits, budgets=kept)


def _periods(limits: Limits) -> str:
    return ", ".join(budget.period for budget in limits.budgets)
