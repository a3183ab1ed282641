"""Traces in the forms that TRL's dataset formats state."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from calibrator.export.rows import REWARD, Row, Thoughts, Wanted, grpo_rows, labelled_rows, prm_rows, sft_rows
from calibrator.export.trace import Trace, read_trace
from calibrator.prm.labels import Chain
from gateway.domain.chat import StopReason
from gateway.store.traces import StoredTrace
from tests.calibrator.export.kept import CHECK, asked, draw, kept, said, search

ANY = Wanted(None)


def _trace(stored: StoredTrace) -> Trace:
    trace = read_trace(stored)
    assert trace is not None
    return trace


def _only(rows: Iterator[Row]) -> dict[str, Any]:
    [row] = rows
    return dict(row)


def test_a_prompt_with_a_check_is_prompt_only_with_the_columns_of_its_reward() -> None:
    """Conversational; the check as text, so that every row has the same types."""
    row = _only(grpo_rows(_trace(kept(asked(check=CHECK), score=None)), ANY))
    assert row["prompt"] == [{"role": "user", "content": "2+3?"}]
    assert (json.loads(row["check"]), row["solution"], row["reward_function"]) == (CHECK, "5", REWARD)
    assert (row["category"], row["difficulty"]) == ("math", "easy")


def test_only_a_formula_is_a_solution() -> None:
    """TRL's accuracy_reward parses it; other truths are in the check alone. Of several answers the first stands."""
    exact = _only(grpo_rows(_trace(kept(asked(check={"kind": "exact", "answer": "five"}))), ANY))
    several = _only(grpo_rows(_trace(kept(asked(check={"kind": "math", "answer": [5, "10/2"]}))), ANY))
    assert (exact["solution"], several["solution"]) == (None, "5")


def test_prompts_without_a_check_or_below_the_score_are_left_out() -> None:
    """A score that nobody gave is below every one."""
    assert not list(grpo_rows(_trace(kept()), ANY))
    checked = asked(check=CHECK)
    assert not list(grpo_rows(_trace(kept(checked, score=0.4)), Wanted(0.5)))
    assert not list(grpo_rows(_trace(kept(checked, score=None)), Wanted(0.0)))
    assert list(grpo_rows(_trace(kept(checked, score=0.5)), Wanted(0.5)))


@pytest.mark.parametrize(
    ("thoughts", "message"),
    [
        (Thoughts.TAGS, {"role": "assistant", "content": "<think>\n2 and 3\n</think>\n\nIt is 5."}),
        (Thoughts.FIELD, {"role": "assistant", "content": "It is 5.", "thinking": "2 and 3"}),
        (Thoughts.NONE, {"role": "assistant", "content": "It is 5."}),
    ],
)
def test_a_verified_answer_is_prompt_and_completion(thoughts: Thoughts, message: dict[str, str]) -> None:
    """With its thinking where it is wanted."""
    trace = _trace(kept(answer=said("It is 5.", "2 and 3")))
    row = _only(sft_rows(trace, Wanted(1.0, thoughts=thoughts)))
    assert row["prompt"] == [{"role": "user", "content": "2+3?"}]
    assert row["completion"] == [message]


@pytest.mark.parametrize(
    "stored",
    [kept(score=None), kept(score=0.9), kept(answer=said("It", stop=StopReason.MAX_TOKENS)), kept(answer=said(" "))],
)
def test_what_is_not_verified_and_whole_is_no_example(stored: StoredTrace) -> None:
    """Unlabelled, doubtful, cut and empty answers."""
    assert not list(sft_rows(_trace(stored), Wanted(1.0)))


def test_scored_chains_of_a_search_are_stepwise() -> None:
    """A text, its steps without the marks between them, and a label for each; the prefix's steps come first."""
    stored = kept(
        asked(messages=[{"role": "system", "content": "Be brief."}, {"role": "user", "content": "2+3?"}]),
        search=search(draw(0, 0.9, 0.2), draw(1, 0.9, 0.8, parent=0, kept_steps=1)),
        draws={"0": "Two.\n\nSix.", "1": "Three.\n\n"},
    )
    row = _only(prm_rows(_trace(stored), ANY))
    assert row["prompt"] == "Be brief.\n\n2+3?"
    assert row["completions"] == ["Two.", "Three."]
    assert row["labels"] == [True, True]
    assert row["labelled_by"] == "prm"


def test_chains_without_a_score_for_each_step_are_left_out() -> None:
    """One score for a whole answer, a text that was not kept, and no search at all."""
    texts = {"0": "One.\n\nTwo."}
    assert not list(prm_rows(_trace(kept(search=search(draw(0, 0.9)), draws=texts)), ANY))
    assert not list(prm_rows(_trace(kept(search=search(draw(0, 0.9, 0.1)))), ANY))
    lost = search(draw(1, 0.9, 0.1, parent=0))
    assert not list(prm_rows(_trace(kept(search=lost, draws={"1": "Two."})), ANY))
    assert not list(prm_rows(_trace(kept()), ANY))


def test_conversations_of_several_turns_have_no_steps() -> None:
    """A trainer of steps takes one text."""
    turns = [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hi"},
        {"role": "user", "content": "?"},
    ]
    stored = kept(asked(messages=turns), search=search(draw(0, 0.9)), draws={"0": "One."})
    assert not list(prm_rows(_trace(stored), ANY))


def test_labels_of_rollouts_end_at_the_first_gap() -> None:
    """Values from a half on are right."""
    chain = Chain("p1", 0, "2+3?", ("One.\n\n", "Two.\n\n", "Three."), True, values=(0.5, 0.25, None))
    row = _only(labelled_rows(chain, ANY))
    assert (row["prompt"], row["completions"], row["labels"]) == ("2+3?", ["One.", "Two."], [True, False])
    assert _only(labelled_rows(chain, Wanted(None, right_from=0.2)))["labels"] == [True, True]
    assert not list(labelled_rows(Chain("p1", 0, "2+3?", ("One.",), None, values=(None,)), ANY))
    assert not list(labelled_rows(Chain("p1", 0, "", ("One.",), True, values=(1.0,)), ANY))
