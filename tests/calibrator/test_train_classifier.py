"""Tests of calibrator/train_classifier.py and calibrator/classifier_training.py, on data made up here."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from calibrator.classifier_training import fit
from calibrator.train_classifier import write
from gateway.difficulty.classifier import Learned
from gateway.difficulty.corpus import Item, read_corpus
from gateway.difficulty.embedding import StaticEmbedding
from gateway.difficulty.weights import Weights, read_weights
from gateway.domain.prediction import Anchor, Prompt
from tests.difficulty.recorded import write_recorded


@pytest.fixture(scope="module")
def items(tmp_path_factory: pytest.TempPathFactory) -> list[Item]:
    """The part of a small folder that is not held out, and two labelled prompts."""
    corpus = read_corpus(write_recorded(tmp_path_factory.mktemp("data") / "recorded"))
    written = [("chat", "Hello there, how are you?"), ("summarization", "Summarize this text: it rained.")]
    labelled = [Item("labelled", text, (category,), f"labelled/{category}", False) for category, text in written]
    return [item for item in corpus.items if not item.is_held_out] + labelled


@pytest.fixture(scope="module")
def weights(items: list[Item]) -> Weights:
    """Weights trained on them."""
    return fit(items, StaticEmbedding.load(), seed=5, made={"seed": 5})


def test_the_same_seed_gives_the_same_bytes(items: list[Item], weights: Weights, tmp_path: Path) -> None:
    """Training twice writes equal files; another seed writes another."""
    for name, seed in (("again", 5), ("other", 6)):
        write(fit(items, StaticEmbedding.load(), seed=seed, made={"seed": 5}), tmp_path / name)
    write(weights, tmp_path / "once")
    assert (tmp_path / "once").read_bytes() == (tmp_path / "again").read_bytes()
    assert (tmp_path / "once").read_bytes() != (tmp_path / "other").read_bytes()


def test_weights_that_are_written_classify(weights: Weights, tmp_path: Path) -> None:
    """What training writes, the gateway loads, and it has learned what the data says."""
    write(weights, tmp_path / "weights.npz")
    assert read_weights(tmp_path / "weights.npz").made == {"seed": 5}
    learned = Learned.load(tmp_path / "weights.npz")
    prediction = learned.classify(Prompt("Compute 4 + 28."))
    assert prediction.category == "math"
    assert prediction.success[Anchor.STRONG] > prediction.success[Anchor.WEAK]


def test_rates_shrink_towards_their_family(weights: Weights) -> None:
    """A cell that was always right is predicted less than 1, and one that was never right more than 0."""
    rates = dict(zip(weights.cells, weights.rates, strict=True))
    assert 0.5 < rates["reasoning/sums/easy"][0] < 1
    assert 0 < rates["reasoning/sums/hard"][0] < 0.5
    assert not rates["labelled/chat"].any()


def test_cells_without_answers_stand_in_no_family(weights: Weights) -> None:
    """Prompts whose answers nobody recorded are never given a success rate."""
    family = dict(zip(weights.cells, weights.family_of_cell, strict=True))
    assert family["labelled/chat"] == family["nothing"] == 0
    assert weights.families[family["knowledge/history"]] == "knowledge"
    assert np.isfinite(weights.experts).all()
