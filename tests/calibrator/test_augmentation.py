"""Tests of calibrator/augmentation.py."""

from __future__ import annotations

import random

from calibrator.augmentation import framed, lowered, nonsense, thinned, varied

_TEXT = "Solve this. It is a puzzle. Reply with a number only. Do not explain."


def test_a_frame_holds_the_prompt() -> None:
    """A framed prompt contains the whole prompt and something around it."""
    made = framed(_TEXT, random.Random(1))
    assert _TEXT in made
    assert len(made) > len(_TEXT)


def test_thinning_drops_whole_sentences() -> None:
    """What is left are sentences of the prompt, in order; a prompt of two sentences stays as it is."""
    made = {thinned(_TEXT, random.Random(seed)) for seed in range(30)}
    assert len(made) > 5
    sentences = _TEXT.replace(". ", ".|").split("|")
    for text in made:
        kept = [sentence for sentence in sentences if sentence in text]
        assert " ".join(kept) == text.strip()
    assert thinned("One. Two.", random.Random(1)) == "One. Two."


def test_lowering_keeps_the_words() -> None:
    """A lowered prompt has the same words without capitals and final punctuation."""
    assert lowered("What is Rome?", random.Random(1)) == "what is rome"


def test_the_seed_decides() -> None:
    """The same seed gives the same variations and the same nonsense."""
    once, again = (
        ([varied(_TEXT, random_) for _ in range(20)], nonsense(20, ["a", "b"], random_))
        for random_ in (random.Random(3), random.Random(3))
    )
    assert once == again
    assert len(set(once[1])) > 10
