"""Canaries end to end: judged by their traffic's outcomes, widened, promoted, withdrawn, and never twice."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from calibrator.guarding.document import taken_up
from calibrator.guarding.evidence import Evidence
from calibrator.in_force import policies_in_force
from calibrator.ticks.guarding import RECORDED_S, SETTLING_S, guard, opened, terms_of, tick
from gateway.domain.record import RequestRecord
from gateway.domain.rollout import CanaryState
from gateway.policy.document import CalibrateDocument
from gateway.settings import load, places
from tests.calibrator.ticks.canaries import CALIBRATE, GUARD, MINUTE_S, POLICY, Behaviour, Site, built, outcome
from tests.policy.world import TEXT
from tests.store.tenants import OPERATOR


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    """Version 2 may be tried."""
    async with built(tmp_path) as made:
        yield made


async def _evidence(site: Site) -> Evidence:
    """What is known of the canary that was begun last."""
    progress = await site.desk.evidence.progress(await site.last())
    return taken_up(progress.document, terms_of(site.calibrate.guard))


async def _until_it_ends(site: Site, new: Behaviour, old: Behaviour, *, rounds: int = 14) -> str:
    """The reason why a canary ended that had this traffic."""
    await site.begin()
    for _ in range(rounds):
        await site.traffic(250, new, old)
        await site.tick()
        canary = await site.last()
        if canary.state is not CanaryState.RUNNING:
            return f"{canary.state}: {canary.reason}"
    return f"running: {(await site.desk.evidence.progress(canary)).verdict}"


def _guarded(**changes: Any) -> CalibrateDocument:
    return CalibrateDocument.model_validate({**CALIBRATE, "guard": {**GUARD, **changes}})


async def test_a_harmless_version_goes_through_its_stages(site: Site) -> None:
    """From stage to stage as its own conversations are judged, and to all once it is shown not to be worse."""
    await site.begin()
    await site.tick()
    assert (await site.last()).share == 0.2
    await site.traffic(250)
    await site.tick()
    canary = await site.last()
    assert (canary.state, canary.stage, canary.share) == (CanaryState.RUNNING, 1, 0.5)
    for _ in range(12):
        await site.traffic(250)
        await site.tick()
        if (await site.rollout()).canary is None:
            break
    canary = await site.last()
    assert canary.state is CanaryState.PROMOTED
    assert canary.reason is not None
    assert "not to be worse by 10 points or more" in canary.reason
    assert (await site.rollout()).number == 2


async def test_a_harmful_version_is_withdrawn(site: Site) -> None:
    """Before it is everybody's, with the difference in its reason; the version in force stays."""
    reason = await _until_it_ends(site, Behaviour(accuracy=0.4), Behaviour(accuracy=0.8))
    assert reason.startswith("withdrawn: its answers are worse: ")
    assert "right beside" in reason
    assert (await site.rollout()).number == 1


@pytest.mark.parametrize(
    ("new", "reason"),
    [
        (Behaviour(failing=0.4), "more than 2 points more of its answers fail: "),
        (Behaviour(total_s=4.0), "more than 5 points more of its answers take longer than 1.5 times the others' 95th "),
        (Behaviour(cost_usd="0.03"), "its answers cost more than 1.2 times those of the others: $0.03"),
    ],
    ids=["errors", "time", "cost"],
)
async def test_a_version_that_is_no_worse_is_withdrawn_for_its_service(site: Site, new: Behaviour, reason: str) -> None:
    """More of its answers fail, it is slower or dearer than the policy allows: the reason says which, and how."""
    said = await _until_it_ends(site, new, Behaviour())
    assert said.startswith(f"withdrawn: {reason}")


@pytest.mark.parametrize(("limit", "new"), [
    ("errors_at_most", Behaviour(failing=0.4)), ("latency_at_most", Behaviour(total_s=4.0)),
    ("cost_at_most", Behaviour(cost_usd="0.03")),
])  # fmt: skip
async def test_a_limit_that_is_set_aside_holds_up_nothing(site: Site, limit: str, new: Behaviour) -> None:
    """With `null` for it, a version that breaks it is promoted."""
    site.calibrate = _guarded(**{limit: None})
    said = await _until_it_ends(site, new, Behaviour())
    assert said.startswith("promoted: ")


async def test_without_labels_a_canary_waits_and_then_is_withdrawn(site: Site) -> None:
    """No outcome is no success: it says how many are missing, and after its time it is taken back."""
    canary = await site.begin()
    await site.traffic(300, is_judged=False)
    await site.tick()
    progress = await site.desk.evidence.progress(canary)
    assert progress.verdict is not None
    assert "30 more labelled conversations of its own are needed" in progress.verdict
    site.clock.at = canary.began_at + site.calibrate.guard.timeout
    await site.tick()
    canary = await site.last()
    assert canary.state is CanaryState.WITHDRAWN
    assert canary.reason is not None
    assert canary.reason.startswith("its time of 1 day is over")


async def test_outcomes_that_come_late_count_as_of_their_stage(site: Site) -> None:
    """Those of requests that began at an earlier share, also when others of later requests were read before."""
    await site.begin()
    early = await site.traffic(200, is_judged=False)
    await site.traffic(250)
    await site.tick()
    before = (await _evidence(site)).quality.count
    at = site.clock.at
    await site.judge([outcome(each, 1.0, at=at) for each in early])
    site.clock.at += SETTLING_S + 1
    await site.tick()
    evidence = await _evidence(site)
    assert (before, evidence.quality.count) == (250, 450)
    assert set(evidence.labelled) == {0.2}
    assert evidence.labelled[0.2] == evidence.quality.new.count


async def test_a_conversation_counts_once_with_all_that_was_found_by_then(site: Site) -> None:
    """Sources that contradict each other are averaged by weight; what is said after it was counted changes nothing."""
    await site.begin()
    made = await site.traffic(40, is_judged=False)
    await site.judge([outcome(each, 1.0) for each in made])
    await site.judge([outcome(each, 0.0, source="tests", weight=0.5) for each in made])
    await site.tick()
    evidence = await _evidence(site)
    assert evidence.quality.count == 40
    assert evidence.quality.old.mean == pytest.approx(2 / 3)
    await site.judge([outcome(each, 0.0, source="late", at=site.clock.at) for each in made])
    site.clock.at += 2 * SETTLING_S
    await site.tick()
    assert (await _evidence(site)).quality == evidence.quality


async def test_equal_openings_of_a_key_are_one_conversation(site: Site) -> None:
    """A question that is asked again and again speaks once, of quality and of service."""
    await site.begin()
    (first,) = await site.traffic(1)
    again = [replace(first, id=f"{first.id[:-4]}{number:04x}") for number in range(1, 50)]
    await site.keep(again)
    await site.judge([outcome(each, 0.5, at=first.started_at + 40) for each in again])
    await site.tick()
    evidence = await _evidence(site)
    assert evidence.quality.count == 1
    assert 0.5 not in (evidence.quality.new.mean, evidence.quality.old.mean)
    assert evidence.errors is not None
    assert evidence.errors.count == 1


async def test_asks_that_both_versions_answer_alike_differ_by_nothing(site: Site) -> None:
    """Whatever comes of them: they count as no difference in quality, and not at all for service or stages."""
    await site.begin()
    await site.traffic(120, Behaviour(accuracy=0.0, failing=0.9), Behaviour(accuracy=1.0), category="code")
    await site.tick()
    evidence = await _evidence(site)
    assert evidence.labelled == {}
    assert evidence.errors is not None
    assert evidence.errors.count == 0
    assert evidence.quality.interval(0.9).estimate == 0.0
    assert (await site.last()).state is CanaryState.RUNNING


async def test_what_a_policy_only_observed_is_not_counted(site: Site) -> None:
    """It was answered by another arm than the record's."""
    await site.begin()
    made = await site.traffic(20, is_judged=False)
    observed: list[RequestRecord] = []
    for number, each in enumerate(made):
        assert each.plan is not None
        plan = replace(each.plan, is_observed=True)
        observed.append(replace(each, id=f"{each.id[:-4]}{number + 256:04x}", plan=plan))
    await site.keep(observed)
    await site.judge([outcome(each, 1.0) for each in observed])
    await site.tick()
    assert (await _evidence(site)).quality.count == 0


async def test_two_guards_at_once_count_everything_once(site: Site) -> None:
    """As many as like may look at the same time, and a look that is interrupted is made up for by the next."""
    await site.begin()
    await site.traffic(250)
    running = [await site.last()]
    async with opened(site.database, site.clock) as second, opened(site.database, site.clock) as third:
        await asyncio.gather(*(guard(desk, running, site.policies) for desk in (site.desk, second, third)))
    await site.tick()
    evidence = await _evidence(site)
    assert (evidence.quality.count, (await site.last()).stage) == (250, 1)


async def test_a_guard_that_was_killed_goes_on_where_it_was(site: Site) -> None:
    """Little by little, each part kept with the mark up to where it was read."""
    await site.begin()
    await site.traffic(250)
    site.clock.step_s = 100.0
    await site.tick()
    site.clock.step_s = 0.0
    async with opened(site.database, site.clock) as another:
        await guard(another, [await site.last()], site.policies)
    assert (await _evidence(site)).quality.count == 250


async def test_nothing_is_counted_before_it_is_settled(site: Site) -> None:
    """An outcome waits a minute for what contradicts it, a request until its deadline is over and it is on record."""
    await site.begin()
    (made,) = await site.traffic(1, is_judged=False)
    await site.judge([outcome(made, 1.0)])
    site.clock.at = made.started_at + POLICY.deadline_s + RECORDED_S
    await site.tick()
    evidence = await _evidence(site)
    assert evidence.errors is not None
    assert (evidence.quality.count, evidence.errors.count) == (0, 0)
    site.clock.at += MINUTE_S
    await site.tick()
    evidence = await _evidence(site)
    assert evidence.errors is not None
    assert (evidence.quality.count, evidence.errors.count) == (1, 1)


async def test_other_limits_begin_anew_and_other_patience_does_not(site: Site) -> None:
    """Evidence on another margin is none on this one; risk and time only say when to act."""
    await site.begin()
    await site.traffic(100)
    await site.tick()
    site.calibrate = _guarded(risk=0.01, timeout="2d")
    await site.tick()
    assert (await _evidence(site)).quality.count == 100
    site.calibrate = _guarded(margin=0.2)
    await site.tick()
    assert (await _evidence(site)).quality.count == 0


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"rule_digest": "x" * 64}, "it certifies no rule of the policy, its arms and their models as they are now"),
        ({"expires_at": OPERATOR.at + 5}, "it has expired"),
    ],
    ids=["another rule", "expired"],
)
async def test_a_version_that_decides_nothing_is_withdrawn(
    tmp_path: Path, changes: dict[str, Any], reason: str
) -> None:
    """Its rule is another now, or its time is over."""
    async with built(tmp_path, **changes) as site:
        await site.begin()
        site.clock.at += 10
        await site.tick()
        canary = await site.last()
        assert (canary.state, canary.reason) == (CanaryState.WITHDRAWN, reason)


async def test_a_version_that_is_gone_is_withdrawn(site: Site) -> None:
    """As is one of a policy that is gone."""
    await site.begin()
    await site.run("DELETE FROM certificates WHERE number = 2")
    await site.run("DELETE FROM profiles WHERE number = 2")
    await site.tick()
    assert "the version cannot be used" in ((await site.last()).reason or "")
    await site.publish(2, {("math", None): "fast"})
    running = await site.begin()
    await guard(site.desk, [running], {})
    assert (await site.last()).reason == "there is no policy of this name any more"


async def test_a_version_that_changes_nothing_is_promoted(site: Site) -> None:
    """At once: there is nothing that could be compared."""
    await site.publish(3, {("math", None): "think", ("code", None): "think"})
    by = replace(OPERATOR, at=site.clock.at)
    await site.desk.rollouts.begin_canary("work", 3, share=0.2, by=by)
    await site.tick()
    assert (await site.last()).reason == "it answers every ask by the same arm as what the others have"
    assert (await site.rollout()).number == 3


async def test_a_canary_without_a_version_in_force_is_compared_with_what_the_policy_starts_with(site: Site) -> None:
    """``until_certified`` is what the others have then, and what is gone back to."""
    await site.desk.rollouts.roll_back("work", reason="by hand", by=OPERATOR)
    reason = await _until_it_ends(site, Behaviour(accuracy=0.4), Behaviour())
    assert reason.startswith("withdrawn: its answers are worse: ")
    assert (await site.rollout()).number is None


async def test_what_was_counted_is_forgotten_when_a_canary_ends(site: Site) -> None:
    """The conversations go, the evidence stays."""
    await _until_it_ends(site, Behaviour(accuracy=0.2), Behaviour())
    evidence = await _evidence(site)
    assert await site.desk.evidence.forget(limit=100) == 100
    assert await site.desk.evidence.forget(limit=100_000) > 0
    assert await site.desk.evidence.forget(limit=100_000) == 0
    assert await _evidence(site) == evidence


async def test_the_tick_guards_the_policies_of_the_configuration(tmp_path: Path) -> None:
    """It knows a rule by the digest that gateways know it by; where no policy can be read all stays as it is."""
    folder = tmp_path / "policies" / "work"
    folder.mkdir(parents=True)
    (folder / "policy.yaml").write_text(TEXT, "utf-8")
    here = {"upstream": "here", "price": {"input_per_mtok": 1, "output_per_mtok": 2}}
    written = {
        "policy": "work",
        "upstreams": {"here": {"kind": "openai", "base_url": "http://127.0.0.1:9/v1"}},
        "models": dict.fromkeys(("haiku", "sonnet", "local"), here),
    }
    (tmp_path / "ponder.yaml").write_text(yaml.safe_dump(written), "utf-8")
    where = places({"PONDER_HOME": str(tmp_path), "PONDER_CONFIG": str(tmp_path / "ponder.yaml")})
    settings = load(where.config)
    async with built(tmp_path) as site:
        site.clock.at = time.time()
        known = await policies_in_force(where, settings, {}, site.desk.changes, site.clock)
        digest = next(rule.certificate_digest for rule in known["work"].ready.rules if rule.is_calibrated)
        await site.begin()
        await tick(where, settings)
        canary = await site.last()
        assert (canary.number, canary.state) == (2, CanaryState.WITHDRAWN)
        await site.publish(3, {("math", None): "think-hard"}, rule_digest=digest)
        by = replace(OPERATOR, at=site.clock.at)
        await site.desk.rollouts.begin_canary("work", 3, share=0.2, by=by)
        await tick(where, settings)
        assert (await site.last()).reason == "it answers every ask by the same arm as what the others have"
        running = await site.desk.rollouts.begin_canary("work", 2, share=0.2, by=by)
        (folder / "policy.yaml").write_text("policy: work\n", "utf-8")
        await tick(where, settings)
        assert await site.last() == running
