"""Learning how long arms take: quantiles, fading, bounds, and what a snapshot may miss."""

from __future__ import annotations

import random

import pytest

from gateway.domain.latency import ENOUGH_SAMPLES, Timing
from gateway.flow.latencies import FORGOTTEN_S, HALF_LIFE_S, REFRESH_S, LatencyLearner
from tests.flow.turning_clock import TurningClock


@pytest.fixture
def clock() -> TurningClock:
    """A clock that the test turns."""
    return TurningClock()


def _note(learner: LatencyLearner, total_s: float, *, arm: str = "think", times: int = 1, **changes: int) -> None:
    sizes = {"prompt_tokens": 500, "output_tokens": 200, "thinking_tokens": 50, "load": 1, **changes}
    for _ in range(times):
        learner.note(arm, **sizes, first_byte_s=total_s / 10, total_s=total_s)


def _p95(learner: LatencyLearner, *, arm: str = "think", prompt_tokens: int = 500) -> float | None:
    found = learner.snapshot().find(arm, prompt_tokens=prompt_tokens)
    return None if found is None else found.total_p95_s


def test_quantiles_are_those_of_what_was_noted(clock: TurningClock) -> None:
    """Of 4,000 skewed samples the quantiles come out within three per cent, for the whole and the first byte."""
    learner, draw = LatencyLearner(clock), random.Random(7)
    seconds = [draw.lognormvariate(0, 0.7) for _ in range(4_000)]
    for each in seconds:
        _note(learner, each)
    found = learner.snapshot().find("think", prompt_tokens=500)
    assert found is not None
    seconds.sort()
    assert found.total_p50_s == pytest.approx(seconds[2_000], rel=0.03)
    assert found.total_p95_s == pytest.approx(seconds[3_800], rel=0.03)
    assert found.first_byte_p50_s == pytest.approx(seconds[2_000] / 10, rel=0.03)
    assert found.first_byte_p95_s == pytest.approx(seconds[3_800] / 10, rel=0.03)
    assert found.samples == 4_000


def test_sizes_and_loads_are_told_apart(clock: TurningClock) -> None:
    """A long prompt, a long answer and a loaded upstream each have latencies of their own."""
    learner = LatencyLearner(clock)
    _note(learner, 1.0, times=50)
    _note(learner, 3.0, times=50, prompt_tokens=50_000)
    _note(learner, 5.0, times=50, load=40)
    _note(learner, 9.0, times=50, output_tokens=9_000)
    known = learner.snapshot()
    by_prompt = known.find("think", prompt_tokens=50_000)
    by_load = known.find("think", prompt_tokens=500, calls_under_way=40)
    by_limit = known.find("think", prompt_tokens=500, output_tokens_at_most=200)
    usual = known.find("think", prompt_tokens=500)
    assert by_prompt is not None and by_load is not None  # noqa: PT018
    assert by_limit is not None and usual is not None  # noqa: PT018
    assert by_prompt.total_p95_s == 3.0
    assert by_load.total_p95_s == 5.0
    assert by_limit.total_p95_s == 1.0
    assert usual.total_p95_s == 9.0


def test_answers_that_were_not_streamed_have_no_first_byte(clock: TurningClock) -> None:
    """Without any time to a first byte there is no quantile of it."""
    learner = LatencyLearner(clock)
    learner.note("vote", prompt_tokens=9, output_tokens=9, thinking_tokens=0, load=1, first_byte_s=None, total_s=2.0)
    found = learner.snapshot().find("vote", prompt_tokens=9)
    assert found is not None
    assert (found.total_p95_s, found.first_byte_p50_s, found.first_byte_p95_s) == (2.0, None, None)


def test_a_snapshot_is_a_second_old_at_most_and_never_changes(clock: TurningClock) -> None:
    """What is noted shows in the next second's snapshot; the one taken before stays as it was."""
    learner = LatencyLearner(clock)
    before = learner.snapshot()
    _note(learner, 1.0, times=30)
    assert learner.snapshot() is before
    clock.turn(REFRESH_S)
    after = learner.snapshot()
    assert before.find("think", prompt_tokens=500) is None
    assert after.find("think", prompt_tokens=500) is not None
    clock.turn(REFRESH_S)
    assert learner.snapshot() is after
    _note(learner, 9.0, times=300)
    clock.turn(REFRESH_S)
    assert _p95(learner) == 9.0
    found = after.find("think", prompt_tokens=500)
    assert found is not None
    assert (found.total_p95_s, found.samples) == (1.0, 30)


def test_what_was_measured_fades(clock: TurningClock) -> None:
    """Half a day later, as many new calls as a bucket needs outweigh a thousand old ones."""
    learner = LatencyLearner(clock)
    _note(learner, 1.0, times=1_000)
    assert _p95(learner) == 1.0
    clock.turn(12 * HALF_LIFE_S)
    _note(learner, 9.0, times=2 * ENOUGH_SAMPLES)
    found = learner.snapshot().find("think", prompt_tokens=500)
    assert found is not None
    assert found.total_p50_s == 9.0
    assert found.first_byte_p50_s == pytest.approx(0.9)
    assert found.samples == pytest.approx(3 * ENOUGH_SAMPLES)


def test_half_is_left_after_an_hour(clock: TurningClock) -> None:
    """A sample of an hour ago counts half, and what a snapshot says of usual tokens fades alike."""
    learner = LatencyLearner(clock)
    _note(learner, 1.0, times=400, output_tokens=100, thinking_tokens=0)
    learner.snapshot()
    clock.turn(HALF_LIFE_S)
    _note(learner, 1.0, times=200, output_tokens=200, thinking_tokens=100)
    known = learner.snapshot()
    found, tokens = known.find("think", prompt_tokens=500), known.tokens["think"]
    assert found is not None
    assert found.samples == pytest.approx(400)
    assert (tokens.output, tokens.thinking, tokens.samples) == pytest.approx((150, 50, 400))


def test_few_samples_do_not_fade(clock: TurningClock) -> None:
    """Where calls are rare, old ones count in full until there are enough newer ones."""
    learner = LatencyLearner(clock)
    for _ in range(5):
        _note(learner, 2.0)
        clock.turn(6 * HALF_LIFE_S)
    found = learner.snapshot().find("think", prompt_tokens=500)
    assert found is not None
    assert found.samples == 5


def test_what_nobody_uses_is_forgotten(clock: TurningClock) -> None:
    """An arm that was not taken for a week is unknown, its usual tokens included."""
    learner = LatencyLearner(clock)
    _note(learner, 1.0, arm="gone", times=30)
    learner.snapshot()
    clock.turn(FORGOTTEN_S)
    _note(learner, 1.0, arm="here")
    known = learner.snapshot()
    assert known.find("gone", prompt_tokens=500) is None
    assert known.tokens.keys() == {"here"}


def test_memory_is_bounded(clock: TurningClock) -> None:
    """However many arms there are, buckets stay within their number, and those used last are kept."""
    learner = LatencyLearner(clock, most_cells=60)
    for number in range(200):
        _note(learner, 1.0, arm=f"arm{number}", times=2)
        clock.turn(REFRESH_S)
        known = learner.snapshot()
        assert len(known.by_bucket) <= 60
        assert len(known.tokens) <= 60
    assert _p95(learner, arm="arm199") == 1.0
    assert _p95(learner, arm="arm0") is None
    assert known.tokens.keys() <= {arm for arm, _ in known.by_bucket}


def test_what_is_in_use_is_kept(clock: TurningClock) -> None:
    """An arm that is taken again and again outlives any number of others that are taken once."""
    learner = LatencyLearner(clock, most_cells=60)
    for number in range(100):
        _note(learner, 2.0, arm="steady")
        _note(learner, 1.0, arm=f"arm{number}")
        clock.turn(REFRESH_S)
        learner.snapshot()
    found = learner.snapshot().find("steady", prompt_tokens=500)
    assert found is not None
    assert found.samples == 100


def test_nobody_has_to_ask_for_memory_to_stay_bounded(clock: TurningClock) -> None:
    """Samples that nobody looks at are folded by themselves, and nothing of them is lost."""
    learner = LatencyLearner(clock)
    _note(learner, 1.0, times=10_000)
    found = learner.snapshot().find("think", prompt_tokens=500)
    assert found is not None
    assert found.samples == 10_000


def test_a_start_learns_from_the_log(clock: TurningClock) -> None:
    """Past requests count for their sizes and say nothing of any load."""
    learner = LatencyLearner(clock)
    learner.learn(Timing("think", 500, 200, 50, None, 4.0) for _ in range(30))
    known = learner.snapshot()
    found = known.find("think", prompt_tokens=500, calls_under_way=40)
    assert found is not None
    assert (found.total_p95_s, found.samples) == (4.0, 30)
    assert not any(bucket.load is not None for _, bucket in known.by_bucket)
    assert known.tokens["think"].thinking == 50


def test_the_slowest_arm_of_all_is_known(clock: TurningClock) -> None:
    """A snapshot tells the longest 95th percentile of any arm and bucket, so that longer deadlines need no look."""
    learner = LatencyLearner(clock)
    assert learner.snapshot().slowest_p95_s == 0
    _note(learner, 1.0, times=50)
    _note(learner, 9.0, times=50, arm="vote", prompt_tokens=50_000)
    clock.turn(REFRESH_S)
    known = learner.snapshot()
    assert known.slowest_p95_s == known.of("thrift").slowest_p95_s == pytest.approx(9.0, rel=0.03)
