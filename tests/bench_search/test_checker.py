"""The verifier that needs no training: how likely the least likely step so far is."""

from __future__ import annotations

import math

import pytest

from tests.bench_search.checker import likelihoods


def _logprobs(text: str, unlikely: str) -> list[float]:
    """Every letter for certain, but for those that are named: each at one half."""
    return [math.log(0.5) if letter in unlikely else 0.0 for letter in text]


def test_a_chain_is_as_likely_as_its_least_likely_step_so_far() -> None:
    """Two unlikely letters in one step, one in another."""
    text = "Q:1 +11\nab\nac\nx"
    assert likelihoods(text, _logprobs(text, "bc")) == pytest.approx([0.5, 0.5, 0.5])
    assert likelihoods(text, _logprobs(text, "ac")) == pytest.approx([0.5, 0.25, 0.25])


def test_the_question_does_not_count() -> None:
    """However unlikely it is; and without a step there is nothing to judge."""
    assert likelihoods("Q:1 +11\n", _logprobs("Q:1 +11\n", "Q1")) == []
    assert likelihoods("Q:1 +11\nok", _logprobs("Q:1 +11\nok", "Q1")) == [1]


def test_what_ends_a_step_does_not_count() -> None:
    """The answer's line ends where the text does, and a verifier may put an end there."""
    text = "Q:1 +11\nok\nA:9\n"
    assert likelihoods(text, _logprobs(text, "9\n")) == pytest.approx([1, 0.5])
