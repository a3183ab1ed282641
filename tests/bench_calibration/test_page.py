"""The page of the calibration benchmark."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from calibrator.choose import Target
from calibrator.comparison import resplit
from calibrator.guard import Action
from calibrator.tables.reading import read_table
from calibrator.trial import Question
from tests.bench_calibration.page import Findings, Measured, write
from tests.bench_calibration.replaying import Contest, Replays, contests
from tests.bench_calibration.scale import Scale, rows
from tests.bench_calibration.stored import Stored
from tests.bench_calibration.temporal import Fate, deploy, fates, halves
from tests.calibrator.made import table

TABLE = table(300)


def _measured(loss: float) -> Measured:
    question = Question(TABLE, TABLE.arm("think-hard"), Target(loss, 0.9), 200, 0.0)
    return Measured("code", question, resplit(question, 3, 1), 1.0)


def test_the_page_holds_targets_baselines_and_charts(tmp_path: Path) -> None:
    """Missed targets are said to be missed, and each table has its chart."""
    slow, quick = Scale(1_000_000, 61.0, 9.0, 300.0), Scale(1_000_000, 41.0, 9.0, 1_300.0)
    contest = Contest(("low", "low", "low"), ("low", "low", "medium"), 0.05, 2_000)
    replays = Replays(contest, 3, 0.8, 0.05, 0.03, -0.01, 0.9, 123.0, 0.25)
    measured = [_measured(0.02), _measured(0.03)]
    fate = Fate("code", "beyond 0.02", 0.02, 0.01, 0.05, {Action.WITHDRAW: 9, Action.PROMOTE: 1}, 9_000.0)
    write(Findings(measured, slow, [Stored("SQLite", slow, quick)], [replays], [fate]), tmp_path)
    text = (tmp_path / "calibration.md").read_text()
    assert "| choosing and reporting over 1,000,000 outcomes: time | ≤ 60 s | 61.0 s | **MISSED** |" in text
    assert "memory | ≤ 1 GB | 300 MB | met |" in text
    assert "| replaying from SQLite, 1,000,000: time | ≤ 60 s | 41.0 s | met |" in text
    assert "| replaying from SQLite: memory | ≤ 1 GB | 1300 MB | **MISSED** |" in text
    assert "| replay, largest error where the log can tell | ≤ 0.04 | 0.0300 | met |" in text
    assert "| low low low | low low medium | 5% | 2,000 | 0.800 | 123 |" in text
    assert (
        "| rules that lose more than the target on later items (10): promoted by the guard | 0 | 1 | **MISSED** |"
        in text
    )
    assert "| code | 0.02 | beyond 0.02 | 10 | +0.0100 | +0.0500 | 9 | 1 | 0 | 9,000 |" in text
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


def test_policies_are_replayed_that_exploration_reaches() -> None:
    """Each against itself and against those one step away."""
    found = [(each.logged, each.replayed) for each in contests(0.05, 2_000)]
    assert (("low", "low", "low"), ("medium", "medium", "medium")) in found
    assert (("low", "low", "low"), ("low", "low", "low")) in found
    assert (("low", "low", "low"), ("high", "high", "high")) not in found


def test_what_the_older_half_certified_is_deployed_on_the_newer() -> None:
    """A rule that loses nothing there is promoted, one that loses much is withdrawn, each counted by its loss."""
    observed = np.arange(len(TABLE.items), dtype=float)
    older, newer = halves(replace(TABLE, observed_at=observed))
    assert older.observed_at.max() < newer.observed_at.min()
    reference = TABLE.arm("think-hard")
    question = Question(older, reference, Target(0.05, 0.9), 100, 0.0)
    same = replace(newer, scores=np.repeat(newer.scores[:, [reference]], len(TABLE.arms), axis=1))
    worse = replace(same, scores=np.where(np.arange(len(TABLE.arms)) == reference, 1.0, same.scores * 0.0))
    deployed = [deploy(question, later, 1) for later in (same, worse)]
    assert [each.ended.action for each in deployed] == [Action.PROMOTE, Action.WITHDRAW]
    beyond, none = fates("code", 0.05, deployed)
    assert (beyond.is_beyond, none.is_beyond) == (True, False)
