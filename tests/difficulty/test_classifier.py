"""Tests of gateway/difficulty/classifier.py, with the weights that ship."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.difficulty.classifier import Learned
from gateway.difficulty.report import HELD_OUT_PROMPTS
from gateway.domain.prediction import Anchor, Category, Prompt, Source

LEARNED = Learned.load()
_HELD_OUT = [json.loads(line) for line in HELD_OUT_PROMPTS.read_text("utf-8").splitlines()]
_LANGUAGES = sorted({row["language"] for row in _HELD_OUT})


def _category(text: str) -> str:
    return LEARNED.classify(Prompt(text)).category


@pytest.mark.parametrize(
    ("text", "category"),
    [
        ("What is 17 * 23?", "math"),
        ("Write a Python function that reverses a linked list.", "code"),
        ("All cats are animals. Tom is a cat. Does it follow that Tom is an animal?", "logic"),
        ("Plan a five-day trip to Rome with two children.", "planning"),
        ("Solve this Sudoku:\n5 3 _ _ 7 _ _ _ _\n6 _ _ 1 9 5 _ _ _\n_ 9 8 _ _ _ _ 6 _", "constraint"),
        ("Who was the first emperor of Rome?", "knowledge"),
        ("Extract all dates and names from the text as JSON: On 3 May Ann met Bob.", "extraction"),
        ("Summarize the following article in two sentences: The council closed the bridge.", "summarization"),
        ("Rewrite this sentence in a more polite tone: Send me the file now.", "rewriting"),
        ("Write a short poem about a lonely robot.", "creative"),
        ("Hey, how are you doing today?", "chat"),
        ("Turn off the lights in the kitchen.", "other"),
    ],
)
def test_plain_asks_are_recognised(text: str, category: str) -> None:
    """A plain ask of each category is told by its name, and the learned classifier signs it."""
    prediction = LEARNED.classify(Prompt(text))
    assert prediction.category == category
    assert prediction.source is Source.LEARNED
    assert 0 < prediction.confidence <= 1


@pytest.mark.parametrize("language", _LANGUAGES)
def test_no_language_is_other_for_its_own_sake(language: str) -> None:
    """In each of twelve languages most held-out prompts get their category, and few are taken for other."""
    rows = [row for row in _HELD_OUT if row["language"] == language]
    found = [_category(row["prompt"]) for row in rows]
    right = sum(row["category"] == category for row, category in zip(rows, found, strict=True))
    lost = sum(row["category"] != "other" == category for row, category in zip(rows, found, strict=True))
    assert right >= 0.6 * len(rows)
    assert lost <= 0.2 * len(rows)


@pytest.mark.parametrize("text", ["", " \n\t "])
def test_nothing_asked_is_other(text: str) -> None:
    """A prompt that says nothing is other, and not a sure one."""
    prediction = LEARNED.classify(Prompt(text))
    assert (prediction.category, prediction.confidence, dict(prediction.success)) == (Category.OTHER, 0.0, {})


@pytest.mark.parametrize(
    "text",
    [
        "qpwoei zmxnc alskdj fhgty",
        "9f8e7d6c5b4a39281706f5e4d3c2b1a0",
        "dGhpcyBpcyBub3QgYSBwcm9tcHQgYXQgYWxsLCBvbmx5IGJ5dGVz",
        "xkcd vvvv zzzz qqqq jjjj wwww",
    ],
)
def test_what_is_far_from_everything_is_other_with_low_confidence(text: str) -> None:
    """Text that asks for nothing known is other, unsure, without a predicted success."""
    prediction = LEARNED.classify(Prompt(text))
    assert prediction.category == Category.OTHER
    assert prediction.confidence < 0.5
    assert not prediction.success


def test_success_is_predicted_where_answers_are_on_record() -> None:
    """A sum has a predicted success by both anchors; a poem, whose answers nobody graded, has none."""
    assert set(LEARNED.classify(Prompt("Calculate 12 + 7 - 3.")).success) == set(Anchor)
    assert not LEARNED.classify(Prompt("Write a short poem about a lonely robot.")).success


def test_harder_work_has_less_success() -> None:
    """Long multiplication is harder for the weak than a short sum, and the strong one does better at it."""
    easy = LEARNED.classify(
        Prompt("State the final answer to the following arithmetic problem: 6 - 8 - 7 - 9 =")
    ).success
    hard = LEARNED.classify(
        Prompt("Solve the following multiplication: 35000295 * 56168771 * 83010993 * 93186751. Give only the result.")
    ).success
    assert easy[Anchor.WEAK] > 0.8
    assert hard[Anchor.WEAK] < 0.4


def test_the_same_prompt_has_the_same_prediction_in_every_thread() -> None:
    """Predictions do not depend on what came before or on who asks at the same time."""
    prompts = [Prompt(row["prompt"]) for row in _HELD_OUT[:60]]
    alone = [LEARNED.classify(prompt) for prompt in prompts]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(LEARNED.classify, prompts * 4))
    assert together == alone * 4
    assert [Learned.load().classify(prompt) for prompt in reversed(prompts)] == alone[::-1]


@given(st.text(max_size=400))
def test_any_text_is_classified(text: str) -> None:
    """Whatever is written, there is a known category and probabilities are probabilities."""
    prediction = LEARNED.classify(Prompt(text))
    assert prediction.category in {category.value for category in Category}
    assert 0 <= prediction.confidence <= 1
    assert all(0 <= chance <= 1 for chance in prediction.success.values())
