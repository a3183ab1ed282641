"""Tests of calibrator/stats/paths.py."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from calibrator.stats.paths import cheaper_by_steps, expected_risk

_COSTS = np.array([[0.1, 0.4, 1.0]] * 3)
_WEIGHTS = np.array([0.3, 0.4, 0.3])


def test_risk_doubles_with_difficulty_and_grows_with_the_ratio_of_costs() -> None:
    """The expectation is two to the difficulty, times the logarithm of how much cheaper the arm is."""
    risk = expected_risk([0, 1, 3], _COSTS, reference=2)
    assert risk[0] == pytest.approx([np.log(10), np.log(2.5), 0])
    assert risk[1] == pytest.approx(2 * risk[0])
    assert risk[2] == pytest.approx(8 * risk[0])


def test_free_arms_and_dearer_ones_have_finite_risk() -> None:
    """An arm that costs nothing counts as a thousandth of the reference, and one that costs more as no risk."""
    risk = expected_risk([0, 0], [[0.0, 1.0, 2.0], [0.0, 0.0, 0.0]], reference=1)
    assert risk[0] == pytest.approx([np.log(1_000), 0, 0])
    assert risk[1] == pytest.approx([0, 0, 0])


def test_a_path_takes_easy_cells_and_small_steps_first() -> None:
    """With three difficulties and three arms the steps go from easy to hard and from near to far."""
    risk = expected_risk([0, 1, 2], _COSTS, reference=2)
    assert cheaper_by_steps(risk, _COSTS, _WEIGHTS, 2, (0, 1, 2)) == (
        (1, 2, 2),
        (1, 1, 2),
        (0, 1, 2),
        (0, 1, 1),
        (0, 0, 1),
        (0, 0, 0),
    )


def test_cells_of_a_group_move_together() -> None:
    """Cells with the same number take each step at once."""
    risk = expected_risk([0, 2, 0], _COSTS, reference=2)
    path = cheaper_by_steps(risk, _COSTS, _WEIGHTS, 2, (5, 7, 5))
    assert path[0] == (1, 2, 1)
    assert all(rule[0] == rule[2] for rule in path)
    assert path[-1] == (0, 0, 0)


def test_what_is_better_and_cheaper_comes_first() -> None:
    """A move that is expected to gain comes before all others, and of equals the one that saves most."""
    risk = np.array([[0.1, 0.0], [-0.2, 0.0], [0.1, 0.0]])
    costs = np.array([[0.5, 1.0]] * 3)
    assert cheaper_by_steps(risk, costs, np.array([0.1, 0.3, 0.6]), 1, (0, 1, 2)) == ((1, 0, 1), (1, 0, 0), (0, 0, 0))


def test_equal_moves_go_by_what_they_save() -> None:
    """Cells alike in difficulty and costs are taken from the largest share of the traffic to the smallest."""
    weights = np.array([0.1, 0.3, 0.17, 0.23, 0.2])
    costs = np.array([[0.1, 0.37, 1.0]] * 5)
    path = cheaper_by_steps(expected_risk([1] * 5, costs, 2), costs, weights, 2, range(5))
    changed = [next(cell for cell in range(5) if rule[cell] != 2 and before[cell] == 2)
               for before, rule in itertools.pairwise(((2,) * 5, *path[:5]))]  # fmt: skip
    assert changed == [1, 3, 4, 2, 0]


def test_arms_that_save_nothing_are_left_out() -> None:
    """Where every other arm costs as much or more there is no step."""
    assert cheaper_by_steps([[0.0, -1.0]], [[1.0, 1.0]], [1.0], 0, (0,)) == ()


def test_tables_that_do_not_fit_are_refused() -> None:
    """A group or a weight too few raises ValueError."""
    with pytest.raises(ValueError, match="a weight and a group"):
        cheaper_by_steps(np.zeros((3, 3)), _COSTS, _WEIGHTS, 2, (0, 1))
    with pytest.raises(ValueError, match="a weight and a group"):
        cheaper_by_steps(np.zeros((3, 3)), _COSTS, [1.0], 2, (0, 1, 2))
