"""Verifiers are held against what is known, arm by arm, and believed as far as that goes."""

from __future__ import annotations

import numpy as np
import pytest

from calibrator.judges import LEAST_KNOWN, JudgeBook, JudgeOnArm
from gateway.store.judgements import Judgement


def _book(*groups: tuple[int, float, float | None], arm: str = "fast") -> JudgeOnArm:
    """One verifier on one arm, from so many judgements of each score and truth."""
    book = JudgeBook()
    for count, score, truth in groups:
        book.add([Judgement("judge", arm, score, truth)] * count)
    (found,) = book.judges(0.9)
    return found


def test_a_record_is_counted_from_known_answers() -> None:
    """A yes begins at one half, truths that were split on tell nothing, and unknown answers are only judged."""
    found = _book((40, 0.5, 1.0), (10, 0.49, 0.9), (32, 0.0, 0.0), (8, 1.0, 0.2), (4, 1.0, 0.5), (100, 0.5, None))
    record = found.record
    assert (record.right, record.right_accepted, record.wrong, record.wrong_refused) == (50, 40, 40, 32)
    assert (found.judged, found.accepted) == (194, 152)
    assert (found.sensitivity.estimate, found.specificity.estimate) == (0.8, 0.8)
    assert found.refusal is None
    assert found.corrected is not None
    assert found.corrected.sample_size == 104


def test_success_is_set_right_by_the_judges_errors() -> None:
    """Of answers of which 0.7 are right a lenient judge accepts 0.79, and both estimates find the truth."""
    draw = np.random.default_rng(5)
    book = JudgeBook()
    for number in range(6_000):
        is_right = draw.random() < 0.7
        accepts = draw.random() < (0.95 if is_right else 0.42)
        truth = float(is_right) if number < 1_500 else None
        book.add([Judgement("judge", "think", float(accepts), truth)])
    (found,) = book.judges(0.95)
    assert found.accepted / found.judged > 0.76
    assert found.corrected is not None
    assert found.powered is not None
    for interval in (found.corrected, found.powered.interval):
        assert interval.lower < 0.7 < interval.upper < 0.76
    assert found.powered.labels_worth > 1_500


@pytest.mark.parametrize(
    ("groups", "why"),
    [
        (((LEAST_KNOWN, 1.0, 1.0), (LEAST_KNOWN - 1, 0.0, 0.0)), "30 right and 29 wrong answers are known, and 30"),
        (((60, 1.0, 1.0), (40, 1.0, 0.0), (20, 0.0, 0.0)), "it exceeds chance by 0.32, and at least 0.4 is needed"),
    ],
)
def test_a_judge_that_is_not_known_to_be_good_is_refused(
    groups: tuple[tuple[int, float, float], ...], why: str
) -> None:
    """With too few known answers of either kind, or too little skill, nothing is corrected by it."""
    found = _book(*groups, (200, 1.0, None))
    assert found.refusal is not None
    assert found.refusal.startswith(why)
    assert found.corrected is None


def test_arms_are_judged_apart() -> None:
    """A judge that knows one arm well is not believed on another for it."""
    book = JudgeBook()
    for arm, accepted in (("fast", 0.0), ("think", 1.0)):
        book.add([Judgement("judge", arm, 1.0, 1.0)] * 50 + [Judgement("judge", arm, accepted, 0.0)] * 50)
    book.add([Judgement("prm", "fast", 1.0, None)])
    found = book.judges(0.9)
    assert [(each.verifier, each.arm, each.refusal is None) for each in found] == [
        ("judge", "fast", True), ("judge", "think", False), ("prm", "fast", False),
    ]  # fmt: skip
    assert found[0].corrected is None  # all its verdicts were on known answers
    assert found[2].powered is None
