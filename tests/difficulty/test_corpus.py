"""Tests of gateway/difficulty/corpus.py."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from gateway.difficulty.corpus import is_held_out, read_corpus, read_labelled
from gateway.difficulty.report import HELD_OUT_PROMPTS
from gateway.domain.prediction import Category
from gateway.errors import ConfigurationError
from tests.difficulty.recorded import write_recorded

_LABELLED = Path(__file__).parents[2] / "calibrator" / "labelled"


def test_every_source_is_read(tmp_path: Path) -> None:
    """Prompts come with labels, cells and the answers of the two anchors."""
    items = read_corpus(write_recorded(tmp_path / "data")).items
    by_text = {item.text: item for item in items}
    sums = by_text["Compute 2 + 14."]
    assert (sums.labels, sums.cell, sums.weak, sums.strong) == (("math",), "reasoning/sums/hard", 0.0, 1.0)
    riddle = by_text["If A lies and B says 1, who tells the truth?"]
    assert (riddle.labels, riddle.group) == (("logic", "constraint"), "logic")
    asked = by_text["What happened in the year 1500?"]
    assert (asked.weak, asked.strong) == (1.0, 1.0)
    assert asked.with_options == "What happened in the year 1500?\nA. War\nB. Peace"
    assert by_text["Tom has 1 pens and buys 4. How many are there?"].weak == 0.0
    assert by_text["A poem"].labels == ("creative", "rewriting")
    assert {item.source for item in items} == {
        "reasoning", "knowledge", "grade_school", "math", "real_user", "chat_two_turn",
    }  # fmt: skip


def test_the_digests_are_those_of_the_files(tmp_path: Path) -> None:
    """Every file that was read is named with its SHA-256."""
    folder = write_recorded(tmp_path / "data")
    digests = read_corpus(folder).digests
    assert len(digests) == 9
    for name, digest in digests.items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """A folder without one of the files is refused by the file's name."""
    folder = write_recorded(tmp_path / "data")
    (folder / "prompts" / "math.jsonl.gz").unlink()
    with pytest.raises(ConfigurationError, match=r"math\.jsonl\.gz cannot be read"):
        read_corpus(folder)


def test_the_split_goes_by_what_is_said() -> None:
    """Equal letters and digits fall on the same side, and about a quarter of prompts is held out."""
    assert all(is_held_out(f"Prompt {n}!") == is_held_out(f"prompt  {n}") for n in range(50))
    assert 200 < sum(is_held_out(f"prompt number {n}") for n in range(1_000)) < 300


def test_the_labelled_prompts_cover_every_category_and_language() -> None:
    """Both parts hold all twelve categories in all twelve languages."""
    for paths in (sorted(_LABELLED.glob("*.jsonl")), [HELD_OUT_PROMPTS]):
        items = [item for path in paths for item in read_labelled(path, is_held_out=True)]
        covered = {(item.language, item.labels[0]) for item in items}
        languages = {"en", "de", "fr", "es", "pt", "tr", "ru", "ar", "hi", "zh", "ja", "ko"}
        assert covered == {(language, category.value) for language in languages for category in Category}


def test_no_labelled_prompt_is_on_both_sides() -> None:
    """What is held out was never trained on."""
    taught = {
        json.loads(line)["prompt"]
        for path in _LABELLED.glob("*.jsonl")
        for line in path.read_text("utf-8").splitlines()
    }
    held = {json.loads(line)["prompt"] for line in HELD_OUT_PROMPTS.read_text("utf-8").splitlines()}
    assert len(taught) > 800
    assert len(held) > 280
    assert not taught & held
