"""The difference between two versions, as sums that are resumed with every batch."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from calibrator.guarding.contrast import Claim, Contrast, Tally, contrast
from calibrator.stats.betting import Side

CLAIMS = (Claim(0.0, Side.UPPER), Claim(-0.02, Side.LOWER))


def _batch(share: float, new: float, old: float, count: int = 10_000, cell: str = "math") -> list[Tally]:
    """As many conversations as these accuracies come to on average."""
    drawn = round(count * share)
    return [
        Tally(cell, share, is_new, value, count=round(size * part))
        for is_new, size, accuracy in ((True, drawn, new), (False, count - drawn, old))
        for value, part in ((1.0, accuracy), (0.0, 1 - accuracy))
    ]


def _fed(*batches: list[Tally], ratio: float = 1.0) -> Contrast:
    found = contrast(CLAIMS, ratio=ratio)
    for batch in batches:
        found = found.extended(batch)
    return found


def test_a_difference_is_estimated_through_all_stages() -> None:
    """Whatever share the new version had, and however much conversations count."""
    found = _fed(*(_batch(share, 0.75, 0.80) for share in (0.01, 0.05, 0.25)))
    interval = found.interval(0.95)
    assert interval.estimate == pytest.approx(-0.05)
    assert interval.lower < -0.05 < interval.upper < 0
    assert (found.new.count, found.old.count) == (3_100, 26_900)
    assert found.new.mean == pytest.approx(0.75)
    light = _fed([replace(each, weight=0.1) for each in _batch(0.25, 0.75, 0.80)]).interval(0.95)
    assert light.estimate == pytest.approx(-0.05)


def test_what_counts_less_is_bet_on_less() -> None:
    """A hundred conversations of a hundredth of the weight are far from the evidence of a hundred whole ones."""
    whole = _batch(0.25, 0.60, 0.80)
    light = [replace(each, weight=0.01) for each in whole]
    assert _fed(light).processes[0].log_evidence < 0.1 * _fed(whole).processes[0].log_evidence


def test_the_order_within_a_batch_makes_no_difference() -> None:
    """Nor whether equal conversations are counted or listed."""
    batch = _batch(0.25, 0.75, 0.80, count=400)
    listed = [replace(each, count=1) for each in reversed(batch) for _ in range(each.count)]
    one, other = _fed(batch), _fed(listed)
    for process, same in zip(one.processes, other.processes, strict=True):
        assert process.log_capitals == pytest.approx(same.log_capitals)
    assert one.interval(0.9).upper == pytest.approx(other.interval(0.9).upper)
    assert one.centres["math"].count == other.centres["math"].count == 400


def test_harm_and_harmlessness_are_shown() -> None:
    """Each by its own claim, and neither where little was seen."""
    worse, equal, few = (_fed(*[batch] * 4) for batch in (
        _batch(0.25, 0.70, 0.80), _batch(0.25, 0.80, 0.80), _batch(0.25, 0.70, 0.80, count=40)
    ))  # fmt: skip
    assert [worse.shown(number, 0.05) for number in range(2)] == [True, False]
    assert [equal.shown(number, 0.05) for number in range(2)] == [False, True]
    assert [few.shown(number, 0.05) for number in range(2)] == [False, False]


def test_what_both_answer_alike_differs_by_nothing() -> None:
    """Whatever came of it: it says that there is no harm, as surely as it is counted, and is in no group."""
    alike = [replace(each, is_same=True) for each in _batch(0.25, 0.1, 0.9)]
    found = _fed(alike, alike)
    assert found.interval(0.9).estimate == 0.0
    assert [found.shown(number, 0.05) for number in range(2)] == [False, True]
    assert (found.count, found.new.count, found.old.count) == (20_000, 0, 0)
    assert found.centres == {}


def test_a_ratio_is_of_the_means() -> None:
    """1.2 times the old mean is no difference at a ratio of 1.2."""
    assert _fed(_batch(0.25, 0.6, 0.5), ratio=1.2).interval(0.9).estimate == pytest.approx(0.0, abs=1e-12)
    assert _fed(_batch(0.05, 0.9, 0.5), ratio=1.2).interval(0.9).estimate == pytest.approx(0.3)


def test_no_conversation_can_ruin_a_bet() -> None:
    """At any share and any centre, one cell after another, the worst that can come leaves a tenth of each bet."""
    random = np.random.default_rng(1)
    for ratio in (1.0, 1.2, 3.0):
        found = contrast(CLAIMS, ratio=ratio)
        for _ in range(200):
            share = float(random.choice([0.001, 0.01, 0.25, 0.5, 0.9]))
            batch = [
                Tally(
                    str(random.integers(5)),
                    share,
                    bool(random.random() < 0.5),
                    float(random.integers(2)),
                    float(weight),
                )
                for weight in random.uniform(0.01, 1, 5)
            ]
            before, found = found, found.extended(batch)
            for process, now in zip(before.processes, found.processes, strict=True):
                lost = np.subtract(process.log_capitals, now.log_capitals)
                assert lost.max() <= len(batch) * math.log(10) + 1e-6


def test_nothing_is_known_before_the_first_conversation() -> None:
    """And an empty batch adds nothing."""
    fresh = contrast(CLAIMS)
    assert fresh.extended([]) is fresh
    assert fresh.interval(0.9).upper == math.inf
    assert (fresh.new.mean, fresh.count, fresh.shown(0, 0.99)) == (None, 0, False)


def test_better_guesses_make_scores_vary_less() -> None:
    """Of cells that differ much each has its own: the interval is narrower than with one guess for both."""
    split = [*_batch(0.25, 0.95, 0.95, cell="easy"), *_batch(0.25, 0.2, 0.2, cell="hard")]
    joint = [replace(each, cell="any") for each in split]
    widths = [
        interval.upper - interval.lower for interval in (_fed(*[each] * 9).interval(0.9) for each in (split, joint))
    ]
    assert widths[0] < 0.8 * widths[1]
