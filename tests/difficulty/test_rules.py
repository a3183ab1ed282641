"""The classifier by rules: which marks fit, and that nothing else does."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256
from typing import Any

import pytest

from gateway.difficulty.rules import Label, label
from gateway.domain.ask import NO_HINTS, Hints
from gateway.domain.key import Key, Names
from gateway.domain.prediction import Difficulty, Prediction, Prompt, Source

KEY = Key("key_1", "search-app", team_id="team_1", team_name="search")
DIGEST = sha256(b"You translate.").hexdigest()
PROMPT = Prompt("Translate this", system_digest=DIGEST)
HINTS = Hints(category="tickets/urgent", tags={"app": "desk", "stage": "live"})
FITTING = [
    Label("code", keys=Names(("key_1",))),
    Label("code", keys=Names(("search-*",))),
    Label("code", teams=Names(("team_1",))),
    Label("code", teams=Names(("search",))),
    Label("code", tags={"app": frozenset({"desk", "web"})}),
    Label("code", tags={"app": frozenset({"desk"}), "stage": frozenset({"live"})}),
    Label("code", systems=frozenset({DIGEST, "0"})),
    Label("code", hints=Names(("tickets/*",))),
    Label("code", keys=Names(("key_1",)), hints=Names(("tickets/urgent",)), systems=frozenset({DIGEST})),
]


@pytest.mark.parametrize("fitting", FITTING)
def test_a_label_fits_by_its_marks(fitting: Label) -> None:
    """Who bears all marks of a label is what it says, as sure as can be."""
    found = label([fitting], KEY, HINTS, PROMPT)
    assert found == Prediction("code", 1.0, Source.RULES)


@pytest.mark.parametrize("fitting", FITTING)
def test_a_stranger_bears_no_marks(fitting: Label) -> None:
    """An ask of somebody else, without tags, hints and system prompt, fits none of them."""
    assert label([fitting], Key("key_2", "other"), NO_HINTS, Prompt("Translate this")) is None


@pytest.mark.parametrize(
    ("mark", "value"),
    [
        ("keys", Names(("nobody",))),
        ("teams", Names(("nobody",))),
        ("tags", {"app": frozenset({"desk"}), "other": frozenset({"x"})}),
        ("systems", frozenset({"0"})),
        ("hints", Names(("tickets",))),
    ],
)
def test_all_marks_must_fit(mark: str, value: Any) -> None:
    """One mark that does not fit is enough for the label not to."""
    whole = FITTING[-1]
    assert label([whole], KEY, HINTS, PROMPT) is not None
    assert label([replace(whole, **{mark: value})], KEY, HINTS, PROMPT) is None


def test_the_first_that_fits_speaks() -> None:
    """Of several labels the first one that fits counts, with its difficulty."""
    labels = [
        Label("math", keys=Names(("nobody",))),
        Label("code/sql", Difficulty.HARD, keys=Names(("key_1",))),
        Label("chat", keys=Names(("*",))),
    ]
    assert label(labels, KEY, HINTS, PROMPT) == Prediction("code/sql", 1.0, Source.RULES, difficulty=Difficulty.HARD)
    assert label([], KEY, HINTS, PROMPT) is None


def test_a_prompts_words_have_no_say() -> None:
    """Names, tags, hints and digests that stand in a prompt's text do not make it fit."""
    said = Prompt(f"key_1 search-app team_1 search app:desk stage:live {DIGEST} tickets/urgent You translate.")
    assert not [each for each in FITTING if label([each], Key("key_2", "other"), NO_HINTS, said)]
