"""The command ``python -m tests.bench``: what to measure, in which order, and where the result goes."""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import TypeVar

from tests.bench import gateways, peers, servers
from tests.bench.measures import (
    DIRECT,
    FULL,
    QUICK,
    Pace,
    StreamTurn,
    Turn,
    measure_journal,
    measure_memory,
    measure_stages,
    measure_streams,
    measure_turn,
)
from tests.bench.processes import BenchError
from tests.bench.report import Findings, Round, page, verdicts

_RESULTS = servers.HERE.parents[1] / "docs" / "results"
_ROWS: dict[str, Callable[[], servers.Row]] = {
    DIRECT: servers.mock,
    "nginx": servers.nginx_proxy,
    "bare": servers.bare,
    "floor": servers.floor,
    "gateway": gateways.gateway,
    "limits": gateways.limited,
    "redis": gateways.with_redis,
    "auto": gateways.deciding,
    "auto-again": gateways.deciding_again,
    "portkey": peers.portkey,
    "litellm": peers.litellm,
}
_PEERS = ("portkey", "litellm")
_PROGRAMS = ("wrk", "nginx", "taskset", "setpriv")

_Result = TypeVar("_Result")


def main() -> int:
    """Measure what the command line asks for; the exit status tells whether every target was met."""
    options = _options().parse_args()
    missing = [program for program in _PROGRAMS if shutil.which(program) is None]
    if missing:
        _say(f"missing: {', '.join(missing)}; run: apt-get install -y wrk nginx-light util-linux")
        return 2
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        with tempfile.TemporaryDirectory(prefix="ponder-bench-") as folder:
            findings = _Run(options, Path(folder)).run()
    except KeyboardInterrupt:
        _say("interrupted; nothing was written")
        return 130
    is_full = not (options.quick or options.only or options.no_peers)
    _publish(findings, as_json=options.json, into=_RESULTS if is_full else None)
    return 0 if all(verdict.is_met for verdict in verdicts(findings)) else 1


def _options() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    options.add_argument("--quick", action="store_true", help="one round of three seconds: a smoke test, not a result")
    options.add_argument(
        "--only",
        action="append",
        choices=[*_ROWS, "streams", "memory", "journal", "stages"],
        help="measure this row or part alone (may be repeated); the direct call is always measured",
    )
    options.add_argument("--rounds", type=int, default=FULL.rounds, help="how often every row is measured")
    options.add_argument("--no-peers", action="store_true", help="leave out Portkey and LiteLLM")
    options.add_argument("--json", action="store_true", help="print the result as JSON instead of Markdown")
    return options


class _Run:
    """One run: prepares the rows, measures the rounds, then memory and stages."""

    def __init__(self, options: argparse.Namespace, folder: Path) -> None:
        self._folder = folder
        self._pace: Pace = QUICK if options.quick else replace(FULL, rounds=options.rounds)
        self._only: Sequence[str] | None = options.only
        self._has_peers = not options.no_peers
        self._absent: dict[str, str] = {}
        self._rows = self._prepare()
        self._stream_rows = (
            [servers.paced_mock(), servers.bare(), gateways.gateway()] if self._is_wanted("streams") else []
        )

    def _is_wanted(self, name: str) -> bool:
        return self._only is None or name in self._only

    def _prepare(self) -> list[servers.Row]:
        rows = []
        for name, build in _ROWS.items():
            if not self._is_wanted(name) and name != DIRECT:
                continue
            if name in _PEERS:
                if not self._has_peers:
                    self._absent[name] = "left out by --no-peers"
                    continue
                _say(f"{name}: preparing its environment")
            row = self._attempt(name, build)
            if row is not None:
                rows.append(row)
        return rows

    def _attempt(self, name: str, measure: Callable[[], _Result]) -> _Result | None:
        """Run one measurement; where it cannot be made, note why and go on."""
        if name in self._absent:
            return None
        try:
            return measure()
        except BenchError as fault:
            self._absent[name] = str(fault).partition("\n")[0]
            _say(f"{name}: NOT MEASURED: {fault}")
            return None

    def run(self) -> Findings:
        rounds = [self._round(number) for number in range(1, self._pace.rounds + 1)]
        findings = Findings(
            machine=machine(),
            setting=self._setting(),
            versions={row.name: row.version for row in (*self._stream_rows, *self._rows)},
            rounds=rounds,
        )
        if self._is_wanted("memory"):
            _say("memory: one worker under steady load")
            memory = self._attempt("memory", partial(measure_memory, self._folder, self._pace))
            findings = replace(findings, memory=memory)
        if self._is_wanted("journal"):
            _say("journal: written and moved, without a gateway around it")
            findings = replace(findings, journal=self._attempt("journal", measure_journal))
        if self._is_wanted("stages"):
            findings = replace(findings, stages=self._stages())
        return replace(findings, absent=dict(self._absent))

    def _stages(self) -> dict[str, dict[str, float]]:
        found = {}
        for row in (servers.bare(), gateways.gateway()):
            _say(f"stages: {row.name} under the sampler")
            stages = self._attempt(f"{row.name} stages", partial(measure_stages, row, self._folder, self._pace))
            if stages is not None:
                found[row.name] = stages
        return found

    def _round(self, number: int) -> Round:
        turns: dict[str, Turn] = {}
        streams: dict[str, StreamTurn] = {}
        for row in self._rows:
            turn = self._attempt(row.name, partial(measure_turn, row, self._folder, self._pace))
            if turn is not None:
                turns[row.name] = turn
                _say(
                    f"round {number}, {row.name}: {turn.crowd.requests_per_s:,.0f} req/s at 32, "
                    f"p50 {turn.alone.p50_ms:.3f} ms at 1, {turn.cpu_us:,.0f} µs CPU"
                )
        for row in self._stream_rows:
            held = self._attempt(f"{row.name} streams", partial(measure_streams, row, self._folder, self._pace))
            if held is not None:
                streams[row.name] = held
                _say(
                    f"round {number}, {row.name}, 256 streams: lateness p99 {held.steady.lateness.p99_ms:.1f} ms, "
                    f"first byte p50 {held.steady.first_byte.p50_ms:.2f} ms, {held.steady.broken} broken"
                )
        return Round(turns, streams)

    def _setting(self) -> str:
        return (
            f"{self._pace.rounds} round(s) of {self._pace.seconds} s per load; answer of {len(servers.ANSWER)} bytes, "
            f"ask of {len(servers.ASK)}; load generator and mock on core {servers.LOAD_CORE}, the server on core "
            f"{servers.SERVER_CORE}. Absolute figures vary with the machine; ratios within one round are what counts."
        )


def machine() -> str:
    """The processor, cores, memory and kernel."""
    found = re.search(r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    name = found[1] if found else platform.processor()
    return f"{name}, {os.cpu_count()} cores, {memory:.0f} GiB, {platform.system()} {platform.release()}"


def _publish(findings: Findings, *, as_json: bool, into: Path | None) -> None:
    text = page(findings)
    judged = [{**asdict(verdict), "is_met": verdict.is_met} for verdict in verdicts(findings)]
    data = json.dumps({**asdict(findings), "verdicts": judged}, indent=2, ensure_ascii=False)
    sys.stdout.write(data + "\n" if as_json else text)
    if into is not None:
        into.mkdir(parents=True, exist_ok=True)
        (into / "overhead.md").write_text(text)
        (into / "overhead.json").write_text(data + "\n")
        _say(f"written: {into / 'overhead.md'} and overhead.json")


def _say(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
