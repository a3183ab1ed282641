"""Labels as rewards: what each stands for, and models that never saw what they predict."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from calibrator.replay.log import Labels, Log
from calibrator.replay.rewards import folds, predict_scores, predict_values, rewards_of
from tests.calibrator.replay.test_estimate import made


def _labelled(log: Log, *said: tuple[int, int, float, float, float]) -> Log:
    row, source, score, weight, probability = (np.array(column) for column in zip(*said, strict=True))
    return replace(log, sources=("user", "tests"), labels=Labels(row, source, score, weight, probability))


def test_a_label_stands_for_as_many_as_it_was_chosen_from() -> None:
    """Its weight over its probability; requests without one have none."""
    rewards = rewards_of(_labelled(made(4), (1, 0, 1.0, 1.0, 0.25), (2, 0, 0.5, 0.5, 0.5)), None)
    assert rewards.stands_for.tolist() == [0, 4, 1, 0]
    assert rewards.reward.tolist() == [0, 1, 0.5, 0]
    assert (rewards.labelled, rewards.without_probability) == (2, 0)


def test_sources_that_contradict_each_other_are_averaged() -> None:
    """By what each stands for; one alone can be asked for."""
    log = _labelled(made(2), (0, 0, 1.0, 1.0, 1.0), (0, 1, 0.0, 1.0, 0.25))
    assert rewards_of(log, None).reward[0] == pytest.approx(0.2)
    assert rewards_of(log, "tests").reward[0] == 0
    assert rewards_of(log, "tests").stands_for[0] == 4
    assert rewards_of(log, "nobody").labelled == 0


def test_without_a_probability_the_rate_of_the_arm_in_the_category_stands_for_it() -> None:
    """One of two answers labelled there stands for two, and the other category has a rate of its own."""
    log = replace(made(6), cell=np.array([0, 0, 1, 1, 1, 1]), arm=np.array([0, 0, 0, 0, 1, 1]))
    unknown = float("nan")
    said = _labelled(log, (0, 0, 1.0, 1.0, unknown), (2, 0, 1.0, 1.0, unknown), (3, 0, 1.0, 1.0, unknown))
    rewards = rewards_of(said, None)
    assert rewards.stands_for.tolist() == [2, 0, 1, 1, 0, 0]
    assert rewards.without_probability == 3


def test_a_prediction_never_saw_its_own_fold() -> None:
    """Changing the outcomes of a fold leaves its own predictions as they are."""
    log = made(2_000)
    rewards = rewards_of(log, None)
    held = folds(log.arm.size) == 0
    changed = replace(rewards, reward=np.where(held, 1 - rewards.reward, rewards.reward))
    before, after = predict_scores(log, rewards), predict_scores(log, changed)
    assert np.array_equal(before.own[held], after.own[held])
    assert not np.array_equal(before.own[~held], after.own[~held])


def test_a_policy_s_mean_is_over_its_arms() -> None:
    """Of an arm that answers a twentieth, as of the one that answers the rest."""
    log = made(4_000)
    predicted = predict_scores(log, rewards_of(log, None))
    assert predicted.new.mean() == pytest.approx(0.8, abs=0.07)
    assert predicted.old.mean() == pytest.approx(0.61, abs=0.03)


def test_values_are_predicted_from_those_that_are_known() -> None:
    """Costs that nobody knows are no part of a mean."""
    log = made(1_000)
    cost = np.where(np.arange(1_000) % 3 == 0, np.nan, log.cost)
    predicted = predict_values(log, cost)
    assert predicted.new.mean() == pytest.approx(5.0, abs=0.6)
    assert np.isfinite(predicted.own).all()
