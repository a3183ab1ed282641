"""Which rules of a path are walked."""

from __future__ import annotations

import numpy as np
import pytest

from calibrator.choose import Target
from calibrator.walk import Beliefs, Walk, beliefs, best_walk
from tests.calibrator.test_choose import REFERENCE as DEAR
from tests.calibrator.test_choose import ground, labels

TARGET = Target(0.02, 0.9)
PATH = ((0, DEAR, DEAR, DEAR), (0, 0, DEAR, DEAR), (0, 0, 0, 0))
"""A cell, another, and the two that are left."""


def believed(*means: float, noise: float = 0.1, unsure: float = 0.0) -> Beliefs:
    """What the cheap arm loses in each cell; all cells alike in the rest."""
    table = np.zeros((4, 3))
    table[:, 0] = means
    return Beliefs(table, np.full((4, 3), unsure), np.full((4, 3), noise))


def test_rules_that_lose_nothing_are_all_walked() -> None:
    """Each is something to fall back on, and costs nothing where it is sure."""
    found = best_walk(ground(), PATH, believed(-0.05, -0.05, -0.05, -0.05), TARGET, 4_000)
    assert found.places == (0, 1, 2)
    assert found.saving == pytest.approx(0.9, abs=0.01)


def test_a_place_to_fail_at_is_passed_over() -> None:
    """The first cell alone is hard to certify; with what the others gain it is not."""
    found = best_walk(ground(), PATH, believed(0.06, -0.05, -0.05, -0.05), TARGET, 2_000)
    assert 0 not in found.places
    assert found.places[-1] == 2


def test_a_rule_without_a_chance_is_no_end_to_make_for() -> None:
    """Its arms would be asked of every item that is left, nearly always for nothing."""
    found = best_walk(ground(), PATH, believed(0.0, 0.0, 0.05, 0.05), TARGET, 4_000)
    assert found.places == (0, 1)


def test_the_less_is_known_the_less_is_expected() -> None:
    """Few labels, noisy ones and uncertain losses all lower the saving."""
    sure = best_walk(ground(), PATH, believed(0, 0, 0, 0), TARGET, 2_000).saving
    assert best_walk(ground(), PATH, believed(0, 0, 0, 0), TARGET, 500).saving < sure
    assert best_walk(ground(), PATH, believed(0, 0, 0, 0, noise=0.4), TARGET, 2_000).saving < sure
    assert best_walk(ground(), PATH, believed(0, 0, 0, 0, unsure=0.01), TARGET, 2_000).saving < sure


def test_the_labels_that_are_left_are_spent_on_the_cells_that_change() -> None:
    """So 250 of them are enough for a single cell; were they spread over all four, they would seldom be."""
    found = best_walk(ground(), PATH[:1], believed(0, 0, 0, 0, noise=0.4), TARGET, 250)
    assert found.saving > 0.15


def test_the_same_is_planned_whenever_it_is_planned() -> None:
    """Processes that measure one run plan it each for itself."""
    first, second = (best_walk(ground(), PATH, believed(0.01, 0, 0, 0.02), TARGET, 700) for _ in range(2))
    assert first == second
    assert best_walk(ground(), (), believed(0, 0, 0, 0), TARGET, 700) == Walk((), 0.0)


def test_a_pilots_labels_tell_how_noisy_they_are() -> None:
    """By cell and arm; without a single disagreement the variance is not zero."""
    known = labels(400, lost={(0, 0): 0.5})
    found = beliefs(known, np.zeros((4, 3)), np.zeros((4, 3)))
    assert found.noise[0, 0] == pytest.approx(0.5, abs=0.01)
    assert found.noise[1, 0] == pytest.approx(1 / 101)
