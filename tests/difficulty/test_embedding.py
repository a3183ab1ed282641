"""Tests of gateway/difficulty/embedding.py."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from gateway.difficulty.embedding import DIMENSIONS, StaticEmbedding
from gateway.errors import ConfigurationError


@pytest.fixture(scope="module")
def static() -> StaticEmbedding:
    """The embedding, loaded once."""
    return StaticEmbedding.load()


def test_related_texts_lie_near_each_other(static: StaticEmbedding) -> None:
    """A text lies nearer to another on its subject than to one on something else."""
    rain, storm, sort = (
        static.embed(text)[:DIMENSIONS]
        for text in ("Heavy rain and wind are expected", "A storm brings wind and rain", "Sort a list in Python")
    )
    assert rain @ storm > rain @ sort


def test_beginning_and_end_are_seen_apart(static: StaticEmbedding) -> None:
    """Of a long text, the part for its end lies nearer to its last word than the part for its beginning does."""
    _, first, last = static.embed("summarize" + " house" * 60 + " poem").reshape(3, DIMENSIONS)
    poem = static.embed("poem")[:DIMENSIONS]
    assert last @ poem > first @ poem + 0.02


def test_vectors_have_length_one(static: StaticEmbedding) -> None:
    """Each of the three vectors has length 1, however long the text."""
    for text in ("a", "word " * 5_000):
        lengths = np.linalg.norm(static.embed(text).reshape(3, DIMENSIONS), axis=1)
        assert lengths == pytest.approx(1.0, abs=1e-3)


def test_no_text_is_nowhere(static: StaticEmbedding) -> None:
    """An empty text gives zeros, and half a surrogate pair no error."""
    assert not static.embed("").any()
    assert np.isfinite(static.embed("x \ud83d")).all()


def test_the_package_is_not_imported(static: StaticEmbedding) -> None:
    """Its table is mapped from its file; the package, which would copy it, stays out of the process."""
    static.embed("something")
    assert "wordllama" not in sys.modules


def test_an_embedding_does_not_depend_on_what_was_met_before() -> None:
    """After so many words that all is forgotten in between, a text has the vectors that it had at first."""
    used, letters = StaticEmbedding.load(), "abcdefghijklmnopqrstuvwxyz"
    texts = ["Is 17 x 4 = 68?", "3 \u4e2d\u6587 1.500 caf\u00e9s " * 30]
    first = [used.embed(text) for text in texts]
    words = (f"{a}{b}{c}\u00ff{d}" for a in letters for b in letters for c in letters for d in "ao")
    for _ in range(30):
        used.embed(" ".join(islice(words, 1_000)))
    for text, vectors in zip(texts, first, strict=True):
        assert np.array_equal(used.embed(text), vectors)
        assert np.array_equal(StaticEmbedding.load().embed(text), vectors)


def test_a_number_is_its_digits(static: StaticEmbedding) -> None:
    """What stands around digits counts the same however they are cut: the order of two numbers changes no mean."""
    one, other = (static.embed(text)[:DIMENSIONS] for text in ("12: x, 345) y", "345: x, 12) y"))
    assert one == pytest.approx(other, abs=1e-6)
    assert one != pytest.approx(static.embed("12: x, 346) y")[:DIMENSIONS], abs=1e-6)


@pytest.mark.parametrize(("one", "other"), [("\u274c\u2705\n", "\u2705\n\u274c"), ("\u4e2d\u6587", "\u6587\u4e2d")])
def test_what_stands_alone_is_joined_to_nothing(static: StaticEmbedding, one: str, other: str) -> None:
    """Signs of a grid, ends of lines and Han count the same in any order, beside words as among themselves."""
    ours, theirs = (static.embed(f"state x{each}y 7")[:DIMENSIONS] for each in (one, other))
    assert ours == pytest.approx(theirs, abs=1e-6)


@pytest.fixture
def broken(tmp_path: Path) -> Iterator[Path]:
    """A folder first on the path whose ``wordllama`` has no table."""
    package = tmp_path / "wordllama"
    package.mkdir()
    (package / "__init__.py").write_text("")
    sys.path.insert(0, str(tmp_path))
    yield package
    sys.path.remove(str(tmp_path))


def test_a_missing_table_is_a_configuration_error(broken: Path) -> None:
    """A package without its files is refused with its name and what to do."""
    with pytest.raises(ConfigurationError, match="wordllama cannot be read"):
        StaticEmbedding.load()
