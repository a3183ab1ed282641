"""Tests of calibrator/stats/certificates.py."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from calibrator.stats.betting import bound_mean, refute_high_mean
from calibrator.stats.certificates import Labels, bound_rule, certify_path, refute_rule
from calibrator.stats.noninferiority import PairedCounts, bound_loss, refute_loss

_RANDOM = np.random.default_rng(29)
_WEIGHTS = np.array([0.5, 0.3, 0.2])


def _labels(size: int, losses: tuple[float, float, float]) -> Labels:
    """Items on which arm 1, the reference, is right, and arm 0 fails at a rate for each cell."""
    cells = _RANDOM.choice(3, size, p=_WEIGHTS)
    fails = _RANDOM.random(size) < np.array(losses)[cells]
    scores = np.stack((~fails, np.ones(size, dtype=bool)), axis=1).astype(float)
    return Labels(cells, scores, _WEIGHTS, reference=1, is_binary=True)


def test_only_changed_cells_are_read_at_their_share_of_the_target() -> None:
    """The p-value is the exact one of the changed cells' items, against the target over their traffic."""
    labels = _labels(400, (0.02, 0.3, 0.9))
    ours = refute_rule(labels, (0, 1, 1), 0.02, 0.9)
    read = labels.cells == 0
    lost = int((labels.scores[read, 0] == 0).sum())
    counts = PairedCounts(int(read.sum()), lost, 0)
    assert ours.p_value == refute_loss(counts, 0.04).p_value
    assert ours.sample_size == read.sum()
    assert ours.estimate == pytest.approx(0.5 * lost / read.sum())
    assert bound_rule(labels, (0, 1, 1), 0.9).upper == pytest.approx(0.5 * bound_loss(counts, 0.9).upper)


def test_labels_of_unchanged_cells_alter_nothing() -> None:
    """Leaving out the items of cells that keep the reference gives the same evidence."""
    labels = _labels(300, (0.02, 0.1, 0.9))
    kept = labels.cells != 2
    fewer = replace(labels, cells=labels.cells[kept], scores=labels.scores[kept])
    assert refute_rule(labels, (0, 0, 1), 0.05, 0.9) == refute_rule(fewer, (0, 0, 1), 0.05, 0.9)


def test_graded_scores_are_bet_on() -> None:
    """Where scores may be graded the p-value and the bound are those of betting, even if all seen are 0 or 1."""
    labels = replace(_labels(200, (0.01, 0.1, 0.9)), is_binary=False)
    differences = (labels.scores[:, 1] - labels.scores[:, 0])[labels.cells == 0]
    expected = refute_high_mean(differences, 0.1, 0.9, low=-1, high=1)
    assert refute_rule(labels, (0, 1, 1), 0.05, 0.9).p_value == expected.p_value
    assert bound_rule(labels, (0, 1, 1), 0.9).upper <= 0.5 * bound_mean(differences, 0.9, low=-1, high=1).upper


def test_a_path_is_walked_to_the_last_rule_that_holds() -> None:
    """Two harmless steps are certified, the harmful third is not, and the fourth is not looked at."""
    labels = _labels(2_000, (0.0, 0.01, 0.5))
    path = ((0, 1, 1), (0, 0, 1), (0, 0, 0), (0, 0, 1))
    ours = certify_path(labels, path, 0.02, 0.9)
    assert (ours.place, ours.rule, len(ours.tests)) == (1, (0, 0, 1), 3)
    assert [test.p_value <= 0.1 for test in ours.tests] == [True, True, False]
    assert ours.loss.upper == min(bound_rule(labels, (0, 0, 1), 0.9).upper, 0.02)
    assert ours.loss.estimate < ours.loss.upper <= 0.02


def test_where_nothing_holds_the_reference_stays() -> None:
    """Without a certified step there is no rule, and the loss of the reference to itself is 0."""
    ours = certify_path(_labels(400, (0.5, 0.5, 0.5)), ((0, 1, 1),), 0.02, 0.9)
    assert (ours.place, ours.rule) == (None, None)
    assert (ours.loss.estimate, ours.loss.upper, ours.loss.sample_size) == (0, 0, 0)


def test_a_rule_that_cannot_lose_the_target_needs_no_labels() -> None:
    """Changing less traffic than the target is certain, and changing more without a label is not certified."""
    empty = Labels(np.zeros(0, dtype=np.int64), np.zeros((0, 2)), _WEIGHTS, reference=1, is_binary=True)
    assert refute_rule(empty, (1, 1, 0), 0.2, 0.9).p_value == 0
    assert refute_rule(empty, (1, 1, 1), 0.01, 0.9).p_value == 0
    assert refute_rule(empty, (1, 0, 1), 0.2, 0.9).p_value == 1
    assert bound_rule(empty, (1, 0, 1), 0.9).upper == pytest.approx(0.3)


def test_labels_that_do_not_fit_are_refused() -> None:
    """Cells without a weight, weights that are no shares, and scores beyond what was promised raise ValueError."""
    labels = _labels(20, (0.1, 0.1, 0.1))
    with pytest.raises(ValueError, match="has a weight"):
        replace(labels, cells=labels.cells + 2)
    with pytest.raises(ValueError, match="sum to 1"):
        replace(labels, weights=_WEIGHTS * 2)
    with pytest.raises(ValueError, match="from 0 to 1"):
        replace(labels, scores=labels.scores * 2)
    with pytest.raises(ValueError, match="promised"):
        replace(labels, scores=labels.scores / 2)
    with pytest.raises(ValueError, match="a score for each arm"):
        replace(labels, reference=2)
    with pytest.raises(ValueError, match="cannot be tested"):
        refute_high_mean([0.5], 1.0, 0.9)
