"""Circuit breakers: when a model is left alone, for how long, and how it comes back."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.domain.health import ALL_WELL
from gateway.domain.model import Model
from gateway.domain.pricing import FREE
from gateway.domain.record import Result
from gateway.errors import PonderError, UpstreamFailed, UpstreamOverloaded, UpstreamRateLimited, UpstreamTimedOut
from gateway.flow.health import (
    FAILED_SHARE,
    FAILURES_IN_A_ROW,
    FIRST_BACK_OFF_S,
    LEAST_CALLS,
    LONGEST_BACK_OFF_S,
    LONGEST_RETRY_AFTER_S,
    PATIENCE_S,
    PROBE_S,
    UNTOLD_RETRY_AFTER_S,
    WINDOW_S,
    HealthWatch,
)
from gateway.telemetry import Meter
from tests.flow.turning_clock import TurningClock
from tests.store.records import call

MODEL = Model("mini", "openai", "gpt-mini", FREE)
OTHER = Model("other", "openai", "gpt-other", FREE)
FAILED = UpstreamFailed("upstream openai answered 500")


@pytest.fixture
def clock() -> TurningClock:
    """A clock that the test turns."""
    return TurningClock()


@pytest.fixture
def health(clock: TurningClock) -> HealthWatch:
    """Breakers that have seen nothing."""
    return HealthWatch(clock)


def _end(
    health: HealthWatch,
    result: Result,
    error: PonderError | None = None,
    *,
    times: int = 1,
    model: Model = MODEL,
    total_s: float = 1.0,
) -> None:
    for _ in range(times):
        health.begin(model.upstream, model.upstream_name)
        record = call(upstream=model.upstream, model=model.upstream_name, result=result, total_s=total_s)
        health.note(record, error)


def _fail(health: HealthWatch, times: int = 1) -> None:
    _end(health, Result.FAILED, FAILED, times=times)


def _open(health: HealthWatch) -> None:
    _fail(health, FAILURES_IN_A_ROW)
    assert health.snapshot().fault_of(MODEL) is not None


def test_failures_in_a_row_open_the_breaker_of_that_model_alone(health: HealthWatch) -> None:
    """The fifth failure in a row makes policies avoid the model, and no other model of its upstream."""
    _fail(health, FAILURES_IN_A_ROW - 1)
    assert health.snapshot() is ALL_WELL
    _fail(health)
    assert health.snapshot().fault_of(MODEL) == "its last 5 calls failed"
    assert health.snapshot().fault_of(OTHER) is None


def test_an_answer_ends_a_row_of_failures(health: HealthWatch) -> None:
    """Failures that answers interrupt do not open the breaker while they are few."""
    for _ in range(4):
        _fail(health, FAILURES_IN_A_ROW - 1)
        _end(health, Result.ANSWERED, times=10)
    assert health.snapshot() is ALL_WELL


def test_a_refused_request_speaks_for_the_model(health: HealthWatch) -> None:
    """A model that refuses a client's request is there: clients cannot take it from others by bad requests."""
    _end(health, Result.REFUSED, times=50)
    for _ in range(3):
        _fail(health, FAILURES_IN_A_ROW - 1)
        _end(health, Result.REFUSED, times=2 * FAILURES_IN_A_ROW)
    assert health.snapshot() is ALL_WELL


def test_half_of_many_calls_failing_opens_the_breaker(health: HealthWatch) -> None:
    """With enough calls in the window, a share of failures suffices, whatever their order."""
    for _ in range(LEAST_CALLS // 2):
        assert health.snapshot() is ALL_WELL
        _fail(health)
        _end(health, Result.ANSWERED)
    _fail(health)
    assert health.snapshot().fault_of(MODEL) == "11 of its last 21 calls failed"


def test_old_failures_do_not_count(health: HealthWatch, clock: TurningClock) -> None:
    """What lies further back than the window is forgotten."""
    for _ in range(LEAST_CALLS // 2):
        _fail(health)
        _end(health, Result.ANSWERED)
    clock.turn(WINDOW_S)
    _fail(health)
    assert health.snapshot() is ALL_WELL


def test_an_open_breaker_lets_one_probe_through_after_its_back_off(health: HealthWatch, clock: TurningClock) -> None:
    """The model is avoided until the back-off is over; then it may be taken, and is avoided while one call tries it."""
    _open(health)
    clock.turn(FIRST_BACK_OFF_S - 0.1)
    assert health.snapshot().fault_of(MODEL) == "its last 5 calls failed"
    clock.turn(0.1)
    assert health.snapshot().fault_of(MODEL) is None
    health.begin(MODEL.upstream, MODEL.upstream_name)
    assert health.snapshot().fault_of(MODEL) == "its last 5 calls failed, and whether it answers again is being tried"
    health.note(call(result=Result.ANSWERED), None)
    assert health.snapshot().fault_of(MODEL) is None


def test_a_probe_that_fails_doubles_the_back_off(health: HealthWatch, clock: TurningClock) -> None:
    """Each failed probe doubles the wait, up to two minutes, and the first answer ends it."""
    _open(health)
    wait_s = FIRST_BACK_OFF_S
    while wait_s < 4 * LONGEST_BACK_OFF_S:
        expected_s = min(wait_s, LONGEST_BACK_OFF_S)
        clock.turn(expected_s - 0.1)
        assert health.snapshot().fault_of(MODEL) is not None
        clock.turn(0.1)
        assert health.snapshot().fault_of(MODEL) is None
        _fail(health)
        wait_s *= 2
    clock.turn(LONGEST_BACK_OFF_S)
    _end(health, Result.ANSWERED)
    assert health.snapshot().fault_of(MODEL) is None


def test_a_probe_that_never_ends_does_not_bar_others(health: HealthWatch, clock: TurningClock) -> None:
    """A call that hangs is a probe for half a minute; then another one may try."""
    _open(health)
    clock.turn(FIRST_BACK_OFF_S)
    health.begin(MODEL.upstream, MODEL.upstream_name)
    clock.turn(PROBE_S - 0.1)
    assert health.snapshot().fault_of(MODEL) is not None
    clock.turn(0.1)
    assert health.snapshot().fault_of(MODEL) is None


def test_a_probe_whose_client_leaves_says_nothing(health: HealthWatch, clock: TurningClock) -> None:
    """After a disconnect the model may be tried again at once, and is neither well nor failing."""
    _open(health)
    clock.turn(FIRST_BACK_OFF_S)
    _end(health, Result.DISCONNECTED)
    assert health.snapshot().fault_of(MODEL) is None
    _fail(health)
    assert health.snapshot().fault_of(MODEL) is not None


def test_answers_while_it_is_open_do_not_close_it(health: HealthWatch) -> None:
    """Requests that name the model go through; one of them answered does not end the back-off."""
    _open(health)
    _end(health, Result.ANSWERED, times=3)
    assert health.snapshot().fault_of(MODEL) is not None


def test_a_relapse_is_left_alone_for_longer(health: HealthWatch, clock: TurningClock) -> None:
    """A model that fails again soon after it came back waits twice as long; much later it starts over."""
    _open(health)
    clock.turn(FIRST_BACK_OFF_S)
    _end(health, Result.ANSWERED)
    _open(health)
    clock.turn(FIRST_BACK_OFF_S)
    assert health.snapshot().fault_of(MODEL) is not None
    clock.turn(FIRST_BACK_OFF_S)
    _end(health, Result.ANSWERED)
    clock.turn(3600)
    health.snapshot()
    _open(health)
    clock.turn(FIRST_BACK_OFF_S)
    assert health.snapshot().fault_of(MODEL) is None


@pytest.mark.parametrize(
    ("told_s", "waits_s"), [(7.0, 7.0), (None, UNTOLD_RETRY_AFTER_S), (86_400.0, LONGEST_RETRY_AFTER_S)]
)
def test_a_rate_limit_is_waited_out(
    health: HealthWatch, clock: TurningClock, told_s: float | None, waits_s: float
) -> None:
    """One 429 is enough: the model is avoided for as long as its upstream says, within reason."""
    _end(health, Result.FAILED, UpstreamRateLimited("429", retry_after_s=told_s))
    assert health.snapshot().fault_of(MODEL) == "its upstream limits our rate"
    clock.turn(waits_s - 0.1)
    assert health.snapshot().fault_of(MODEL) is not None
    clock.turn(0.1)
    assert health.snapshot() is ALL_WELL


def test_rate_limits_are_no_failures(health: HealthWatch, clock: TurningClock) -> None:
    """However many 429s there are, the model is back when the last wait is over."""
    _end(health, Result.FAILED, UpstreamRateLimited("429", retry_after_s=1.0), times=50)
    clock.turn(1.0)
    assert health.snapshot() is ALL_WELL
    assert health.opened == 0


def test_an_overload_with_a_time_is_waited_out_and_counts(health: HealthWatch, clock: TurningClock) -> None:
    """A 503 that names a time is kept to at once, and five of them are five failures."""
    _end(health, Result.FAILED, UpstreamOverloaded("503", retry_after_s=1.0))
    assert health.snapshot().fault_of(MODEL) is not None
    clock.turn(1.0)
    assert health.snapshot().fault_of(MODEL) is None
    _end(health, Result.FAILED, UpstreamOverloaded("503", retry_after_s=1.0), times=FAILURES_IN_A_ROW - 1)
    clock.turn(1.0)
    assert health.snapshot().fault_of(MODEL) == "its last 5 calls failed"


def test_impatient_clients_do_not_make_a_model_unhealthy(health: HealthWatch) -> None:
    """Calls that ran into a short deadline say nothing; those that had time enough are failures."""
    late = UpstreamTimedOut("nothing came in time")
    _end(health, Result.TIMED_OUT, late, times=50, total_s=PATIENCE_S - 0.1)
    assert health.snapshot() is ALL_WELL
    _end(health, Result.TIMED_OUT, late, times=FAILURES_IN_A_ROW, total_s=PATIENCE_S)
    assert health.snapshot().fault_of(MODEL) is not None


def test_a_snapshot_stays_as_it_was(health: HealthWatch, clock: TurningClock) -> None:
    """The same value is handed out until something changes, and a value never changes."""
    _open(health)
    before = health.snapshot()
    clock.turn(1.0)
    assert health.snapshot() is before
    clock.turn(FIRST_BACK_OFF_S)
    assert health.snapshot() is not before
    assert before.fault_of(MODEL) is not None


def test_what_went_well_for_long_is_not_remembered(health: HealthWatch, clock: TurningClock) -> None:
    """A model that recovered costs nothing after a while."""
    _open(health)
    clock.turn(FIRST_BACK_OFF_S)
    _end(health, Result.ANSWERED)
    clock.turn(3600)
    assert health.snapshot() is ALL_WELL
    _fail(health, FAILURES_IN_A_ROW - 1)
    assert health.snapshot() is ALL_WELL


def test_metrics_tell_what_is_avoided(health: HealthWatch) -> None:
    """The number of models that are avoided, and how often one began to be, are exposed."""
    meter = Meter()
    health.watch(meter)
    _open(health)
    _end(health, Result.FAILED, UpstreamRateLimited("429", retry_after_s=9.0), model=OTHER)
    text = meter.render().decode()
    assert "ponder_models_avoided 2.0" in text
    assert "ponder_breakers_opened_total 1.0" in text


def test_the_thresholds_are_those_of_the_documentation() -> None:
    """What operators are told of breakers is what the constants say."""
    page = (Path(__file__).parents[2] / "docs" / "operate.md").read_text("utf-8")
    told = " ".join(page.partition("## Models that fail")[2].partition("\n## ")[0].split())
    for words in (
        f"| {FAILURES_IN_A_ROW} calls in a row fail | for {FIRST_BACK_OFF_S:g} seconds |",
        f"of at least {LEAST_CALLS} calls within {WINDOW_S:g} seconds, half fail",
        f"at most {LONGEST_RETRY_AFTER_S / 60:g} minutes; without it, for {UNTOLD_RETRY_AFTER_S:g} seconds",
        f"the wait doubles, up to {LONGEST_BACK_OFF_S / 60:g} minutes",
        f"time-outs after {PATIENCE_S:g} seconds or more",
    ):
        assert words in told
    assert FAILED_SHARE == 0.5
