"""Tests of gateway/commands/top_readings.py and top_screen.py."""

from __future__ import annotations

from io import StringIO

import pytest
from rich.console import Console

from gateway.commands.top_readings import BudgetLine, Overview, arms_of, between, overview, quantile, read
from gateway.commands.top_screen import screen
from gateway.telemetry import Meter


@pytest.mark.parametrize(
    ("share", "expected"),
    [(0.5, 1.0), (0.25, 0.5), (0.75, 1.5), (0.95, 2.0), (1.0, 2.0)],
)
def test_a_quantile_lies_evenly_within_its_bucket(share: float, expected: float) -> None:
    """Ten up to one second, eight more up to two, two beyond: the last ones count as the last bound."""
    found = quantile({(("le", "1"),): 10, (("le", "2"),): 20 if share != 0.95 else 18, (("le", "+Inf"),): 20}, share)
    assert found == pytest.approx(expected)


def test_no_quantile_of_nothing() -> None:
    """Without a bucket, or without a request in any, there is no quantile."""
    assert quantile({}, 0.5) is None
    assert quantile({(("le", "1"),): 0, (("le", "+Inf"),): 0}, 0.5) is None


def _meter() -> Meter:
    meter = Meter()
    meter.watch_each("ponder_upstream_calls_under_way", "Calls.", ("upstream",), lambda: {("near",): 3.0})
    meter.watch_each("ponder_upstream_requests_waiting", "Waiting.", ("upstream",), lambda: {("near",): 2.0})
    return meter


def _request(meter: Meter, model: str, result: str, total_s: float) -> None:
    meter.request(
        endpoint="/v1/chat/completions", operation="chat", model=model, result=result,
        total_s=total_s, first_byte_s=None, cost_usd=0.25,
    )  # fmt: skip


def _view(note: str | None = None) -> Overview:
    meter = _meter()
    _request(meter, "quiet", "answered", 1.0)
    before = read(meter.render().decode(), at=100.0)
    for result in ("answered", "answered", "failed", "refused"):
        _request(meter, "busy", result, 0.02)
    meter.tokens("busy", "output", 80)
    meter.tokens("busy", "input", 900)
    meter.call("near", "failed")
    meter.call("near", "answered")
    meter.refusal("/v1/chat/completions", "unauthenticated")
    meter.in_flight = 5
    now = read(meter.render().decode(), at=104.0)
    rows = [
        {"arm": "fast", "model_asked": "auto", "cost_usd": "0.5", "total_s": 1.0},
        {"arm": "fast", "model_asked": "auto", "cost_usd": "0.1", "total_s": 3.0},
        {"arm": None, "model_asked": "busy", "cost_usd": "0", "total_s": 1.0},
    ]
    budgets = [BudgetLine("team", "kites", "day", 10.0, 9.0), BudgetLine("key", "nets", "total", 5.0, None)]
    return overview(
        before, now, health={"status": "degraded", "degraded": ["a disk is full"]},
        arms=arms_of(rows), budgets=budgets, note=note,
    )  # fmt: skip


def test_rates_are_those_of_the_interval() -> None:
    """What was counted before the interval is no part of it; failures are those of upstreams, not refusals."""
    view = _view()
    assert (view.interval_s, view.requests_per_s, view.failed_per_s, view.refused_per_s) == (4.0, 1.0, 0.25, 0.25)
    assert (view.spend_usd_per_min, view.in_flight, view.waiting) == (15.0, 5, 2)
    busy, quiet = view.models
    assert (busy.model, busy.requests_per_s, busy.failed_per_s, busy.output_tokens_per_s) == ("busy", 1.0, 0.25, 20.0)
    assert busy.p50_s == pytest.approx(0.015)
    assert (quiet.model, quiet.requests_per_s, quiet.p50_s) == ("quiet", 0.0, None)
    (near,) = view.upstreams
    assert (near.under_way, near.waiting, near.calls_per_s, near.failed_per_s) == (3, 2, 0.5, 0.25)
    assert [(arm.arm, arm.requests, arm.mean_s) for arm in view.arms] == [("fast", 2, 2.0), ("busy", 1, 1.0)]


def test_a_counter_that_fell_began_again() -> None:
    """After a restart of the gateway, what it has counted since then is the growth."""
    before, now = (read(f"# TYPE a counter\na_total {value}\n", at=at) for value, at in ((50, 1.0), (3, 2.0)))
    assert between(before, now).total("a_total") == 3


def test_the_screen_shows_all_of_it() -> None:
    """Models, upstreams, arms, budgets, what is degraded and what could not be read all stand on the screen."""
    out = StringIO()
    Console(file=out, width=160).print(screen(_view("no admin key"), "http://127.0.0.1:8000"))
    shown = out.getvalue()
    for words in (
        "degraded", "! a disk is full", "no admin key", "1.0 requests/s", "$15.00/min", "5 in flight",
        "busy", "quiet", "near", "fast", "team kites", "$9.00", "key nets",
    ):  # fmt: skip
        assert words in shown
