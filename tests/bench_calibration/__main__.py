"""The command ``python -m tests.bench_calibration``: calibrate recorded tables again and again, and write the page.

It takes an hour. With ``--kept FOLDER`` every part that is measured is kept there, and taken from there the next time:
so one can go on where another was killed, and with ``--part`` times can be measured when nothing else runs.
"""

from __future__ import annotations

import argparse
import os
import pickle
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from calibrator.choose import Scope, Target
from calibrator.comparison import resplit
from calibrator.tables.reading import read_table
from calibrator.tables.table import OutcomeTable
from calibrator.trial import PILOT_SHARE, Question
from tests.bench_calibration import replaying, temporal
from tests.bench_calibration.page import Findings, Measured, write
from tests.bench_calibration.replaying import Replays
from tests.bench_calibration.scale import measure_scale
from tests.bench_calibration.stored import Stored, fill_stored, measure_stored
from tests.bench_calibration.temporal import Fate

ROOT: Final = Path(__file__).parents[2]
CODE, KNOWLEDGE = "code_effort.csv.gz", "knowledge_tiers.csv.gz"
SECOND_RATIO: Final = {"o4-mini:low": 10.4, "o4-mini:medium": 17.7, "o4-mini:high": 29.1}
"""Declared prices of another model's three efforts, to be reported beside the table's own."""
_CONFIDENCE: Final = 0.9
_SEED: Final = 1
_EXPLORED: Final = 0.05
_REQUESTS: Final = 2_000


_PARTS: Final = ("choices", "replays", "fates", "scale", "filled", "stored")
_LARGE: Final = frozenset({"scale", "filled", "stored"})
_Part = TypeVar("_Part")


def main() -> int:
    """Measure everything, and write the page."""
    options = _options().parse_args()
    folder: Path = options.data / "outcomes"
    if not folder.is_dir():
        sys.stderr.write(f"there is no {folder}: name the folder of data by PONDER_DATA or --data\n")
        return 2
    runs: int = options.resplits
    wanted = options.part or [each for each in _PARTS if not (options.no_scale and each in _LARGE)]
    kept = _Kept(options.kept, frozenset(wanted))
    measured = kept.part("choices", lambda: [*_code(folder, runs), *_knowledge(folder, runs)])
    replays = kept.part("replays", lambda: _replays(folder, runs))
    fates = kept.part("fates", lambda: _later(folder, runs))
    scale = kept.part("scale", lambda: measure_scale(options.rows))
    stored = _stored(kept, options.rows)
    if measured is None:
        sys.stderr.write("no page is written without the part choices\n")
        return 0
    write(Findings(measured, scale, stored or (), replays or (), fates or ()), options.write)
    sys.stderr.write(f"written: {options.write / 'calibration.md'}\n")
    return 0


def _stored(kept: _Kept, size: int) -> list[Stored] | None:
    """Databases that are filled, which takes long and need not be quiet, and then the commands on them."""
    with tempfile.TemporaryDirectory(prefix="ponder-bench-") as name:
        folder = Path(name) if kept.folder is None else kept.folder / "databases"
        filled = kept.part("filled", lambda: fill_stored(size, folder))
        return None if filled is None else kept.part("stored", lambda: measure_stored(filled, folder))


@dataclass(frozen=True, slots=True)
class _Kept:
    """Parts that were measured, in a folder or nowhere, and those that may be measured now."""

    folder: Path | None
    wanted: frozenset[str]

    def part(self, name: str, measure: Callable[[], _Part]) -> _Part | None:
        """The part as it was kept, or measured; None where it was not, and is not wanted."""
        file = None if self.folder is None else self.folder / f"{name}.pickle"
        if file is not None and file.exists():
            found: _Part = pickle.loads(file.read_bytes())
            return found
        if name not in self.wanted:
            return None
        measured = measure()
        if file is not None:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(pickle.dumps(measured))
        return measured


def _options() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(prog="python -m tests.bench_calibration", description=__doc__)
    options.add_argument(
        "--data", type=Path, default=Path(os.environ.get("PONDER_DATA", ROOT.parent / "shared" / "data")),
        help="the folder that has outcomes/ (PONDER_DATA)",
    )  # fmt: skip
    options.add_argument("--resplits", type=int, default=300, help="of each question (300)")
    options.add_argument("--rows", type=int, default=1_000_000, help="outcomes of the table that is made for scale")
    options.add_argument("--no-scale", action="store_true", help="leave the large tables out")
    options.add_argument("--part", action="append", choices=_PARTS, help="measure this part alone; may be repeated")
    options.add_argument("--kept", type=Path, help="the folder where parts are kept, and taken from")
    options.add_argument("--write", type=Path, default=ROOT / "docs" / "results", help="where the page goes")
    return options


def _code(folder: Path, runs: int) -> list[Measured]:
    first = read_table([(None, folder / CODE)])
    second = first.with_costs(SECOND_RATIO)
    reference = first.arm("o4-mini:high")
    found = []
    for name, table in (("costs 0.041 : 0.150 : 0.406", first), ("costs 10.4 : 17.7 : 29.1", second)):
        for loss in (0.02, 0.03):
            found.append(_measure(f"code, {name}", _question(table, reference, loss, 400), runs))  # noqa: PERF401
    for loss in (0.02, 0.03):
        by_betting = _question(first, reference, loss, 400, is_graded=True)
        found.append(_measure("code, by betting", by_betting, runs))
        found.append(_measure("code, each cell", _question(first, reference, loss, 400, scope=Scope.CELL), runs))
    for loss, labels in ((0.01, 400), (0.01, 1_000), (0.02, 200), (0.03, 200)):
        found.append(_measure("code, other numbers of labels", _question(first, reference, loss, labels), runs))
    return found


def _later(folder: Path, runs: int) -> list[Fate]:
    table = read_table([(None, folder / CODE)])
    older, newer = temporal.halves(table)
    reference, found = table.arm("o4-mini:high"), []
    for loss in (0.02, 0.03, 0.05):
        say, question = _said(f"code, deployed later, {loss:g}", runs), _question(older, reference, loss, 400)
        deployed = []
        for number in range(1, runs + 1):
            deployed.append(temporal.deploy(question, newer, number))
            say(number)
        found += temporal.fates("code", loss, deployed)
    return found


def _knowledge(folder: Path, runs: int) -> list[Measured]:
    table = read_table([(None, folder / KNOWLEDGE)])
    reference = table.arm("gemini-1.5-pro-002")
    return [
        _measure("knowledge", _question(table, reference, loss, labels, pilot_share=PILOT_SHARE), runs)
        for loss, labels in ((0.005, 1_000), (0.005, 2_000), (0.02, 1_000))
    ]


def _replays(folder: Path, runs: int) -> list[Replays]:
    table = read_table([(None, folder / CODE)])
    found = [replaying.measure(table, contest, runs, _SEED) for contest in replaying.contests(_EXPLORED, _REQUESTS)]
    sys.stderr.write(f"replays: {len(found)} pairs of policies\n")
    return found


def _question(
    table: OutcomeTable, reference: int, loss: float, labels: int, *, scope: Scope = Scope.POLICY,
    pilot_share: float = 0.0, is_graded: bool = False,
) -> Question:  # fmt: skip
    target = Target(loss, _CONFIDENCE, scope)
    return Question(table, reference, target, labels, pilot_share, is_graded=is_graded)


def _measure(name: str, question: Question, runs: int) -> Measured:
    begun = time.process_time()
    found = resplit(question, runs, _SEED, _said(name, runs))
    return Measured(name, question, found, time.process_time() - begun)


def _said(name: str, runs: int) -> Callable[[int], None]:
    def say(number: int) -> None:
        if number % 50 == 0 or number == runs:
            sys.stderr.write(f"{name}: {number} of {runs}\n")

    return say


if __name__ == "__main__":
    sys.exit(main())
