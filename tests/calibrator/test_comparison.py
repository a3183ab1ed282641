"""What rules truly lose and cost, beside those that need no calibration."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from calibrator.comparison import mixture, oracle, resplit, shuffled, standing, static_arms
from calibrator.tables.table import OutcomeTable
from tests.calibrator.test_trial import QUESTION, REFERENCE, TABLE


def test_resplits_keep_the_promise_on_a_table_whose_truth_is_known() -> None:
    """Violations are no more than promised, the cost is well below the reference's, and the controls lose more."""
    found = resplit(QUESTION, 60, 1)
    assert found.violations.estimate <= 0.1
    assert found.mean_cost.estimate < 0.6
    assert found.mean_cost.lower < found.mean_cost.estimate < found.mean_cost.upper
    names = {each.name: each for each in found.controls}
    shuffle, random = names["its arms, shuffled over the items"], found.controls[-3]
    assert shuffle.relative_cost == pytest.approx(found.mean_cost.estimate, abs=1e-9)
    assert random.relative_cost == pytest.approx(found.mean_cost.estimate, abs=1e-9)
    assert found.mean_loss < shuffle.loss < random.loss
    assert sum(number for _, number in found.rules) == 60


def test_no_labels_are_left_over_when_all_are_used() -> None:
    """Then nothing is said of items left over."""
    found = resplit(replace(QUESTION, labels=900), 2, 1)
    assert found.left_over is None
    assert found.violations.sample_size == 2


def _small() -> OutcomeTable:
    return replace(TABLE, scores=TABLE.scores[:2], costs=TABLE.costs[:2], cell=TABLE.cell[:2], items=TABLE.items[:2])


def test_baselines_are_what_their_names_say() -> None:
    """Static arms, mixtures and the oracle, worked out by hand on two items."""
    small = replace(_small(), scores=np.array([[1.0, 1.0, 1.0], [0.0, 1.0, 1.0]]))
    static = static_arms(small, REFERENCE)
    assert [each.name for each in static] == ["always fast", "always think", "always think-hard"]
    assert [each.loss for each in static] == [0.5, 0.0, 0.0]
    assert static[0].relative_cost == pytest.approx(0.05)
    best = oracle(small, REFERENCE)
    assert (best.loss, best.relative_cost) == (0.0, pytest.approx((0.05 + 0.3) / 2))
    half = mixture(small, REFERENCE, (0.05 + 1) / 2)
    assert (half.loss, half.relative_cost) == (pytest.approx(0.25), pytest.approx(0.525))
    rule = tuple(0 if number == small.cell[1] else REFERENCE for number in range(len(small.cells)))
    assert shuffled(small, REFERENCE, rule).loss == pytest.approx(0.25)
    chosen = standing(small, REFERENCE, rule, "it")
    assert chosen is not None
    assert chosen.loss == 0.5
    assert standing(small, REFERENCE, rule, "it", np.zeros(2, dtype=bool)) is None


def test_the_oracle_takes_the_cheapest_where_all_are_wrong() -> None:
    """Nobody can be right there, so the cheapest is best."""
    wrong = replace(_small(), scores=np.zeros((2, 3)))
    assert oracle(wrong, REFERENCE).relative_cost == pytest.approx(0.05)
