"""Tests of gateway/difficulty/cues.py."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.difficulty.cues import CUES, ZONES, count_cues


def _found(text: str, zone: str = "all") -> set[str]:
    counts = np.reshape(count_cues(text), (len(ZONES), len(CUES)))[ZONES.index(zone)]
    return {cue for cue, count in zip(CUES, counts, strict=True) if count}


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("en", "Summarize this"),
        ("de", "Fasse den Text zusammen"),
        ("fr", "Résume ce texte"),
        ("es", "Resume el texto"),
        ("pt", "Resuma o artigo"),
        ("tr", "Metni özetle"),
        ("ru", "Кратко изложи текст"),
        ("ar", "لخص النص"),
        ("hi", "लेख का सारांश दो"),
        ("zh", "总结这篇文章"),
        ("ja", "記事を要約して"),
        ("ko", "기사를 요약해 줘"),
    ],
)
def test_a_cue_is_the_same_in_twelve_languages(language: str, text: str) -> None:
    """Asking for a summary gives the same cue in every language."""
    assert "summarize" in _found(text), language


def test_a_cue_is_a_word_and_not_a_part_of_one() -> None:
    """A whole word counts only as a whole; a beginning counts with any ending."""
    assert "chat" not in _found("which machine")
    assert "summarize" in _found("summarising")


def test_cues_tell_where_they_stand() -> None:
    """An instruction before or behind a long text is seen in the first or the last words."""
    filling = "lorem " * 100
    assert "summarize" in _found("Summarize: " + filling, "first")
    assert "summarize" not in _found("Summarize: " + filling, "last")
    assert "summarize" in _found(filling + "Summarize!", "last")
    assert "summarize" not in _found(filling + "Summarize!", "first")


@given(
    st.lists(st.sampled_from(["Summarize", "it", "C", "3po", "x_plan", "(story)", "\t", "1.5", "\x00"])).map(" ".join)
)
def test_words_are_the_same_with_an_apostrophe_in_the_text(text: str) -> None:
    """Texts without apostrophes are parted in a quicker way, which finds the same words."""
    assert count_cues(text) == count_cues(text + " '")
