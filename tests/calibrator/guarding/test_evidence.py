"""What is seen of a canary, batch by batch, and how it is stored in between."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from calibrator.guarding.document import read_terms, taken_up, written
from calibrator.guarding.evidence import Baseline, Evidence, Labelled, Served, Terms, begin_evidence

TERMS = Terms(
    margin=0.02,
    risk=0.05,
    timeout_s=86_400,
    min_outcomes=50,
    cost_at_most=1.2,
    latency_at_most=1.5,
    errors_at_most=0.02,
)
LABEL = Labelled("math", 0.25, is_new=True, is_same=False, score=1.0, weight=1.0, probability=1.0)
SERVED = Served("math", 0.25, is_new=False, has_failed=False, total_s=1.0, cost_usd=0.01)


def _served(count: int, *, new: Served, old: Served, seed: int = 1) -> list[Served]:
    """A quarter of each batch is of the new version; times vary by half."""
    random = np.random.default_rng(seed)
    made = []
    for is_new in random.random(count) < 0.25:
        each = new if is_new else old
        made.append(replace(each, is_new=bool(is_new), total_s=each.total_s * float(random.uniform(0.5, 1.5))))
    return made


def _after(batches: Sequence[Sequence[Served]], terms: Terms = TERMS) -> Evidence:
    evidence = begin_evidence(terms)
    for batch in batches:
        evidence = evidence.with_traffic(batch)
    return evidence


def test_labels_are_counted_by_share_where_versions_differ() -> None:
    """Of the new version alone: that is what a stage waits for."""
    evidence = begin_evidence(TERMS).with_labels(
        [LABEL, LABEL, replace(LABEL, share=0.05), replace(LABEL, is_new=False), replace(LABEL, is_same=True)]
    )
    assert evidence.labelled == {0.25: 2, 0.05: 1}
    assert evidence.quality.count == 5


def test_weights_follow_the_rarest_kind_that_was_seen_before() -> None:
    """A certain label counts a tenth of one that was drawn with a tenth, from the next batch on; none more than 1."""
    rare = replace(LABEL, probability=0.1)
    evidence = begin_evidence(TERMS).with_labels([rare, LABEL])
    assert evidence.rarest == 0.1
    weights = evidence.quality.sums.weights
    after = evidence.with_labels([LABEL])
    assert after.quality.sums.weights - weights == pytest.approx(weights / 2 * 0.1)
    halved = evidence.with_labels([replace(rare, weight=0.5)])
    assert halved.quality.sums.weights - weights == pytest.approx(weights / 2 * 0.5)


def test_nothing_is_measured_before_there_is_a_baseline() -> None:
    """Two hundred answers of the old version: what the first batch brings is measured by those before it alone."""
    batch = _served(1_000, new=replace(SERVED, total_s=9.0, cost_usd=9.0), old=SERVED)
    evidence = _after([batch])
    assert evidence.slowness is not None
    assert evidence.cost is not None
    assert (evidence.slowness.count, evidence.cost.count) == (0, 0)
    assert evidence.baseline.slow_s == pytest.approx(1.45, rel=0.06)
    assert evidence.baseline.largest_cost == pytest.approx(0.1)
    assert evidence.baseline.costs.count == sum(not each.is_new for each in batch)
    after = evidence.with_traffic(batch)
    assert after.slowness is not None
    assert after.slowness.new.mean == 1.0
    assert after.slowness.old.mean == 0.0
    assert after.cost is not None
    assert after.cost.new.mean == 1.0


def test_a_load_that_slows_both_is_no_harm() -> None:
    """The baseline follows the old version, and what counts is the difference."""
    calm = _served(2_000, new=SERVED, old=SERVED)
    loaded = [replace(each, total_s=5 * each.total_s) for each in calm]
    evidence = _after([calm, calm, *[loaded] * 10])
    assert evidence.slowness is not None
    assert not evidence.slowness.shown(0, 0.05)
    assert evidence.baseline.slow_s == pytest.approx(7.25, rel=0.06)


def test_times_fade_and_costs_do_not() -> None:
    """However many there were, the newest few thousand times say what is usual."""
    baseline = Baseline()
    for total_s in (1.0, 3.0):
        baseline = baseline.extended([replace(SERVED, total_s=total_s)] * 9_000)
    assert sum(baseline.times.values()) <= 4_000
    assert baseline.slow_s == pytest.approx(3.0, rel=0.06)
    assert baseline.costs.count == 18_000
    assert Baseline().slow_s is None
    assert baseline.extended([replace(SERVED, is_new=True)]) == baseline


def test_a_cost_that_is_not_known_is_left_out() -> None:
    """As is every cost where the old version's answers were free."""
    unknown = _served(2_000, new=replace(SERVED, cost_usd=None), old=SERVED)
    found = _after([unknown, unknown]).cost
    assert found is not None
    assert found.new.count == 0
    free = _after([_served(2_000, new=SERVED, old=replace(SERVED, cost_usd=0.0))] * 2)
    assert free.cost is not None
    assert free.cost.count == 0


def test_evidence_is_taken_up_where_it_was_left() -> None:
    """Through JSON, to the last digit, and both go on alike."""
    batch = _served(600, new=replace(SERVED, has_failed=True), old=SERVED)
    evidence = _after([batch, batch]).with_labels([LABEL, replace(LABEL, is_new=False, score=0.0, probability=0.2)])
    again = taken_up(json.loads(json.dumps(written(evidence))), TERMS)
    assert again == evidence
    assert again.with_traffic(batch) == evidence.with_traffic(batch)
    assert read_terms(written(evidence)) == TERMS


@pytest.mark.parametrize(
    "changes", [{"margin": 0.03}, {"cost_at_most": None}, {"latency_at_most": 2.0}, {"errors_at_most": 0.01}]
)
def test_evidence_for_other_limits_is_not_taken_up(changes: dict[str, float | None]) -> None:
    """What was gathered against one limit says nothing of another; a limit that is set aside is not watched."""
    document = written(begin_evidence(TERMS).with_labels([LABEL]))
    other = replace(TERMS, **changes)
    assert taken_up(document, other) == begin_evidence(other)
    assert taken_up({**document, "form": 0}, TERMS) == begin_evidence(TERMS)
    assert taken_up(None, TERMS) == begin_evidence(TERMS)


def test_limits_that_are_set_aside_stay_so() -> None:
    """They gather nothing, and are stored as nothing."""
    terms = replace(TERMS, cost_at_most=None, latency_at_most=None, errors_at_most=None)
    evidence = _after([_served(600, new=replace(SERVED, has_failed=True), old=SERVED)] * 2, terms)
    assert (evidence.errors, evidence.slowness, evidence.cost) == (None, None, None)
    assert taken_up(written(evidence), terms) == evidence
