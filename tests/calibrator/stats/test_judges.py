"""Tests of calibrator/stats/judges.py."""

from __future__ import annotations

import pytest

from calibrator.stats.judges import JudgeRecord, correct_for_judge

_GOOD = JudgeRecord(right=1_000, right_accepted=900, wrong=1_000, wrong_refused=800)


def test_the_share_is_set_right() -> None:
    """A judge that accepts 0.9 of right and 0.2 of wrong answers accepts 0.62 where 0.6 are right."""
    ours = correct_for_judge(6_200, 10_000, _GOOD, 0.9)
    assert ours.estimate == pytest.approx(0.6, abs=0.003)
    assert 0.5 < ours.lower < 0.6 < ours.upper < 0.7


def test_a_short_record_widens_the_interval() -> None:
    """The same judge, known from fewer answers, leaves a wider interval; so do fewer judged answers."""
    short = JudgeRecord(right=50, right_accepted=45, wrong=50, wrong_refused=40)
    width = _width(6_200, 10_000, _GOOD)
    assert _width(6_200, 10_000, short) > 2 * width
    assert _width(62, 100, _GOOD) > 2 * width


def test_a_perfect_judge_needs_little_correction() -> None:
    """With a long record without an error the share is nearly that accepted."""
    perfect = JudgeRecord(right=100_000, right_accepted=100_000, wrong=100_000, wrong_refused=100_000)
    assert correct_for_judge(700, 1_000, perfect, 0.9).estimate == pytest.approx(0.7, abs=1e-4)


def test_shares_stay_shares() -> None:
    """What the correction pushes below 0 or above 1 is held there."""
    assert correct_for_judge(50, 1_000, _GOOD, 0.9).estimate == 0
    assert correct_for_judge(990, 1_000, _GOOD, 0.9).estimate == 1
    assert correct_for_judge(990, 1_000, _GOOD, 0.9).upper == 1


def test_judges_that_guess_are_refused() -> None:
    """A judge hardly better than chance, and counts that cannot be, raise ValueError."""
    with pytest.raises(ValueError, match=r"at least 0\.4"):
        correct_for_judge(5, 10, JudgeRecord(right=100, right_accepted=70, wrong=100, wrong_refused=60), 0.9)
    with pytest.raises(ValueError, match="cannot have accepted"):
        correct_for_judge(11, 10, _GOOD, 0.9)
    with pytest.raises(ValueError, match="at most the right"):
        JudgeRecord(right=1, right_accepted=2, wrong=1, wrong_refused=0)


def _width(accepted: int, judged: int, record: JudgeRecord) -> float:
    ours = correct_for_judge(accepted, judged, record, 0.9)
    return ours.upper - ours.lower
