"""What is measured next, and when it is enough: played on tables whose truth is known."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pytest

from calibrator.choose import Scope, Target
from calibrator.sequence import LOOKS, Ending, Nothing, Stage, Trial, pilot_rows, proceed
from calibrator.stats.intervals import exact
from calibrator.tables.table import OutcomeTable, measured
from tests.calibrator.made import ARMS, LOSSES, TIERS, table


@dataclass(frozen=True, slots=True)
class Played:
    """How a trial went: what it came to, what was asked, and what of it is true."""

    end: Ending | Nothing
    asked: int
    spent: float
    stages: int

    @property
    def ending(self) -> Ending:
        """The end, where there is something to choose from."""
        assert isinstance(self.end, Ending)
        return self.end

    @property
    def loss(self) -> float:
        """What the rule truly loses, by the truth that the table was made of."""
        rule, cells = self.ending.choice.rule, self.ending.drawn.ground.cells
        names = self.ending.question.table.arms
        tiers = [TIERS.index(str(tier)) for _, tier in cells]
        lost = [(0.9 - 0.1 * tier) * LOSSES[names[arm]][tier] for tier, arm in zip(tiers, rule, strict=True)]
        return float(self.ending.drawn.ground.weights @ np.array(lost))


def _play(
    items: int,
    target: Target,
    *,
    seed: int = 3,
    money: float = math.inf,
    most: float = math.inf,
    full: OutcomeTable | None = None,
) -> Played:
    """Measure what is wanted until it is enough, or ``most`` was spent."""
    full = table(items, seed) if full is None else full
    order = np.random.default_rng(seed).permutation(items)
    names = [(full.items[row], full.cells[full.cell[row]]) for row in order]
    scores, costs = np.full(full.scores.shape, np.nan), np.full(full.scores.shape, np.nan)
    asked = stages = 0
    while True:
        known = measured(names, full.arms, scores.copy(), costs.copy(), costs.copy())
        trial = Trial(known, full.arm("think-hard"), target, money)
        is_over = float(np.nansum(costs)) >= most
        found = proceed(trial, is_over=is_over)
        if not isinstance(found, Stage):
            return Played(found, asked, float(np.nansum(costs)), stages)
        assert found.left >= len(found.wanted) > 0
        stages += 1
        for row, arm in found.wanted:
            assert math.isnan(scores[row, arm])
            scores[row, arm], costs[row, arm] = full.scores[order[row], arm], full.costs[order[row], arm]
            asked += 1
            if float(np.nansum(costs)) >= most:
                break


def test_a_run_ends_early_with_everything_within_reach_certified() -> None:
    """With many items a first look is enough; most pairs are then never asked."""
    played = _play(3_000, Target(0.05, 0.9))
    assert played.ending.choice.is_certified
    assert played.ending.choice.relative_cost < 0.2
    assert played.ending.looks[-1].labels < 3_000 / 2
    assert played.asked < 3_000 * len(ARMS) * 0.6
    (mine,) = [look for look in played.ending.looks if look.choice is played.ending.choice]
    assert played.ending.risk == pytest.approx(1 - mine.confidence)
    assert played.ending.risk < 0.1
    assert played.ending.pilot_size == 600
    assert played.loss <= 0.05


def test_without_a_chance_nothing_is_spent_after_the_pilot() -> None:
    """Few items and a strict target: the end says how many labels it takes, and what they cost."""
    played = _play(60, Target(0.005, 0.9))
    assert not played.ending.choice.is_certified
    assert played.asked == len(ARMS) * len(pilot_rows(Trial(played.ending.question.table, 0, Target(0.1, 0.9), 1)))
    assert played.ending.choice.shortage is not None
    assert (played.ending.choice.shortage.labels_more or 0) > 60
    assert (played.ending.choice.shortage.cost or 0) > played.spent


def test_the_money_decides_how_many_labels_are_planned() -> None:
    """By what the pilot cost; the plan stays below it."""
    free, bound = _play(3_000, Target(0.02, 0.9)), _play(3_000, Target(0.02, 0.9), money=1_200)
    assert bound.spent <= 1_200
    assert bound.asked < free.asked


def test_money_that_ends_in_the_middle_leaves_the_looks_that_were_due() -> None:
    """What was certified by then stays; labels since are not looked at."""
    whole = _play(3_000, Target(0.02, 0.9))
    early = _play(3_000, Target(0.02, 0.9), most=1_900)
    assert early.ending.reason == "the money was spent before the next look was due"
    assert [look.labels for look in early.ending.looks] == [look.labels for look in whole.ending.looks[:1]]
    assert _play(900, Target(0.02, 0.9), most=3).end == Nothing("the cap does not pay for the pilot")


def test_where_no_arm_is_cheaper_there_is_nothing_to_choose() -> None:
    """The pilot finds that out, and is all that is asked."""
    full = table(200, 3)
    costs = full.costs.copy()
    costs[:, full.arm("think-hard")] = 0.01
    dear = measured(
        [(name, full.cells[full.cell[row]]) for row, name in enumerate(full.items)],
        full.arms,
        full.scores,
        costs,
        costs,
    )
    played = _play(200, Target(0.05, 0.9), full=dear)
    assert played.ending.reason == "no arm is cheaper than the reference, so there is nothing to choose"
    assert played.ending.choice.shortage is None
    assert played.stages == 1


def test_every_cell_can_be_promised_for_itself() -> None:
    """With a share of the risk each; all steps of the path are then measured."""
    played = _play(3_000, Target(0.08, 0.9, Scope.CELL))
    assert played.ending.choice.is_certified
    assert all((cell.bound or 0) <= 0.08 for cell in played.ending.choice.cells if cell.arm != "think-hard")


def test_the_looks_share_the_whole_risk() -> None:
    """No more than there is, and at ascending shares of the labels."""
    assert sum(risk for _, risk in LOOKS) == pytest.approx(1)
    assert [share for share, _ in LOOKS] == sorted(share for share, _ in LOOKS)


def test_the_promise_holds_over_all_looks_together() -> None:
    """In 60 runs the true loss is beyond the target in no more of them than the risk explains."""
    broken = sum(_play(400, Target(0.04, 0.8), seed=seed).loss > 0.04 for seed in range(60))
    assert exact(broken, 60, 0.99).lower <= 0.2


def test_among_arms_of_several_kinds_the_pilot_finds_a_way() -> None:
    """An arm in the middle that is worse than a cheaper one keeps nothing from being certified."""
    full = table(1_500, 3)
    scores = full.scores.copy()
    scores[np.random.default_rng(4).random(1_500) < 0.4, full.arm("think")] = 0
    names = [(name, full.cells[full.cell[row]]) for row, name in enumerate(full.items)]
    played = _play(1_500, Target(0.05, 0.9), full=measured(names, full.arms, scores, full.costs, full.costs))
    assert played.ending.choice.is_certified
    assert played.ending.choice.relative_cost < 0.6
    assert "think" not in {cell.arm for cell in played.ending.choice.cells}
