"""Savings are estimated from the log of each policy in force, again and again, within a tick's time."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from calibrator.in_force import InForce
from calibrator.ticks import saving
from calibrator.ticks.saving import Desk, estimate
from gateway.domain.savings import PolicySavings
from gateway.policy.ready import ReadyPolicy
from gateway.settings import load, places
from gateway.store.base import Database, locate
from gateway.store.connections import Connections
from gateway.store.outcomes import Outcomes
from gateway.store.rollups import Rollups
from gateway.store.schema import upgrade
from gateway.store.sinks import open_sink
from tests.calibrator.replay.traffic import COSTS, NOON, answered, policy_text, ready_policy, write_site

LATER = float("inf")
NOW = NOON + 600.0
WORK = ready_policy(policy_text())


@dataclass(frozen=True, slots=True)
class Site:
    """A database, and a desk on it."""

    database: Database
    desk: Desk

    async def traffic(self, policy: ReadyPolicy, count: int, *, since: float = NOON, is_judged: bool = False) -> None:
        """Put requests that a policy decided on record, and in the sums."""
        made = list(answered(policy, count, since=since))
        sink, connections = open_sink(self.database), Connections(self.database, most=1)
        await sink.write([each.record for each in made])
        if is_judged:
            await Outcomes(connections).add([each.outcome() for each in made])
        await Rollups(connections).sum_up(since + 7_200, kept_since=0.0)
        await sink.close()
        await connections.close()

    async def found(self, policies: Mapping[str, ReadyPolicy], *, now: float = NOW, **terms: float) -> PolicySavings:
        """The estimate of the one policy that has one."""
        in_force = {name: InForce(ready, None) for name, ready in policies.items()}
        most = int(terms.get("most", saving.MOST))
        await estimate(self.desk, in_force, now=now, until=terms.get("until", LATER), most=most)
        (found,) = await self.desk.savings.all()
        return found


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    """An empty database."""
    url = f"sqlite:///{tmp_path}/ponder.db"
    await upgrade(url)
    async with saving.opened(locate(url)) as desk:
        yield Site(locate(url), desk)


async def test_what_was_saved_is_estimated(site: Site) -> None:
    """Of asks that may go to the reference arm; others, which a rule gives one arm, are told apart."""
    await site.traffic(WORK, 12_000, is_judged=True)
    found = await site.found({"work": WORK})
    assert (found.policy, found.until, found.requests, found.note) == ("work", NOW, 12_000, None)
    assert found.savings is not None
    assert (found.savings.reference, found.savings.decisions) == ("high", 12_000)
    whole = found.savings.scopes[0]
    assert whole.reached == pytest.approx(9_000, rel=0.05)
    spent = 0.95 * COSTS["medium"] + 0.025 * (COSTS["low"] + COSTS["high"])
    saved = whole.reference.saved
    assert saved is not None
    assert saved.lower < 1 - spent / COSTS["high"] < saved.upper
    assert saved.upper - saved.lower < 0.1
    assert whole.reference.gained is not None
    by_category = {scope.category: scope for scope in found.savings.scopes}
    assert by_category["chat"].reached == 0
    assert by_category["math"].arms[0].accuracies[0].source == "tests"
    assert found.savings.dealt == whole.reached
    assert found.savings.control.saved is not None
    assert found.savings.control.saved.value == pytest.approx(0, abs=0.01)


async def test_of_much_traffic_a_share_of_each_hour_is_read(site: Site) -> None:
    """The same ones by everybody, and about as many as are to be read."""
    for hour in range(3):
        await site.traffic(WORK, 1_000 * (hour + 1), since=NOON + 3_600 * hour)
    now = NOON + 3 * 3_600
    first = await site.found({"work": WORK}, now=now, most=600)
    assert first.requests == 6_000
    assert first.savings is not None
    assert 600 <= first.savings.decisions <= 603
    again = await site.found({"work": WORK}, now=now + 700, most=600)
    assert again.savings == first.savings


async def test_a_young_estimate_is_left_as_it_is(site: Site) -> None:
    """A tick that comes soon after another, or twice at once, finds nothing to do."""
    await site.traffic(WORK, 300)
    first = await site.found({"work": WORK})
    await site.traffic(WORK, 900, since=NOON + 10)
    assert await site.found({"work": WORK}, now=NOW + 60) == first
    assert (await site.found({"work": WORK}, now=NOW + 660)).requests > first.requests


async def test_who_waited_longest_comes_first(site: Site) -> None:
    """Without time nothing is begun; a policy that nobody configured any more is passed over."""
    await site.traffic(WORK, 100)
    in_force = {"work": InForce(WORK, None)}
    await estimate(site.desk, in_force, now=NOW, until=0.0)
    await estimate(site.desk, {"other": InForce(WORK, None)}, now=NOW, until=LATER)
    assert await site.desk.savings.all() == ()


async def test_a_stand_in_for_the_reference_is_not_compared_with(site: Site) -> None:
    """The dearest arm that is left would flatter every policy, so there are words in place of figures."""
    without = ready_policy(policy_text().replace("{model: sonnet, effort: high}", "{model: opus}"))
    await site.traffic(WORK, 100)
    found = await site.found({"work": without})
    assert found.savings is None
    assert found.note is not None
    assert "the reference arm high cannot be used" in found.note


async def test_traffic_that_was_only_observed_says_so(site: Site) -> None:
    """What another arm answered tells nothing of the one decided for."""
    observing = ready_policy(policy_text() + "mode: observe\n")
    await site.traffic(observing, 100)
    found = await site.found({"work": observing})
    assert found.note == "none of the requests that were looked at was decided afresh (100 observed)"


async def test_the_tick_takes_the_policies_of_the_configuration(site: Site, tmp_path: Path) -> None:
    """And leaves all as it is where that is at fault."""
    config = tmp_path / "ponder.yaml"
    write_site(config, work=policy_text())
    where = places({"PONDER_HOME": str(tmp_path), "PONDER_CONFIG": str(config)})
    settings = load(config)
    await site.traffic(WORK, 100, since=time.time() - 60)
    (tmp_path / "policies" / "broken").mkdir()
    (tmp_path / "policies" / "broken" / "policy.yaml").write_text("policy: other\n")
    await saving.tick(where, settings)
    assert await site.desk.savings.all() == ()
    (tmp_path / "policies" / "broken" / "policy.yaml").unlink()
    (tmp_path / "policies" / "broken").rmdir()
    await saving.tick(where, settings)
    (found,) = await site.desk.savings.all()
    assert (found.policy, found.requests) == ("work", 100)
