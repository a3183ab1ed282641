"""Balances: what each key and team has spent in its current periods, summed from the log."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.domain.limits import Budget, Limits, Period
from gateway.domain.money import ZERO, usd
from gateway.domain.tenancy import KeyTerms, TeamTerms
from gateway.errors import PonderError
from gateway.store.balances import Balances, BudgetedAccount
from gateway.store.base import Database, locate
from gateway.store.changes import Changes
from gateway.store.keys import Keys
from gateway.store.sinks import Sink
from gateway.store.teams import Teams
from tests.store.records import DAY_S, NOON, request
from tests.store.tenants import ADMIN, OPERATOR, secret


async def _tenants(changes: Changes) -> None:
    """A team with two keys, and a key of its own."""
    await Teams(changes).create("team_1", TeamTerms("red"), by=ADMIN)
    for number, team in ((1, "red"), (2, "red"), (3, None)):
        terms = KeyTerms(f"k{number}", team_id=team)
        await Keys(changes).create(f"key_{number}", terms, secret(number), by=ADMIN)


async def test_an_empty_log_has_nothing_spent(database: Database) -> None:
    """Without requests there are no accounts to restore."""
    assert await Balances(database).spent(NOON) == {}


async def test_what_has_not_ended_by_then_can_be_left_out(database: Database, changes: Changes, sink: Sink) -> None:
    """A sum by what ended before a moment has no request that ended at it or later, however early it began."""
    await _tenants(changes)
    ends = {1: NOON - 0.01, 2: NOON + 0.01, 3: NOON - 5}
    await sink.write(
        [
            request(number, key_id="key_3", started_at=end - 3, total_s=3.0, cost=usd(10**number))
            for number, end in ends.items()
        ]
    )
    assert (await Balances(database).spent(NOON, ended_before=NOON))["key:key_3"][Period.TOTAL] == usd(1010)
    assert (await Balances(database).spent(NOON))["key:key_3"][Period.TOTAL] == usd(1110)


async def test_keys_and_their_teams_are_summed(database: Database, changes: Changes, sink: Sink) -> None:
    """What a key spent counts for the key and for its team, to the nano-dollar."""
    await _tenants(changes)
    await sink.write(
        [
            request(1, key_id="key_1", cost=usd("0.000000001")),
            request(2, key_id="key_1", cost=usd("0.000000002")),
            request(3, key_id="key_2", cost=usd("9000000.000000004")),
            request(4, key_id="key_3", cost=usd("1")),
        ]
    )
    spent = await Balances(database).spent(NOON)
    assert {account: periods[Period.DAY] for account, periods in spent.items()} == {
        "key:key_1": usd("0.000000003"),
        "key:key_2": usd("9000000.000000004"),
        "key:key_3": usd("1"),
        "team:team_1": usd("9000000.000000007"),
    }


async def test_each_period_counts_from_its_beginning(database: Database, changes: Changes, sink: Sink) -> None:
    """A request counts in the periods that hold its start: on a Sunday, the week began six days before."""
    await _tenants(changes)
    midnight = NOON - DAY_S / 2
    moments = {1: midnight, 2: midnight - 1, 3: midnight - 6 * DAY_S - 1, 4: midnight - 21 * DAY_S - 1}
    await sink.write(
        [
            request(number, key_id="key_3", started_at=moment, cost=usd(10 ** (number - 1)))
            for number, moment in moments.items()
        ]
    )
    assert (await Balances(database).spent(NOON))["key:key_3"] == {
        Period.DAY: usd(1),
        Period.WEEK: usd(11),
        Period.MONTH: usd(111),
        Period.TOTAL: usd(1111),
    }


async def test_a_period_without_spending_is_zero(database: Database, changes: Changes, sink: Sink) -> None:
    """What was spent long ago counts in the total alone."""
    await _tenants(changes)
    await sink.write([request(1, key_id="key_3", started_at=NOON - 60 * DAY_S, cost=usd(5))])
    spent = (await Balances(database).spent(NOON))["key:key_3"]
    assert spent == {Period.DAY: ZERO, Period.WEEK: ZERO, Period.MONTH: ZERO, Period.TOTAL: usd(5)}


async def test_a_request_of_unknown_cost_counts_what_it_was_charged(
    database: Database, changes: Changes, sink: Sink
) -> None:
    """A restart leaves a budget as it was: what was charged at its ceiling stays charged."""
    await _tenants(changes)
    unknown = {"key_id": "key_3", "is_cost_complete": False}
    await sink.write([request(1, **unknown, cost=usd(1), charged=usd(3)), request(2, key_id="key_3", cost=usd(5))])
    assert (await Balances(database).spent(NOON))["key:key_3"][Period.DAY] == usd(8)


async def test_requests_of_nobody_count_for_nobody(database: Database, sink: Sink) -> None:
    """Records whose key is not there, as those from before there were keys, are left out."""
    await sink.write([request(1, key_id="gone")])
    assert await Balances(database).spent(NOON) == {}


async def test_a_revoked_key_still_counts_for_its_team(database: Database, changes: Changes, sink: Sink) -> None:
    """What a key had spent before it was revoked stays spent."""
    await _tenants(changes)
    await sink.write([request(1, key_id="key_1", cost=usd(2))])
    await Keys(changes).revoke("key_1", by=ADMIN)
    assert (await Balances(database).spent(NOON))["team:team_1"][Period.TOTAL] == usd(2)


async def test_a_database_that_cannot_be_read_is_an_error_of_ours(tmp_path: Path) -> None:
    """What cannot be read is told as such, so that whoever restores waits for it."""
    (tmp_path / "ponder.db").write_bytes(b"no database" * 1000)
    with pytest.raises(PonderError):
        await Balances(locate(f"sqlite:///{tmp_path}/ponder.db")).spent(NOON)


async def test_every_budget_is_listed(database: Database, changes: Changes) -> None:
    """Keys and teams with budgets are told by account and period; those without are not."""
    await _tenants(changes)
    assert await Balances(database).budgeted() == ()
    budget = Limits(budgets=(Budget(usd(1), Period.DAY), Budget(usd(2), Period.TOTAL)))
    await Teams(changes).create("team_2", TeamTerms("budgeted", limits=budget), by=ADMIN)
    terms = KeyTerms("k4", limits=Limits(budgets=(Budget(usd(3), Period.MONTH),)))
    await Keys(changes).create("key_4", terms, secret(4), by=OPERATOR)
    assert await Balances(database).budgeted() == (
        BudgetedAccount("key:key_4", Period.MONTH),
        BudgetedAccount("team:team_2", Period.DAY),
        BudgetedAccount("team:team_2", Period.TOTAL),
    )


async def test_requests_across_the_beginning_of_a_period_are_told_apart(
    database: Database, changes: Changes, sink: Sink
) -> None:
    """What began before midnight and ended after it may be counted in either day; what ended before may not."""
    await _tenants(changes)
    midnight = NOON - DAY_S / 2
    lengths = {1: 5.0, 2: 15.0, 3: 10.0}
    await sink.write(
        [
            request(number, key_id="key_3", started_at=midnight - 10, total_s=length, cost=usd(10**number))
            for number, length in lengths.items()
        ]
        + [request(4, key_id="key_3", started_at=midnight, total_s=1.0, cost=usd(7))]
    )
    found = (await Balances(database).straddling(NOON))["key:key_3"]
    assert found == {Period.DAY: usd(1100), Period.WEEK: ZERO, Period.MONTH: ZERO}
