"""Alarms on what a profile was certified on: raised by a change, and rarely without one."""

from __future__ import annotations

import numpy as np

from calibrator.drift_watch import FEWEST, Scored, falls, shift
from tests.validity.counting import most_misses


def _scored(accuracies: list[float], *, each: int = 1_500, source: str = "user", seed: int = 1) -> list[Scored]:
    """As many scores for each of these accuracies, one accuracy after the other."""
    random = np.random.default_rng(seed)
    return [
        Scored(source, "math", "fast", float(random.random() < accuracy))
        for accuracy in accuracies
        for _ in range(each)
    ]


def test_a_fall_is_noticed_and_named() -> None:
    """By the arm and category it is of, with the rates before and now."""
    (said, whole) = falls(_scored([0.8, 0.6]))
    assert said.startswith("fast does worse on math than it did, ")
    assert said.endswith(" now, by user")
    assert whole.startswith("answers as a whole are worse than they were, ")


def test_what_is_steady_or_better_raises_nothing() -> None:
    """Nor does a source that judges more strictly than another."""
    assert falls(_scored([0.8, 0.8])) == []
    assert falls(_scored([0.6, 0.8])) == []
    assert falls([*_scored([0.9]), *_scored([0.5], source="tests")]) == []
    assert falls([]) == []


def test_a_fall_of_one_arm_is_seen_among_others() -> None:
    """Where the whole moves too little to tell."""
    others = [Scored("user", "code", "think", float(value)) for value in np.random.default_rng(2).random(6_000) < 0.8]
    mine = _scored([0.8, 0.5], each=600)
    (said,) = [each for each in falls([*others[:5_000], *mine, *others[5_000:]]) if "math" in each]
    assert said.startswith("fast does worse on math")


def test_steady_outcomes_rarely_raise_an_alarm() -> None:
    """Fewer than one stream in fifty seems to fall within 20,000 scores, also where a coin decides."""
    raised = sum(bool(falls(_scored([0.5], each=20_000, seed=seed))) for seed in range(60))
    assert raised <= most_misses(60, 1 / 50)


def test_another_mix_of_categories_is_noticed() -> None:
    """With what became more or less of it; a small shift, or few requests, raise nothing."""
    before = {"math": 6_000, "code": 3_000, "logic": 1_000}
    said = shift(before, {"math": 2_000, "code": 3_000, "logic": 5_000})
    assert said is not None
    assert "is 40% " in said
    assert shift(before, {"math": 5_500, "code": 3_300, "logic": 1_200}) is None
    assert shift(before, {"math": 10, "code": 10, "logic": FEWEST - 21}) is None
    assert shift({"math": 500}, {"math": 900}) is None
    added = shift(before, {"math": 6_000, "code": 3_000, "logic": 1_000, "chat": 10_000})
    assert added is not None
    assert "chat is 50% more of the traffic" in added
