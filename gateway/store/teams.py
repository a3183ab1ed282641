"""Teams: making, finding, changing and deleting them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from sqlalchemy import and_, exists, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.domain.tenancy import Author, Team, TeamTerms, team_account, team_document
from gateway.errors import Conflict, NotFound
from gateway.store.changes import Change, Changes
from gateway.store.tables import keys, teams
from gateway.store.tenancy_rows import read_teams, team_values, write_budgets


class Teams:
    """The teams in a database. They are named by id or, unless deleted, by name."""

    def __init__(self, changes: Changes) -> None:
        self._changes = changes

    async def create(self, team_id: str, terms: TeamTerms, *, by: Author) -> Team:
        """Make a team. Raises Conflict when there is one of this name."""
        async with self._changes.begin(by) as change:
            await _check_name(change.connection, terms.name)
            team = Team(team_id, terms, created_at=by.at)
            values = {"id": team_id, "created_at": by.at, "changed": change.number, **team_values(terms)}
            await change.connection.execute(insert(teams).values(values))
            await write_budgets(change.connection, team_account(team_id), terms.limits.budgets)
            await change.record("team.create", team_account(team_id), before=None, after=team_document(team))
        return team

    async def amend(
        self, reference: str, amended: Callable[[TeamTerms], TeamTerms], *, action: str, by: Author
    ) -> Team:
        """Change a team's terms. Raises NotFound, Conflict, and what ``amended`` raises."""
        async with self._changes.begin(by) as change:
            team = await find_team(change.connection, reference)
            after = replace(team, terms=amended(team.terms))
            if after.terms.name != team.terms.name:
                await _check_name(change.connection, after.terms.name)
            await _write(change, after)
            await write_budgets(change.connection, team_account(team.id), after.terms.limits.budgets)
            await change.record(action, team_account(team.id), before=team_document(team), after=team_document(after))
        return after

    async def delete(self, reference: str, *, by: Author) -> Team:
        """Delete a team. Raises NotFound, and Conflict while it has keys that are not revoked."""
        async with self._changes.begin(by) as change:
            team = await find_team(change.connection, reference)
            has_keys = exists().where(keys.c.team_id == team.id, keys.c.revoked_at.is_(None))
            if await change.connection.scalar(select(has_keys)):
                raise Conflict(f"team {team.id} still has keys; revoke them first: GET /admin/keys?team={team.id}")
            after = replace(team, deleted_at=by.at)
            await _write(change, after)
            await change.record(
                "team.delete", team_account(team.id), before=team_document(team), after=team_document(after)
            )
        return after

    async def find(self, reference: str) -> Team:
        """The team of this id or name. Raises NotFound."""
        async with self._changes.reading() as connection:
            return await find_team(connection, reference)

    async def page(self, *, limit: int, after: str | None = None, deleted: bool = False) -> list[Team]:
        """Teams by id, those after ``after``; deleted ones only on request."""
        chosen = select(teams.c.id).order_by(teams.c.id).limit(limit)
        if after is not None:
            chosen = chosen.where(teams.c.id > after)
        if not deleted:
            chosen = chosen.where(teams.c.deleted_at.is_(None))
        async with self._changes.reading() as connection:
            return await read_teams(connection, chosen)


async def find_team(connection: AsyncConnection, reference: str) -> Team:
    """The team of this id or name that is not deleted. Raises NotFound."""
    named = and_(or_(teams.c.id == reference, teams.c.name == reference), teams.c.deleted_at.is_(None))
    found = await read_teams(connection, select(teams.c.id).where(named))
    if not found:
        raise NotFound("there is no team of this id or name; GET /admin/teams lists those there are")
    return found[0]


async def _check_name(connection: AsyncConnection, name: str) -> None:
    taken = exists().where(teams.c.name == name, teams.c.deleted_at.is_(None))
    if await connection.scalar(select(taken)):
        raise Conflict(f"there is a team named {name!r}; choose another name", param="name")


async def _write(change: Change, team: Team) -> None:
    values = {**team_values(team.terms), "deleted_at": team.deleted_at, "changed": change.number}
    await change.connection.execute(update(teams).where(teams.c.id == team.id).values(values))
