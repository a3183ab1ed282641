"""Medians, ratios within a round, verdicts and the page."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.bench.load import Load
from tests.bench.measures import Memory, StreamTurn, Turn
from tests.bench.report import Findings, Round, page, table, verdicts
from tests.bench.stream_load import Distribution, Streams


def _turn(requests_per_s: float, *, p50_ms: float = 1.0, p99_ms: float = 2.0, start_s: float = 1.0) -> Turn:
    crowd = Load(requests=int(requests_per_s * 10), duration_s=10, p50_ms=5, p90_ms=6, p99_ms=7, errors=0)
    alone = Load(requests=1000, duration_s=10, p50_ms=p50_ms, p90_ms=p50_ms, p99_ms=p99_ms, errors=0)
    return Turn(crowd=crowd, alone=alone, cpu_us=200, core_share=0.99, resident_mib=100, start_s=start_s)


def _streams(late_p99_ms: float, first_ms: float, broken: int = 0) -> StreamTurn:
    late = Distribution(p50_ms=1, p99_ms=late_p99_ms, max_ms=late_p99_ms)
    first = Distribution(p50_ms=first_ms, p99_ms=first_ms, max_ms=first_ms)
    run = Streams(streams=256, broken=broken, chunks=12800, lateness=late, mock_lag=late, first_byte=first)
    return StreamTurn(steady=run, burst=run)


def _findings(*rounds: Round) -> Findings:
    return Findings(machine="a machine", setting="a setting", versions={"floor": "1"}, rounds=rounds)


def _measured(findings: Findings) -> dict[tuple[str, str], float]:
    return {(verdict.name, verdict.baseline): verdict.measured for verdict in verdicts(findings)}


def test_ratios_are_taken_within_a_round_before_the_median() -> None:
    """A machine that doubles its speed between rounds does not change a ratio."""
    rounds = [
        Round({"gateway": _turn(share * floor), "floor": _turn(floor)}, {})
        for share, floor in ((0.7, 1000), (0.8, 9000), (0.9, 3000))
    ]
    assert _measured(_findings(*rounds))["throughput, 32 connections", "floor"] == pytest.approx(0.8)


def test_added_latency_is_the_difference_to_the_direct_call_of_the_round() -> None:
    """The mock's own latency is not the gateway's."""
    part = Round({"gateway": _turn(1, p50_ms=0.5, p99_ms=4.0), "direct": _turn(1, p50_ms=0.1, p99_ms=0.5)}, {})
    measured = _measured(_findings(part))
    assert measured["added latency p50, 1 connection", "direct"] == pytest.approx(0.4)
    assert measured["added latency p99, 1 connection", "direct"] == pytest.approx(3.5)


def test_a_lost_target_is_printed_as_missed() -> None:
    """Losses stand in the same table as wins."""
    part = Round({"gateway": _turn(500), "floor": _turn(1000), "portkey": _turn(100)}, {})
    judged = {verdict.baseline: verdict for verdict in verdicts(_findings(part))}
    assert not judged["floor"].is_met
    assert judged["portkey"].is_met
    assert "MISSED" in page(_findings(part))


def test_a_row_that_was_not_measured_is_neither_won_nor_hidden() -> None:
    """An absent peer yields no verdict and is named with its reason."""
    part = Round({"gateway": _turn(900), "floor": _turn(1000)}, {})
    findings = replace(_findings(part), absent={"litellm": "cannot be installed"})
    assert all(verdict.baseline != "litellm" for verdict in verdicts(findings))
    assert "- litellm: cannot be installed" in page(findings)


def test_a_single_broken_stream_misses_its_target() -> None:
    """Lateness of the rest does not make up for a stream that broke."""
    part = Round({}, {"gateway": _streams(10, 2.5, broken=1), "direct": _streams(2, 0.5)})
    judged = {verdict.name: verdict for verdict in verdicts(_findings(part))}
    assert judged["256 streams, chunk lateness p99"].is_met
    assert judged["256 streams, first byte added p50"].measured == pytest.approx(2.0)
    assert not judged["256 streams, broken"].is_met


def test_memory_is_judged_in_megabytes_and_by_growth() -> None:
    """182 MiB are more than 190 MB, and 7 MiB more are 3.8% growth."""
    memory = Memory(90, first_requests=100_000, first_mib=182, second_requests=300_000, second_mib=189, logged=300_020)
    size, growth, missing = verdicts(replace(_findings(), memory=memory))
    assert not size.is_met
    assert size.measured == pytest.approx(190.84, abs=0.01)
    assert growth.is_met
    assert growth.measured == pytest.approx(3.85, abs=0.01)
    assert missing.is_met


def test_requests_that_were_not_logged_are_a_loss() -> None:
    """A throughput reached by dropping log records misses its own target."""
    memory = Memory(90, first_requests=100_000, first_mib=100, second_requests=300_000, second_mib=100, logged=299_999)
    *_, missing = verdicts(replace(_findings(), memory=memory))
    assert missing.measured == 1
    assert not missing.is_met


def test_stages_are_listed_by_what_they_cost_the_gateway() -> None:
    """The dearest stage of the last column comes first, and a total closes the table."""
    stages = {"bare": {"upstream call": 80.0}, "gateway": {"price": 10.0, "upstream call": 90.0}}
    lines = page(replace(_findings(), stages=stages)).splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("| stage"))
    assert [line.split("|")[1].strip() for line in lines[start + 2 : start + 5]] == ["upstream call", "price", "total"]
    assert [cell.strip() for cell in lines[start + 4].split("|")[2:4]] == ["80.0", "100.0"]


def test_a_table_aligns_its_columns() -> None:
    """Every line of a table has the same width, so that it reads well as plain text."""
    lines = table(["row", "figure"], [["floor", "1"], ["a longer name", "1,000"]]).splitlines()
    assert len({len(line) for line in lines}) == 1
    assert lines[1].endswith("-: |")
