"""The page of the calibration benchmark."""

from __future__ import annotations

from pathlib import Path

from calibrator.choose import Target
from calibrator.comparison import resplit
from calibrator.tables.reading import read_table
from calibrator.trial import Question
from tests.bench_calibration.page import Measured, write
from tests.bench_calibration.scale import Scale, rows
from tests.calibrator.made import table

TABLE = table(300)


def _measured(loss: float) -> Measured:
    question = Question(TABLE, TABLE.arm("think-hard"), Target(loss, 0.9), 200, 0.0)
    return Measured("code", question, resplit(question, 3, 1), 1.0)


def test_the_page_holds_targets_baselines_and_charts(tmp_path: Path) -> None:
    """Missed targets are said to be missed, and each table has its chart."""
    write([_measured(0.02), _measured(0.03)], Scale(1_000_000, 61.0, 9.0, 300.0), tmp_path)
    text = (tmp_path / "calibration.md").read_text()
    assert "| choosing and reporting over 1,000,000 outcomes: time | ≤ 60 s | 61.0 s | **MISSED** |" in text
    assert "memory | ≤ 1 GB | 300 MB | met |" in text
    assert "always fast" in text
    assert "oracle" in text
    assert "![code](calibration-1.svg)" in text
    assert (tmp_path / "calibration-1.svg").read_text().startswith("<svg")


def test_the_large_table_is_one_that_can_be_read(tmp_path: Path) -> None:
    """What is made for scale has three arms in twelve cells."""
    file = tmp_path / "t.csv"
    file.write_text("".join(rows(600)))
    found = read_table([(None, file)])
    assert (len(found.items), len(found.arms), len(found.cells)) == (200, 3, 12)
