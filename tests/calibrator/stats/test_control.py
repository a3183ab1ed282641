"""Tests of calibrator/stats/control.py."""

from __future__ import annotations

import numpy as np
import pytest

from calibrator.stats.control import shuffled


def test_where_every_arm_is_in_reach_each_request_gets_the_shares() -> None:
    """Of 300 and 100 requests, whatever each kind had before."""
    new = shuffled([[0.9, 0.1], [0.2, 0.8]], [300, 100])
    assert new == pytest.approx(np.array([[0.725, 0.275]] * 2))


def test_arms_are_as_often_and_none_is_given_where_it_had_no_chance() -> None:
    """On random tables with holes, with rows that sum to 1."""
    random = np.random.default_rng(3)
    for _ in range(50):
        old = random.random((6, 4)) * (random.random((6, 4)) < 0.6)
        old[:, 0] += 0.05
        old /= old.sum(axis=1, keepdims=True)
        counts = random.integers(1, 1_000, 6)
        new = shuffled(old, counts)
        assert new.sum(axis=1) == pytest.approx(np.ones(6))
        assert counts @ new == pytest.approx(counts @ old, rel=1e-5, abs=1e-4)
        assert not new[old == 0].any()


def test_it_is_as_even_as_can_be() -> None:
    """Of three arms explored by neighbours, the odds of any two are the same in every row that has both."""
    old = np.array([[0.97, 0.03, 0.0], [0.015, 0.97, 0.015], [0.0, 0.03, 0.97]])
    new = shuffled(old, [500, 300, 200])
    assert new[0, 0] / new[0, 1] == pytest.approx(new[1, 0] / new[1, 1], rel=1e-4)
    assert new[1, 1] / new[1, 2] == pytest.approx(new[2, 1] / new[2, 2], rel=1e-4)
    assert new[1].min() > 0.1


def test_one_arm_for_each_stays() -> None:
    """Where nothing was drawn by chance, and where there is nothing at all."""
    old = np.array([[1.0, 0.0], [0.0, 1.0]])
    assert shuffled(old, [3, 4]).tolist() == old.tolist()
    assert shuffled(np.zeros((0, 2)), []).shape == (0, 2)


def test_rows_and_counts_belong_together() -> None:
    """Other shapes raise ValueError."""
    with pytest.raises(ValueError, match="every row"):
        shuffled([[1.0]], [1, 2])
    with pytest.raises(ValueError, match="every row"):
        shuffled([1.0], [1])
