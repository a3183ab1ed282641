"""What the stages share: how much is measured, what is kept, and cells that are measured only once."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Final

from tests.bench_search import arms
from tests.bench_search.asking import AT_ONCE, Cell, ask_all
from tests.bench_search.attempts import Attempt, Kept
from tests.bench_search.bed import Bed
from tests.bench_search.figures import mean_totals
from tests.reasoner.tasks import Problem, Split, fresh

SEED: Final = 2026
OPERATIONS: Final = (2, 4, 6, 8)
"""The difficulties of the table: operations of a problem."""
WARM_UP: Final = 16
_OK: Final = 200


@dataclass(frozen=True, slots=True)
class Run:
    """One run of the benchmark."""

    bed: Bed
    kept: Kept
    problems: int
    """Fresh problems of each cell of the table."""
    tuning: int
    """Problems of each difficulty on the validation split."""
    arms: Sequence[str] = ()
    """The rows of the table that are measured; all, if none is named."""
    operations: Sequence[int] = OPERATIONS
    """The difficulties of the table that are measured."""

    def measure(
        self, arm: str, split: Split, operations: int, count: int, *, model: str = "", setting: str = "",
        hints: Mapping[Problem, Mapping[str, str]] | None = None,
    ) -> list[Attempt]:  # fmt: skip
        """The attempts of an arm at so many problems; those that an earlier run has made are not made again."""
        setting = setting or arms.setting(arm, self.bed.weights)
        chosen = problems(split, operations, count)
        missing = [each for each in chosen if (setting, arm, each.question) not in self.kept.attempts]
        if missing:
            started = time.monotonic()
            cell = Cell(setting, arm, split, operations)
            key = self.bed.new_key()
            made = ask_all(self.bed, cell, missing, key=key, model=model or f"arm:{arms.slug(arm)}", hints=hints)
            self.kept.add(made)
            say(_told(cell, made, time.monotonic() - started))
        return [self.kept.attempts[(setting, arm, each.question)] for each in chosen]


def problems(split: Split, operations: int, count: int) -> list[Problem]:
    """So many problems, always the same; more of them begin with the same ones."""
    return fresh(split, operations, count, SEED)


def say(line: str) -> None:
    """Tell how far the run is."""
    print(time.strftime("%H:%M:%S"), line, file=sys.stderr, flush=True)


def _told(cell: Cell, made: Sequence[Attempt], spent_s: float) -> str:
    tokens = mean_totals(made)
    failed = sum(each.status != _OK for each in made)
    return (
        f"{cell.arm}, {cell.operations} operations ({cell.split}): {fmean(each.is_right for each in made):.0%} of "
        f"{len(made)} right, {tokens.written:.0f} tokens written and {tokens.read:.0f} read each, "
        f"{spent_s:.0f} s, {AT_ONCE} at a time" + (f", {failed} FAILED" if failed else "")
    )
