"""Promise: the tests fail for what was changed, and never because they drew other examples."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.randomness import examples


def _drawn() -> list[str]:
    texts: list[str] = []

    @settings(derandomize=True, database=None, max_examples=300)
    @given(st.text())
    def collect(text: str) -> None:
        texts.append(text)

    collect()
    return texts


def test_examples_do_not_follow_the_source(tmp_path: Path) -> None:
    """A module with new literals, once loaded, gives no property other examples."""
    before = _drawn()
    literals = tmp_path / "literals.py"
    literals.write_text(f"WORDS = {[f'word{number}' for number in range(1000)]}\n", "utf-8")
    spec = importlib.util.spec_from_file_location("literals_of_an_edit", literals)
    assert spec is not None
    sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    try:
        assert _drawn() == before
    finally:
        del sys.modules[spec.name]


def test_both_profiles_scale_what_a_property_asks_for() -> None:
    """A property's own number of examples is a share of the profile's, so that `make fuzz` multiplies it."""
    share = settings.default.max_examples / 100
    assert (examples(30).max_examples, examples(400).max_examples) == (30 * share, 400 * share)
