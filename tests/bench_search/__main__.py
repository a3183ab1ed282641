"""The command ``python -m tests.bench_search``: which stages to measure, how much, and where the result goes."""

from __future__ import annotations

import argparse
import json
import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from tests.bench_search import adaptive, arms, driver, peer
from tests.bench_search.attempts import Kept
from tests.bench_search.bed import laid
from tests.bench_search.report import write
from tests.bench_search.run import OPERATIONS, Run, say

ROOT: Final = Path(__file__).parents[2]
WEIGHTS: Final = ROOT / "tests" / "reasoner" / "weights"
STAGES: Final = ("table", "adaptive", "driver", "its_hub")


def main() -> int:
    """Measure the stages that were asked for; the page is written of all that has been measured, now or earlier."""
    options = _options().parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the servers end, too
    folder: Path = options.folder.resolve()  # the gateway runs in a folder of its own
    state = folder / "stages.json"
    with laid(options.weights, folder) as bed:
        say(f"up: {', '.join(bed.servers)}, the gateway")
        run = Run(
            bed,
            Kept.at(folder / "attempts.jsonl"),
            options.problems,
            options.tuning,
            options.arm or (),
            options.operations or OPERATIONS,
        )
        stages: dict[str, Any] = json.loads(state.read_text("utf-8")) if state.exists() else {}
        if stages.get("weights") != bed.weights:
            stages = {"weights": bed.weights}

        def keep(found: Mapping[str, Any]) -> None:
            stages.update(found)
            state.write_text(json.dumps(stages), "utf-8")

        for name in options.stage or STAGES:
            if name in _STAGES:
                _STAGES[name](run, stages, keep)
        if options.write:
            write(run, stages, options.write)
            say(f"written: {options.write / 'search.md'}")
    return 0


def _options() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(prog="python -m tests.bench_search", description=__doc__)
    options.add_argument(
        "--stage", action="append", choices=(*STAGES, "report"),
        help="measure this alone (may be repeated); with report nothing, and the page is written anew",
    )  # fmt: skip
    options.add_argument("--arm", action="append", choices=arms.TABLE, help="of the table this row (may be repeated)")
    options.add_argument(
        "--operations", action="append", type=int, choices=OPERATIONS, help="of the table this difficulty (the same)"
    )
    options.add_argument("--problems", type=int, default=300, help="fresh problems of each cell (300)")
    options.add_argument("--tuning", type=int, default=100, help="validation problems of each difficulty (100)")
    options.add_argument("--weights", type=Path, default=WEIGHTS, help="the folder of the models")
    options.add_argument(
        "--folder", type=Path, default=ROOT / "build" / "bench-search",
        help="where answers are kept: run again, nothing that is there is asked again",
    )  # fmt: skip
    options.add_argument("--write", type=Path, default=ROOT / "docs" / "results", help="where the page goes")
    return options


_Keep = Callable[[Mapping[str, Any]], None]


def _table(run: Run, _stages: Mapping[str, Any], keep: _Keep) -> None:
    for operations in run.operations:
        for arm in arms.names(arms.TABLE, has_large=run.bed.has_large):
            if not run.arms or arm in run.arms:
                run.measure(arm, "test", operations, run.problems)
    keep({"table": True})


def _adaptive(run: Run, _stages: Mapping[str, Any], keep: _Keep) -> None:
    keep({"adaptive": adaptive.measure(run)})


def _driver(run: Run, _stages: Mapping[str, Any], keep: _Keep) -> None:
    keep({"driver": driver.measure(run)})


def _peer(run: Run, stages: Mapping[str, Any], keep: _Keep) -> None:
    peer.measure(run, stages.get("its_hub", {}), lambda found: keep({"its_hub": found}))


_STAGES: Final[Mapping[str, Callable[[Run, Mapping[str, Any], _Keep], None]]] = {
    "table": _table,
    "adaptive": _adaptive,
    "driver": _driver,
    "its_hub": _peer,
}


if __name__ == "__main__":
    sys.exit(main())
