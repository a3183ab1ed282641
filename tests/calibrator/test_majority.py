"""Which answer a majority gives, how many are still to be asked for, and who agrees with it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from calibrator.majority import LONGEST, Majority, agrees, final_answer, majority


@pytest.mark.parametrize(
    ("answers", "draws", "found"),
    [
        ([], 5, Majority(None, 3)),
        (["4"], 5, Majority(None, 2)),
        (["4", "4", "4"], 5, Majority("4", 0)),
        (["1/2", "0.5", "\\frac{1}{2}"], 5, Majority("1/2", 0)),
        (["4", "4", "5"], 5, Majority(None, 2)),
        (["4", "5", None], 5, Majority(None, 2)),
        (["4", "5", None, "4", "4"], 5, Majority("4", 0)),
        (["4", "5", "4", "5", "6"], 5, Majority(None, 0)),
        (["4", "5", "6", "7"], 5, Majority(None, 0)),
        ([None, None, None], 5, Majority(None, 0)),
        (["4", "4", "5", "5"], 4, Majority(None, 0)),
        (["4", "4", "4"], 4, Majority("4", 0)),
        (["4", "5", "4"], 3, Majority("4", 0)),
    ],
)
def test_more_than_half_of_all_draws_decide(answers: list[str | None], draws: int, found: Majority) -> None:
    """First as many are asked for as decide, then all others at once, and none that could change nothing."""
    assert majority(answers, draws) == found


@given(st.lists(st.sampled_from(["1", "2", "3", None]), min_size=31, max_size=31), st.integers(3, 31))
def test_stopping_early_changes_no_majority(answers: list[str | None], draws: int) -> None:
    """Asked for step by step the majority is that of all draws together."""
    drawn: list[str | None] = []
    while not (found := majority(drawn, draws)).is_settled:
        assert len(drawn) + found.missing <= draws
        drawn = answers[: len(drawn) + found.missing]
    whole = answers[:draws]
    decided = [each for each in ("1", "2", "3") if 2 * whole.count(each) > draws]
    assert found.answer == (decided[0] if decided else None)


def test_agreement_is_of_meaning() -> None:
    """The words around an answer, and its form, make no difference; a text without an answer agrees with nothing."""
    assert agrees("So it is clear.\n\n**Answer: 0.25**", "1/4")
    assert not agrees("Answer: 0.26", "1/4")
    assert not agrees("I would rather not say, as there is a lot to be considered here first.", "1/4")
    assert not agrees("", "1/4")


def test_a_long_answer_is_none_that_others_repeat() -> None:
    """What is as long as a document has no majority to find."""
    assert final_answer("Answer: 12") == "12"
    assert final_answer("[" + ", ".join(["1"] * LONGEST) + "]") is None
