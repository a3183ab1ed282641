"""A run from its plan to what is published of it, with measurements that are written down and not asked for."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

import pytest
import yaml

from calibrator.binding import bound_rules
from calibrator.conclude import Conclusion, Desk, author, conclude
from calibrator.experiment import RunPlan
from calibrator.running import Runs, Wish
from calibrator.sequence import Ending
from calibrator.standing import standing_of
from calibrator.truths import Known
from gateway.domain.experiment import ExperimentStanding, ExperimentState, Measurement
from gateway.domain.money import usd
from gateway.domain.policy_version import PolicyVersion
from gateway.errors import ConfigurationError
from gateway.policy.reading import Policy
from gateway.settings import load, places
from gateway.store.base import locate
from gateway.store.changes import Changes
from gateway.store.connections import Connections
from gateway.store.experiments import Experiments
from gateway.store.policies import PolicyVersions
from gateway.store.profiles import Profiles
from gateway.store.rollouts import Rollouts
from gateway.store.schema import upgrade
from tests.calibrator.scripted import NAMES, PRICES, policy, settings, write_policy
from tests.store.records import NOON
from tests.store.tenants import OPERATOR

ADDRESS = "http://127.0.0.1:9/v1"
DAY_S = 86_400
Is = Callable[[str, int], bool]
Found = TypeVar("Found")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with a policy of three arms, 240 items, and a database."""
    for name, value in (("HOST", "127.0.0.1"), ("HOME", tmp_path), ("CONFIG", tmp_path / "ponder.yaml")):
        monkeypatch.setenv(f"PONDER_{name}", str(value))
    (tmp_path / "ponder.yaml").write_text(yaml.safe_dump(settings(ADDRESS)), "utf-8")
    write_policy(tmp_path, policy(), 240)
    asyncio.run(upgrade(f"sqlite:///{tmp_path / 'ponder.db'}"))
    return tmp_path


def plan(wish: Wish) -> RunPlan:
    """The plan of a run as things are."""
    return asyncio.run(_on_runs(lambda runs: runs.plan(wish)))


def plan_again(standing: ExperimentStanding) -> RunPlan:
    """The plan that a run was begun by."""
    return asyncio.run(_on_runs(lambda runs: runs.plan_again(standing)))


async def _on_runs(work: Callable[[Runs], Awaitable[Found]]) -> Found:
    where = places(os.environ)
    runs = Runs(where, load(where.config), os.environ, actor="command")
    try:
        return await work(runs)
    finally:
        await runs.close()


def _known(planned: RunPlan, is_right: Is) -> Known:
    """Everything measured, by who is right about what."""
    known: dict[tuple[str, str], Measurement] = {}
    for rule in planned.rules:
        for item in rule.items:
            for arm in rule.arms:
                score = float(is_right(arm, int(item.id[1:])))
                cost = usd(Decimal(PRICES[arm]) / 1_000)
                category, difficulty = item.cell
                known[item.id, arm] = Measurement(item.id, arm, category, difficulty, score, cost, 9, 1.0, 1.0)
    return known


async def _concluded(
    home: Path, planned: RunPlan, is_right: Is, *, now: float, activates: bool = False
) -> tuple[Conclusion, dict[str, Any]]:
    """A run that is begun, measured and ended; and what is in force afterwards."""
    database = locate(f"sqlite:///{home / 'ponder.db'}")
    connections, changes = Connections(database, most=1), Changes(database)
    try:
        experiments = Experiments(connections)
        begun = planned.experiment(now=now, by="command")
        await experiments.create(begun)
        claim = await experiments.claim(begun.id, owner="me", now=now, lease_s=60)
        assert claim is not None
        desk = Desk(experiments, changes, home / "reports", activates)
        known = _known(planned, is_right)
        ended = await conclude(desk, planned, claim, known, is_over=True, by=author("command", now))
        standing = await Rollouts(changes).find(planned.name)
        versions = await Profiles(changes).versions(planned.name, limit=10)
        found = await experiments.find(begun.id)
        assert found is not None
        assert (found.state, found.finished_at) == (ended.state, now)
        return ended, {"rollout": standing, "versions": versions, "run": found}
    finally:
        await connections.close()
        await changes.close()


def always(_arm: str, _number: int) -> bool:
    """Everybody is always right."""
    return True


def test_a_plan_says_what_it_is_begun_with(home: Path) -> None:
    """The same wish gives the same plan; another seed, cap, item or model another one."""
    first = plan(Wish("work"))
    (rule,) = first.rules
    assert (rule.arms, rule.bound.reference, len(rule.items)) == (NAMES, "dear", 240)
    assert (first.cap, first.seed, rule.is_free) == (usd(5), 0, False)
    assert plan(Wish("work")).digest == first.digest
    drawn = plan(Wish("work", most_items=30, seed=1)).rules[0].items
    assert len({item.id for item in drawn}) == 30
    assert drawn != rule.items[:30]
    others = {plan(Wish("work", seed=1)).digest, plan(Wish("work", cap=Decimal(1))).digest}
    write_policy(home, policy(), 241)
    assert len({first.digest, plan(Wish("work")).digest, *others}) == 4


def test_the_most_that_an_answer_may_cost_is_that_of_the_gateway(home: Path) -> None:
    """Every token of the prompt and of the longest answer at its price, and never more than the policy's ceiling."""
    (rule,) = plan(Wish("work")).rules
    assert rule.ceiling("dear", 500) == usd(Decimal(500 + 1_000) * 10 / 1_000_000)
    assert rule.ceiling("cheap", 500) == usd(Decimal(500 + 1_000) / 10 / 1_000_000)
    assert rule.ceiling("dear", 1_000_000) == usd("0.25")
    assert rule.most_tokens("dear") == 1_000


def test_a_run_goes_on_only_with_what_it_was_begun_with(home: Path) -> None:
    """Its own seed, cap and number of items are taken up; other items are refused."""
    begun = plan(Wish("work", most_items=50, seed=3, cap=Decimal(2)))
    _, found = asyncio.run(_concluded(home, begun, always, now=float(int(time.time()))))
    assert plan_again(found["run"]).digest == begun.digest
    write_policy(home, policy(), 200)
    with pytest.raises(ConfigurationError, match=r"end it with `ponder calibrate cancel run_"):
        plan_again(found["run"])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda document: document["rules"][0].update(when={"category": "code"}), "no item is of a category"),
        (lambda document: document["rules"].clear(), "no calibrated rule"),
        (lambda document: document["arms"].update({name: {"model": "none"} for name in NAMES[:2]}), "a single arm"),
        (lambda document: document.pop("calibrate"), "give --spend-at-most-usd"),
    ],
)
def test_what_cannot_be_begun_is_refused_with_its_reason(home: Path, change: Callable[[Any], Any], said: str) -> None:
    """Before anything is asked."""
    document = policy()
    change(document)
    write_policy(home, document, 30)
    with pytest.raises(ConfigurationError, match=said):
        plan(Wish("work"))


def test_what_is_certified_is_tried_and_then_renewed(home: Path) -> None:
    """A version begins as a canary; one with the arms of the version in force comes in its place at once."""
    planned, now = plan(Wish("work")), float(int(time.time()))
    ended, found = asyncio.run(_concluded(home, planned, always, now=now, activates=True))
    assert (ended.state, ended.number, ended.share) == (ExperimentState.PUBLISHED, 1, 1.0)
    assert found["rollout"].number == 1
    (version,) = found["versions"]
    assert (version.experiment_id, version.expires_at) == (ended.run_id, now + 30 * DAY_S)
    assert version.report == str(home / "reports" / f"{ended.run_id}.html")
    assert {cell.arm for cell in version.document.rules["checkable"].cells} == {"cheap"}
    again, renewed = asyncio.run(_concluded(home, planned, always, now=now + DAY_S))
    assert (again.number, again.share, renewed["rollout"].number) == (2, 1.0, 2)
    other, tried = asyncio.run(
        _concluded(home, planned, lambda arm, number: arm != "cheap" or number % 3 == 0, now=now + 2 * DAY_S)
    )
    assert (other.number, other.share) == (3, 0.01)
    assert (tried["rollout"].number, tried["rollout"].canary.number) == (2, 3)
    last, followed = asyncio.run(_concluded(home, planned, lambda arm, _: arm != "cheap", now=now + 3 * DAY_S))
    assert (last.number, followed["rollout"].canary.number) == (4, 4)


def test_nothing_is_published_where_nothing_is_certified(home: Path) -> None:
    """The note says why, the report is written all the same, and what is in force stays."""
    planned = plan(Wish("work"))
    ended, found = asyncio.run(_concluded(home, planned, lambda arm, _: arm == "dear", now=float(int(time.time()))))
    assert (ended.state, ended.number, found["versions"]) == (ExperimentState.UNCHANGED, None, ())
    assert found["run"].note == ended.note
    assert "nothing is certified after 48 items: after the pilot there was no chance left" in ended.note
    assert "no number of labels: it seems to lose" in ended.note
    assert "Nothing changes" in ended.reports[0].read_text("utf-8")


def test_rules_that_are_not_measured_keep_what_they_have(home: Path) -> None:
    """A version holds all rules; it expires when the first of what it holds does."""
    document = policy()
    document["rules"].append({**document["rules"][0], "name": "other", "when": {"category": ["math", "code"]}})
    write_policy(home, document, 240)
    items = home / "policies" / "work" / "golden" / "items.jsonl"
    more = items.read_text("utf-8").replace('"id": "i', '"id": "j').replace('"category": "math"', '"category": "code"')
    items.write_text(items.read_text("utf-8") + more, "utf-8")
    now = float(int(time.time()))
    both = plan(Wish("work"))
    assert [len(rule.items) for rule in both.rules] == [240, 240]
    asyncio.run(_concluded(home, both, always, now=now, activates=True))
    one = plan(Wish("work", rules=("other",)))
    ended, found = asyncio.run(_concluded(home, one, always, now=now + DAY_S))
    assert [rule["rule"] for rule in ended.rules] == ["other"]
    newest = found["versions"][0]
    assert newest.document.rules.keys() == {"checkable", "other"}
    assert newest.expires_at == now + 30 * DAY_S


def test_where_all_arms_are_free_their_tokens_stand_for_cost(home: Path) -> None:
    """And the report says so."""
    free = settings(ADDRESS)
    free["models"] = {name: {**model, "price": "free"} for name, model in free["models"].items()}
    (home / "ponder.yaml").write_text(yaml.safe_dump(free), "utf-8")
    planned = plan(Wish("work"))
    assert planned.rules[0].is_free
    tokens = {name: 10 * (place + 1) for place, name in enumerate(NAMES)}
    known = {
        (item, arm): Measurement(item, arm, each.category, each.difficulty, 1.0, usd(0), tokens[arm], 1.0, 1.0)
        for (item, arm), each in _known(planned, always).items()
    }
    (rule,) = standing_of(planned, known).rules
    assert isinstance(rule.trial, Ending)
    assert rule.trial.choice.relative_cost == pytest.approx(1 / 3)


def test_a_policy_that_was_rolled_back_is_measured_as_it_is_in_force(home: Path) -> None:
    """Runs, their schedule and the commands read the version that decides, not the file that it was put in place of."""
    first = plan(Wish("work"))
    write_policy(home, policy(0.03, every="1w"), 240)
    second = plan(Wish("work"))
    assert (first.policy.rules[0].rule.loss_at_most, second.policy.rules[0].rule.loss_at_most) == (0.05, 0.03)
    asyncio.run(_rolled_back(home, first.policy.read, second.policy.read))
    assert plan(Wish("work")).digest == first.digest
    assert [bound.rule.loss_at_most for bound in bound_rules("work")] == [0.05]
    assert asyncio.run(_on_runs(Runs.policies))["work"].digest == first.policy.read.digest
    write_policy(home, policy(0.04), 240)
    assert plan(Wish("work")).policy.rules[0].rule.loss_at_most == 0.04


async def _rolled_back(home: Path, *versions: Policy) -> None:
    """Let files have said these, one after the other, and go back to the one before the last."""
    changes = Changes(locate(f"sqlite:///{home / 'ponder.db'}"))
    store = PolicyVersions(changes)
    for each in versions:
        await store.record([PolicyVersion(each.name, each.digest, each.text, NOON)], at=NOON)
    await store.roll_back(versions[-1].name, to=None, by=OPERATOR)
    await changes.close()


def test_rules_can_be_looked_at_before_there_is_a_database(home: Path) -> None:
    """Nothing was rolled back then; and no empty database is left behind."""
    (home / "ponder.db").unlink()
    assert [bound.rule.name for bound in bound_rules("work")] == ["checkable"]
    assert not (home / "ponder.db").exists()
