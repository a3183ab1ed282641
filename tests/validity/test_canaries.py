"""Simulated validity of the guard: what it withdraws, what it promotes, and how often it is mistaken."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from calibrator.guard import HARM_PART, Action
from calibrator.guarding.contrast import Claim, Contrast, contrast
from calibrator.guarding.evidence import HARM, NO_WORSE, Labelled, begin_evidence
from calibrator.stats.betting import Side
from tests.validity.canaries import TERMS, Kind, ever_shown, run, tallies
from tests.validity.counting import most_misses

RUNS = 500
LOOKED_AT = 200
"""Runs of what is looked at to the end, whatever it shows."""
LOOKS = (*((0.01, 500),) * 20, *((0.05, 500),) * 20, *((0.25, 1_000),) * 80)
"""Looks at 100,000 requests in all, through all stages."""


def test_a_version_five_points_worse_is_withdrawn_before_all_have_it() -> None:
    """In 99 of 100 canaries at least, of 100,000 labelled requests each, and never beyond a quarter of the traffic."""
    random = np.random.default_rng(1)
    ended = [run(random, [Kind(1, 0.80, 0.75)]) for _ in range(RUNS)]
    withdrawn = [each for each in ended if each.action is Action.WITHDRAW]
    assert len(withdrawn) >= 0.99 * RUNS
    assert all(each.share < 1 for each in withdrawn)
    assert np.median([each.requests for each in withdrawn]) <= 15_000


@pytest.mark.parametrize("accuracy", [0.80, 0.82])
def test_a_version_that_is_no_worse_is_promoted(accuracy: float) -> None:
    """In 95 of 100 canaries at least, of 100,000 labelled requests each; the better it is, the sooner."""
    random = np.random.default_rng(2)
    ended = [run(random, [Kind(1, 0.80, accuracy)]) for _ in range(RUNS)]
    assert sum(each.action is Action.PROMOTE for each in ended) >= 0.95 * RUNS


def test_a_version_worse_by_just_the_margin_is_rarely_promoted() -> None:
    """In no more canaries than the risk allows, whatever else is decided on the way."""
    random = np.random.default_rng(3)
    ended = Counter(run(random, [Kind(1, 0.80, 0.78)]).action for _ in range(RUNS))
    assert ended[Action.PROMOTE] <= most_misses(RUNS, TERMS.risk)


def test_harm_is_rarely_seen_where_there_is_none() -> None:
    """Under continuous looking, through all stages and to the end, as often as its part of the risk allows at most."""
    random = np.random.default_rng(4)
    fresh = begin_evidence(TERMS).quality
    risk = TERMS.risk * HARM_PART
    kinds = [Kind(0.7, 0.8, 0.8), Kind(0.3, 0.97, 0.97)]
    shown = [ever_shown(random, fresh, kinds, risk, looks=LOOKS)[HARM] for _ in range(LOOKED_AT)]
    assert sum(shown) <= most_misses(LOOKED_AT, risk)


def test_no_worse_is_rarely_shown_of_what_is_worse_by_the_margin() -> None:
    """Also where nothing else would end the canary, and where only some of the asks are answered differently."""
    random = np.random.default_rng(5)
    fresh = begin_evidence(TERMS).quality
    for kinds in (
        [Kind(1, 0.8, 0.78)],
        [Kind(0.6, 0.9, 0.9, is_same=True), Kind(0.3, 0.7, 0.64), Kind(0.1, 0.5, 0.48)],
    ):
        shown = [ever_shown(random, fresh, kinds, TERMS.risk, looks=LOOKS)[NO_WORSE] for _ in range(LOOKED_AT // 2)]
        assert sum(shown) <= most_misses(LOOKED_AT // 2, TERMS.risk)


@pytest.mark.parametrize(("ratio", "null"), [(1.0, 0.02), (1.2, 0.0)])
def test_a_limit_that_is_just_kept_rarely_seems_broken(ratio: float, null: float) -> None:
    """Two points more errors, or 1.2 times the cost, to the end and looked at all the time."""
    random = np.random.default_rng(6)
    fresh = contrast((Claim(null, Side.LOWER),), ratio=ratio)
    kinds = [Kind(1, 0.1, ratio * 0.1 + null)]
    shown = [ever_shown(random, fresh, kinds, 0.05, looks=LOOKS)[0] for _ in range(LOOKED_AT)]
    assert sum(shown) <= most_misses(LOOKED_AT, 0.05)


def test_asks_answered_alike_help_to_show_that_a_version_is_no_worse() -> None:
    """The margin is of all the traffic: where a fifth of it differs, that may be worse by five times as much."""
    random = np.random.default_rng(7)
    ended = Counter(run(random, [Kind(0.8, 0.8, 0.8, is_same=True), Kind(0.2, 0.8, 0.8)]).action for _ in range(100))
    assert ended[Action.PROMOTE] >= 95
    ended = Counter(run(random, [Kind(0.8, 0.8, 0.8, is_same=True), Kind(0.2, 0.8, 0.55)]).action for _ in range(100))
    assert ended[Action.WITHDRAW] >= 99


def test_labels_with_known_probabilities_count_for_what_they_stand_for() -> None:
    """Where hard asks are judged ten times as often, an unweighted look sees harm that is none, and ours does not.

    The new version is ten points worse on hard asks and as much better on as many easy ones.
    """
    random = np.random.default_rng(8)
    kinds = (("easy", 0.1, 0.80, 0.90), ("hard", 1.0, 0.80, 0.70))
    weighted: list[Contrast] = []
    plain: list[Contrast] = []
    for number in range(80):
        evidence = begin_evidence(TERMS)
        for _ in range(30):
            evidence = evidence.with_labels(
                [
                    Labelled(
                        cell=cell,
                        share=0.25,
                        is_new=bool(is_new),
                        is_same=False,
                        score=float(random.random() < (new if is_new else old)),
                        weight=1.0,
                        probability=probability if number % 2 else 1.0,
                    )
                    for cell, probability, old, new in kinds
                    for is_new in random.random(int(200 * probability)) < 0.25
                ]
            )
        (weighted if number % 2 else plain).append(evidence.quality)
    assert sum(each.shown(HARM, 0.05) for each in weighted) <= most_misses(40, 0.05)
    assert all(each.interval(0.95).lower <= 0.0 for each in weighted)
    assert sum(each.shown(HARM, 0.05) for each in plain) >= 35


def test_the_interval_for_people_holds_at_every_look() -> None:
    """It leaves the true difference out, at any of two hundred looks through all stages, as rarely as it says."""
    random = np.random.default_rng(9)
    missed = 0
    for _ in range(200):
        found = begin_evidence(replace(TERMS, margin=0.05)).quality
        is_missed = False
        for share, count in LOOKS[::10]:
            found = found.extended(tallies(random, [Kind(1, 0.8, 0.77)], share, 10 * count))
            interval = found.interval(0.9)
            is_missed = is_missed or not interval.lower <= -0.03 <= interval.upper
        missed += is_missed
    assert missed <= most_misses(200, 0.1)
