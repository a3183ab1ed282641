"""When a vote is decided."""

from __future__ import annotations

import math
import random
from fractions import Fraction

import pytest

from gateway.errors import ConfigurationError
from gateway.search.stopping import (
    Standing,
    Stop,
    beta,
    conformal_level,
    draws_needed,
    forecast,
    incomplete_beta,
    is_decided,
    unbeatable,
)


@pytest.mark.parametrize(("a", "b"), [(1, 1), (3, 1), (5, 3), (3, 5), (9, 1), (40, 38), (1, 30)])
def test_the_beta_posterior_is_that_of_the_binomial(a: int, b: int) -> None:
    """For whole numbers the incomplete beta at one half is a tail of the binomial distribution."""
    trials = a + b - 1
    tail = Fraction(sum(math.comb(trials, k) for k in range(a, trials + 1)), 2**trials)
    assert incomplete_beta(a, b) == pytest.approx(float(tail), rel=1e-10)


def test_beta_by_hand() -> None:
    """Two of two is 7/8, and three to one is 13/16."""
    assert beta(Standing(2, 0, 2, 6, 2)) == pytest.approx(7 / 8)
    assert beta(Standing(3, 1, 4, 4, 3)) == pytest.approx(13 / 16)


def test_forecast_by_hand() -> None:
    """With one draw to come, only a runner-up that can tie is a danger, and a tie counts half."""
    assert forecast(Standing(2, 0, 2, 1, 2)) == 1
    # The next draw is the runner-up's, or new, with (1 + 1/2) / (3 + 1/2).
    assert forecast(Standing(2, 1, 3, 1, 2)) == pytest.approx(1 - 0.5 * 1.5 / 3.5)


def test_forecast_agrees_with_a_simulated_urn() -> None:
    """The forecast is the share of simulated urns in which the leader stays ahead."""
    source, ahead, runs = random.Random(5), 0.0, 20_000
    for _ in range(runs):
        counts = [3.0, 2.0, 1.0]
        for _ in range(4):
            place = source.choices(range(3), [counts[0], counts[1] + 0.5, counts[2]])[0]
            counts[place] += 1
        ahead += 1 if counts[0] > counts[1] else 0.5 * (counts[0] == counts[1])
    assert forecast(Standing(3, 2, 6, 4, 3)) == pytest.approx(ahead / runs, abs=0.012)


def test_unbeatable_is_certain() -> None:
    """Only a lead larger than what is left is unbeatable."""
    assert unbeatable(Standing(5, 1, 6, 2, 5)) == 1
    assert unbeatable(Standing(4, 1, 5, 3, 4)) == 0


def test_no_rule_stops_on_one_draw_or_a_tie() -> None:
    """An answer of one draw decides nothing, nor do two answers that are as common."""
    for stop in Stop:
        assert not is_decided(stop, Standing(1, 0, 1, 7, 1), 0.01)
        assert not is_decided(stop, Standing(1, 0, 4, 2, 1), 0.01)
        assert not is_decided(stop, Standing(2, 2, 4, 4, 2), 0.01)
        assert not is_decided(stop, Standing(0, 0, 4, 4, 0), 0.0)
        assert is_decided(stop, Standing(0, 0, 8, 0, 0), 1)


def test_every_rule_but_never_ends_an_unbeatable_vote() -> None:
    """Whatever the level, a vote that cannot turn is over; one that is never to stop goes on."""
    won = Standing(5, 0, 5, 3, 5)
    assert [stop for stop in Stop if not is_decided(stop, won, 1.0)] == [Stop.NEVER]


def test_draws_needed() -> None:
    """As many as decide it if all agree; with a certain winner only an unbeatable lead does."""
    assert draws_needed(Stop.UNBEATABLE, Standing(2, 1, 3, 5, 2), 1) == 3
    assert draws_needed(Stop.NEVER, Standing(2, 1, 3, 5, 2), 1) == 5
    assert draws_needed(Stop.FORECAST, Standing(1, 1, 2, 6, 1), 0.85) == 2
    assert draws_needed(Stop.FORECAST, Standing(1, 1, 2, 0, 1), 0.85) == 0
    for standing in (Standing(3, 2, 8, 40, 3), Standing(1, 1, 6, 12, 1), Standing(2.4, 1.9, 7, 9, 3)):
        for stop in Stop:
            decided = [is_decided(stop, standing.after(n), 0.9) for n in range(1, standing.left + 1)]
            assert draws_needed(stop, standing, 0.9) == 1 + decided.index(True)


def test_forecast_goes_over_into_its_limit() -> None:
    """With many draws to come the limit is taken, a little below what the most that is looked ahead to gives."""
    for leader, runner_up in ((2, 1), (5, 3), (4, 0)):
        near, far = (forecast(Standing(leader, runner_up, leader + runner_up, left, leader)) for left in (16, 17))
        assert far <= near <= far + 0.08


def test_conformal_level_by_hand() -> None:
    """The lowest level at which (losses + 1) / (asks + 1) meets the target, there and above."""
    levels = [0.5, 0.6, 0.7]
    losses = [[1.0, 0.0, 0.0], [1.0, 1.0, 0.0], *[[0.0, 0.0, 0.0]] * 17]
    assert conformal_level(levels, losses, 0.15) == 0.5  # 3 / 20
    assert conformal_level(levels, losses, 0.10) == 0.6  # 2 / 20
    assert conformal_level(levels, losses, 0.05) == 0.7  # 1 / 20
    with pytest.raises(ConfigurationError, match=r"least that so many can show is 0\.05"):
        conformal_level(levels, losses, 0.04)


def test_conformal_level_takes_a_loss_that_comes_back_as_one_that_never_left() -> None:
    """A loss at a higher level counts at every lower one."""
    losses = [[0.0, 1.0], [1.0, 0.0], *[[0.0, 0.0]] * 7]
    assert conformal_level([0.5, 0.6], losses, 0.3) == 0.5
    assert conformal_level([0.5, 0.6], losses, 0.2) == 0.6
    with pytest.raises(ConfigurationError):
        conformal_level([0.5, 0.6], losses, 0.1)


def test_conformal_level_keeps_its_error_on_average() -> None:
    """Over many simulated calibrations the error of a new ask stays at the target."""
    source = random.Random(11)
    levels = [step / 20 for step in range(21)]
    target, errors, runs = 0.1, 0.0, 400
    for _ in range(runs):
        asks = [source.random() ** 2 for _ in range(61)]  # an ask is lost below its own level
        losses = [[float(level < ask) for level in levels] for ask in asks]
        level = conformal_level(levels, losses[:60], target)
        errors += losses[60][levels.index(level)]
    assert errors / runs <= target + 3 * math.sqrt(target * (1 - target) / runs)
