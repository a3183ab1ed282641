"""Tests of calibrator/training_report.py."""

from __future__ import annotations

from pathlib import Path

from calibrator.training_report import render
from gateway.difficulty.classifier import SHIPPED, Learned
from gateway.difficulty.corpus import read_corpus
from gateway.difficulty.report import HEADLINE, report
from tests.difficulty.recorded import write_recorded


def test_the_report_names_its_data_and_its_figures(tmp_path: Path) -> None:
    """Every digest, source and figure that was measured stands in it, as tables that are whole."""
    folder = write_recorded(tmp_path / "data", each=40)
    corpus = read_corpus(folder)
    measured = report(Learned.load(), folder)
    text = render(measured, {"seed": 7, "sha256": corpus.digests}, corpus.items)
    assert "Seed 7." in text
    assert all(digest in text for digest in corpus.digests.values())
    assert f"| grade_school | {sum(item.source == 'grade_school' for item in corpus.items)} |" in text
    assert f"{measured.categorising.macro_f1_all:.3f}" in text
    assert all(f"**{routing.figures()[HEADLINE]}**" in text for routing in measured.routing)
    assert all(f"| {name} |" in text for routing in measured.routing for name in routing.figures() if name != HEADLINE)
    tables = [block for block in text.split("\n\n") if block.startswith("|")]
    assert all(len({row.count("|") for row in table.strip().splitlines()}) == 1 for table in tables)


def test_the_shipped_report_belongs_to_the_shipped_weights() -> None:
    """The report beside the weights names the files that they were trained on."""
    text = SHIPPED.with_name("training_report.md").read_text("utf-8")
    assert all(digest in text for digest in Learned.load().weights.made["sha256"].values())
