"""Tests of gateway/store/teams.py."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.domain.tenancy import KeyTerms, Team, TeamTerms, team_document
from gateway.errors import Conflict, NotFound
from gateway.store.changes import Changes
from gateway.store.keys import Keys
from gateway.store.teams import Teams
from tests.store.records import NOON
from tests.store.tenants import ADMIN, FULL_TEAM, OPERATOR, secret


@pytest.fixture
def teams(changes: Changes) -> Teams:
    """The teams in the database."""
    return Teams(changes)


@pytest.mark.parametrize("terms", [FULL_TEAM, TeamTerms("plain")], ids=["full", "plain"])
async def test_a_team_comes_back_as_it_was_made(teams: Teams, terms: TeamTerms) -> None:
    """Every term of a team is found again, by its id and by its name."""
    made = await teams.create("team_1", terms, by=ADMIN)
    assert made == Team("team_1", terms, NOON)
    assert await teams.find("team_1") == await teams.find(terms.name) == made


async def test_names_are_unique_among_teams_that_exist(teams: Teams) -> None:
    """A name that is taken is refused, and free again once its team is deleted."""
    await teams.create("team_1", FULL_TEAM, by=ADMIN)
    with pytest.raises(Conflict, match="named 'red'"):
        await teams.create("team_2", TeamTerms("red"), by=ADMIN)
    await teams.delete("red", by=ADMIN)
    await teams.create("team_3", TeamTerms("red"), by=ADMIN)
    await teams.create("team_4", TeamTerms("blue"), by=ADMIN)
    with pytest.raises(Conflict, match="named 'red'"):
        await teams.amend("blue", lambda terms: replace(terms, name="red"), action="team.amend", by=ADMIN)
    assert [team.id for team in await teams.page(limit=10)] == ["team_3", "team_4"]
    assert [team.id for team in await teams.page(limit=1, after="team_1", deleted=True)] == ["team_3"]


async def test_a_change_is_stored_and_audited(teams: Teams, changes: Changes) -> None:
    """Amending replaces terms and budgets, and the log holds the team before and after."""
    before = await teams.create("team_1", TeamTerms("red"), by=ADMIN)
    after = await teams.amend("red", lambda _: FULL_TEAM, action="team.amend", by=OPERATOR)
    assert await teams.find("red") == after == replace(before, terms=FULL_TEAM)
    (amended, _) = await changes.audit(limit=10)
    assert (amended.actor, amended.action, amended.target) == ("key_operator", "team.amend", "team:team_1")
    assert (amended.before, amended.after) == (team_document(before), team_document(after))


async def test_a_team_with_keys_stays(teams: Teams, changes: Changes) -> None:
    """A team is deleted only when all its keys are revoked, and is then not found."""
    keys = Keys(changes)
    await teams.create("team_1", TeamTerms("red"), by=ADMIN)
    await keys.create("key_1", KeyTerms("one", team_id="red"), secret(1), by=ADMIN)
    with pytest.raises(Conflict, match="still has keys"):
        await teams.delete("red", by=ADMIN)
    await keys.revoke("one", by=ADMIN)
    assert (await teams.delete("red", by=ADMIN)).deleted_at == NOON
    for act in (teams.find("team_1"), teams.delete("team_1", by=ADMIN)):
        with pytest.raises(NotFound):
            await act
