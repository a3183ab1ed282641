"""Levels of effort, tokens of thinking, and the way between them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.effort import LEVELS, OFF, at_most, level_of, nearest, tokens_of

TAKEN = st.sets(st.sampled_from(LEVELS))


def test_levels_stand_for_the_tokens_that_google_publishes() -> None:
    """Low, medium and high are the numbers of Google's OpenAI-compatible API; max has none."""
    assert [tokens_of(level) for level in LEVELS] == [0, 512, 1024, 8192, 24_576, 32_768, None]


@pytest.mark.parametrize(
    ("tokens", "level"),
    [(0, "none"), (1, "minimal"), (1023, "minimal"), (1024, "low"), (8191, "low"), (8192, "medium"), (10**6, "xhigh")],
)
def test_a_number_is_a_ceiling_for_the_level_too(tokens: int, level: str) -> None:
    """A number becomes the highest level that stands for no more than it."""
    assert level_of(tokens) == level


@pytest.mark.parametrize(
    ("asked", "taken", "sent"),
    [
        ("medium", ("low", "medium", "high"), "medium"),
        ("max", ("low", "medium", "high"), "high"),
        ("minimal", ("none", "low", "high"), "low"),
        ("medium", ("low", "high", "max"), "high"),
        ("xhigh", ("low", "high", "max"), "max"),
        ("low", ("none", "high"), "high"),
        ("none", ("low", "high"), None),
        ("low", ("none",), None),
    ],
)
def test_the_nearest_level_is_sent_and_the_higher_of_two(asked: str, taken: tuple[str, ...], sent: str | None) -> None:
    """Of two levels equally near the higher is taken, and none never stands for thinking."""
    assert nearest(asked, taken) == sent


@given(st.sampled_from(LEVELS), TAKEN)
def test_a_level_that_is_taken_is_never_changed(level: str, taken: set[str]) -> None:
    """What the model takes is sent as it is, and what is sent is always something that the model takes."""
    for choose in (nearest, at_most):
        sent = choose(level, taken)
        assert sent == level if level in taken else sent is None or sent in taken - {OFF}


@given(st.integers(1, 200_000), TAKEN)
def test_at_most_exceeds_the_ceiling_only_where_there_is_nothing_below(tokens: int, taken: set[str]) -> None:
    """A level chosen for a number lies above it only if every level of the model does."""
    level = level_of(tokens)
    sent = at_most(level, taken)
    if sent is not None and LEVELS.index(sent) > LEVELS.index(level):
        assert all(LEVELS.index(each) >= LEVELS.index(sent) for each in taken - {OFF})
