"""Tests of gateway/difficulty/report.py."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from gateway.difficulty.classifier import Learned
from gateway.difficulty.corpus import ANCHORS, read_corpus
from gateway.difficulty.report import HELD_OUT_PROMPTS, Report, report
from tests.difficulty.recorded import write_recorded


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of recorded data."""
    return write_recorded(tmp_path_factory.mktemp("data") / "recorded", each=40)


@pytest.fixture(scope="module")
def measured(folder: Path) -> Report:
    """The shipped classifier on it, by a clock on which every prompt takes two milliseconds."""
    ticks = itertools.count()
    return report(Learned.load(), folder, clock=lambda: next(ticks) * 0.002)


def test_only_held_out_prompts_are_judged(folder: Path, measured: Report) -> None:
    """The recorded prompts that are held out, and the labelled ones that were never trained on, make up the report."""
    held = [item for item in read_corpus(folder).items if item.is_held_out]
    labelled = len(HELD_OUT_PROMPTS.read_text("utf-8").splitlines())
    assert measured.categorising.prompts == len(held) + labelled
    by_source = {each.source: each.prompts for each in measured.routing}
    assert by_source == {source: sum(item.source == source for item in held) for source in ANCHORS}


def test_the_shipped_classifier_meets_its_target_on_all_categories(measured: Report) -> None:
    """On the labelled prompts alone macro-F1 over twelve categories is at least 0.75, with true confidence."""
    assert measured.categorising.macro_f1_labelled >= 0.75
    assert measured.categorising.calibration_error <= 0.1
    assert len(measured.categorising.accuracy_by_language) == 12


def test_figures_stand_beside_their_controls(measured: Report) -> None:
    """Shuffling recovers half the gap; the oracle recovers more than any prediction."""
    for routing in measured.routing:
        assert routing.apgr_shuffled == pytest.approx(0.5, abs=0.1)
        assert routing.apgr_oracle >= max(routing.apgr, routing.apgr_category_mean, routing.apgr_cell_mean)
        assert routing.apgr_95[0] <= routing.apgr <= routing.apgr_95[1]
        assert routing.apgr_shuffled_95[0] <= routing.apgr_shuffled <= routing.apgr_shuffled_95[1]


def test_the_truth_of_a_cell_is_taken_from_prompts_trained_on(measured: Report) -> None:
    """Where a task's level decides who succeeds, knowing it recovers what the oracle does."""
    reasoning = measured.routing[0]
    assert reasoning.apgr_cell_mean == pytest.approx(reasoning.apgr_oracle)
    assert reasoning.apgr_category_mean < reasoning.apgr_cell_mean


def test_means_are_taken_from_what_was_trained_on(tmp_path: Path) -> None:
    """Where held-out tasks turn out the other way, knowing the cell misleads: controls have not seen them either."""
    folder = write_recorded(tmp_path / "recorded", each=40, is_reversed=True)
    reasoning = report(Learned.load(), folder).routing[0]
    assert reasoning.apgr_cell_mean < 0.5 < reasoning.apgr_oracle


def test_latency_is_what_the_clock_says(measured: Report) -> None:
    """Both quantiles come from the clock that was handed in."""
    assert measured.latency_ms_p50 == pytest.approx(2.0)
    assert measured.latency_ms_p99 == pytest.approx(2.0)


def test_other_data_is_told_apart(measured: Report) -> None:
    """Data that the weights were not trained on is named as such."""
    assert not measured.is_same_data
