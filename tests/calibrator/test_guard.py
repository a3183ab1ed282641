"""What becomes of a canary by its stage and its evidence, and in which words."""

from __future__ import annotations

from dataclasses import replace

import pytest

from calibrator.guard import Action, Trial, judge
from calibrator.guarding.contrast import Tally
from calibrator.guarding.evidence import Evidence, Served, Terms, begin_evidence

TERMS = Terms(
    margin=0.02,
    risk=0.05,
    timeout_s=7 * 86_400,
    min_outcomes=50,
    cost_at_most=1.2,
    latency_at_most=1.5,
    errors_at_most=0.02,
)
SHARES = (0.01, 0.05, 0.25, 1.0)
FIRST, LAST = Trial(0.01, 0.0, SHARES), Trial(0.25, 0.0, SHARES)


def _seen(share: float, new: float, old: float, count: int, terms: Terms = TERMS) -> Evidence:
    """Evidence of conversations with these accuracies, in ten batches."""
    fresh = begin_evidence(terms)
    drawn = round(count * share)
    batch = [
        Tally("math", share, is_new, value, count=round(size * part / 10))
        for is_new, size, accuracy in ((True, drawn, new), (False, count - drawn, old))
        for value, part in ((1.0, accuracy), (0.0, 1 - accuracy))
    ]
    quality = fresh.quality
    for _ in range(10):
        quality = quality.extended(batch)
    return replace(fresh, quality=quality, labelled={share: drawn})


def test_it_waits_for_labels_of_its_own() -> None:
    """However many others there are, and says how many are missing."""
    verdict = judge(FIRST, _seen(0.01, 0.8, 0.8, 4_000), 0.0)
    assert verdict.action is Action.WAIT
    assert verdict.reason.startswith("10 more labelled conversations of its own are needed at this stage: ")
    nothing = judge(FIRST, begin_evidence(TERMS), 0.0)
    assert nothing.reason.endswith(": 0 labelled conversations, too few to compare")


def test_it_goes_on_from_stage_to_stage_without_harm() -> None:
    """To the next share that the policy has, and never to all without being shown."""
    verdict = judge(FIRST, _seen(0.01, 0.8, 0.8, 10_000), 0.0)
    assert (verdict.action, verdict.share) == (Action.WIDEN, 0.05)
    assert verdict.reason.startswith("no harm was seen with 100 labelled conversations at 1%: 80.0% right beside 80.0%")
    other = judge(replace(FIRST, shares=(0.5, 1.0)), _seen(0.01, 0.8, 0.8, 10_000), 0.0)
    assert other.share == 0.5
    undecided = judge(LAST, _seen(0.25, 0.8, 0.8, 2_000), 0.0)
    assert undecided.action is Action.WAIT
    assert undecided.reason.startswith("that it is not worse by 2 points or more is not shown yet: ")


def test_it_is_promoted_once_shown_at_the_last_stage() -> None:
    """Not before: what a quarter of the traffic bears is seen there."""
    shown = _seen(0.25, 0.8, 0.8, 100_000)
    verdict = judge(LAST, shown, 0.0)
    assert verdict.action is Action.PROMOTE
    assert verdict.reason.startswith(
        "it is shown not to be worse by 2 points or more: 80.0% right beside 80.0%, a diff"
    )
    early = judge(Trial(0.05, 0.0, SHARES), replace(shown, labelled={0.05: 99}), 0.0)
    assert (early.action, early.share) == (Action.WIDEN, 0.25)
    unlabelled = judge(LAST, replace(shown, labelled={0.25: 49}), 0.0)
    assert unlabelled.action is Action.WAIT


def test_harm_goes_before_all_else() -> None:
    """Also where the margin would allow it."""
    terms = replace(TERMS, margin=0.2)
    verdict = judge(LAST, _seen(0.25, 0.75, 0.85, 40_000, terms), 0.0)
    assert verdict.action is Action.WITHDRAW
    assert verdict.reason.startswith("its answers are worse: 75.0% right beside 85.0%, a difference of -10.00 points (")


def test_half_of_the_risk_is_for_worse_answers() -> None:
    """Evidence that comes by chance in 18 of 1,000 canaries suffices at a risk of 5%, and not at one of 3%."""
    evidence = _seen(0.25, 0.75, 0.80, 4_800)
    assert evidence.quality.processes[0].p_value == pytest.approx(0.0178, abs=0.0005)
    assert judge(LAST, evidence, 0.0).action is Action.WITHDRAW
    assert judge(LAST, replace(evidence, terms=replace(TERMS, risk=0.03)), 0.0).action is Action.WAIT


@pytest.mark.parametrize(
    ("new", "reason"),
    [
        ({"has_failed": True}, "more than 2 points more of its answers fail: 100.0% of "),
        (
            {"total_s": 9.0},
            "more than 5 points more of its answers take longer than 1.5 times the others' 95th percentile: 100.0% of",
        ),
        (
            {"cost_usd": 0.05},
            "its answers cost more than 1.2 times those of the others: $0.050000 an answer beside $0.01",
        ),
    ],
)
def test_what_is_broken_is_said(new: dict[str, object], reason: str) -> None:
    """Errors, time and cost: each with both sides' figures."""
    usual = Served("math", 0.25, is_new=False, has_failed=False, total_s=1.0, cost_usd=0.01)
    batch = [usual] * 300 + [replace(usual, is_new=True, **new)] * 100  # type: ignore[arg-type]
    evidence = begin_evidence(TERMS)
    for _ in range(10):
        evidence = evidence.with_traffic(batch)
    verdict = judge(LAST, evidence, 0.0)
    assert verdict.action is Action.WITHDRAW
    assert verdict.reason.startswith(reason)


def test_its_time_is_limited() -> None:
    """From its beginning, whatever stage it is at; what is shown by then counts."""
    over = 7 * 86_400.0
    for trial, evidence in ((FIRST, _seen(0.01, 0.8, 0.8, 10_000)), (LAST, begin_evidence(TERMS))):
        assert judge(trial, evidence, over - 1).action is not Action.WITHDRAW
        verdict = judge(trial, evidence, over)
        assert verdict.action is Action.WITHDRAW
        assert verdict.reason.startswith("its time of 7 days is over, and that it is not worse by 2 points or more is ")
    assert judge(LAST, _seen(0.25, 0.8, 0.8, 100_000), over).action is Action.PROMOTE


def test_what_everybody_has_cannot_be_compared() -> None:
    """A policy whose only share is 1 tries nothing."""
    assert judge(Trial(1.0, 0.0, (1.0,)), begin_evidence(TERMS), 0.0).action is Action.PROMOTE


def test_one_is_singular() -> None:
    """Words agree with their numbers."""
    verdict = judge(LAST, begin_evidence(replace(TERMS, margin=0.01, timeout_s=86_400.0)), 1e9)
    assert verdict.reason.startswith("its time of 1 day is over, and that it is not worse by 1 point or more is not")
