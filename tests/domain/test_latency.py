"""How long arms take: which bucket speaks for an ask."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.latency import (
    ANY,
    ENOUGH_SAMPLES,
    NOTHING_KNOWN,
    Bucket,
    Latencies,
    Latency,
    UsualTokens,
    load_bucket,
    measured_as,
    output_bucket,
    prompt_bucket,
)

PROMPT = prompt_bucket(1000)
OUTPUT = output_bucket(500)
LOAD = load_bucket(3)


def _latencies(*known: tuple[Bucket, float, float]) -> Latencies:
    """What is known of the arm ``think``: bucket, 95th percentile, samples."""
    return Latencies({("think", bucket): Latency(p95 / 2, p95, None, None, count) for bucket, p95, count in known}, {})


def _p95(latencies: Latencies, limit: int | None = None) -> float | None:
    found = latencies.find("think", prompt_tokens=1000, output_tokens_at_most=limit, calls_under_way=3)
    return None if found is None else found.total_p95_s


@pytest.mark.parametrize(
    ("tokens", "bucket"), [(0, 4), (1, 4), (256, 4), (257, 5), (1024, 5), (1025, 6), (65_536, 8), (65_537, 9)]
)
def test_prompts_of_a_fourfold_size_share_a_bucket(tokens: int, bucket: int) -> None:
    """A prompt bucket holds from one power of four to the next, its upper end included."""
    assert prompt_bucket(tokens) == bucket


@pytest.mark.parametrize(("tokens", "bucket"), [(0, 6), (64, 6), (65, 7), (128, 7), (16_384, 14), (10**9, 15)])
def test_answers_of_a_double_length_share_a_bucket(tokens: int, bucket: int) -> None:
    """An output bucket holds from one power of two to the next, its upper end included."""
    assert output_bucket(tokens) == bucket


@pytest.mark.parametrize(("calls", "bucket"), [(0, 0), (1, 0), (2, 1), (4, 1), (5, 2), (16, 2), (17, 3)])
def test_loads_of_a_fourfold_size_share_a_bucket(calls: int, bucket: int) -> None:
    """A load bucket holds from one power of four to the next, its upper end included."""
    assert load_bucket(calls) == bucket


@given(st.integers(), st.integers())
def test_buckets_grow_with_what_they_hold(one: int, other: int) -> None:
    """Of two sizes, the larger never has the smaller bucket, whatever numbers come."""
    low, high = sorted((one, other))
    for bucket in (prompt_bucket, output_bucket, load_bucket):
        assert bucket(low) <= bucket(high)


def test_nothing_is_known_of_an_arm_that_was_never_taken() -> None:
    """An unknown arm has no latency, be others known or not."""
    assert NOTHING_KNOWN.find("think", prompt_tokens=1000) is None
    assert Latencies({("fast", ANY): Latency(1, 2, None, None, 99)}, {}).find("think", prompt_tokens=1000) is None


def test_the_narrowest_bucket_with_enough_samples_speaks() -> None:
    """Prompt and load together speak first, then a higher load, the prompt alone, its neighbours, the load, the arm."""
    ladder = (
        (Bucket(PROMPT, None, LOAD), 1.0),
        (Bucket(PROMPT, None, LOAD + 1), 2.0),
        (Bucket(PROMPT), 3.0),
        (Bucket(PROMPT + 1), 4.0),
        (Bucket(PROMPT - 1), 5.0),
        (Bucket(load=LOAD), 6.0),
        (ANY, 7.0),
    )
    for place, (_, expected) in enumerate(ladder):
        few = [(bucket, p95, ENOUGH_SAMPLES - 1) for bucket, p95 in ladder[:place]]
        enough = [(bucket, p95, ENOUGH_SAMPLES) for bucket, p95 in ladder[place:]]
        assert _p95(_latencies(*few, *enough)) == expected


def test_an_arm_with_few_samples_is_judged_by_all_of_them() -> None:
    """Where no bucket has enough samples, the arm as a whole speaks, however little that says."""
    assert _p95(_latencies((Bucket(PROMPT), 1.0, 1), (ANY, 7.0, 2))) == 7.0


def test_an_output_limit_counts_where_answers_of_that_length_are_faster() -> None:
    """A limit shortens the expectation by what answers at the limit took, and never lengthens it."""
    usual = (Bucket(PROMPT), 10.0, 99)
    assert _p95(_latencies(usual, (Bucket(PROMPT, OUTPUT, LOAD), 4.0, 99)), limit=500) == 4.0
    assert _p95(_latencies(usual, (Bucket(PROMPT, OUTPUT), 5.0, 99)), limit=500) == 5.0
    assert _p95(_latencies(usual, (Bucket(PROMPT, OUTPUT), 40.0, 99)), limit=500) == 10.0
    assert _p95(_latencies(usual, (Bucket(PROMPT, OUTPUT), 5.0, 3)), limit=500) == 10.0
    assert _p95(_latencies(usual, (Bucket(PROMPT, OUTPUT), 5.0, 99))) == 10.0


def test_shorter_answers_than_the_limit_promise_nothing() -> None:
    """Where answers at the limit are unknown, longer ones may speak for them, and shorter ones may not."""
    usual = (Bucket(PROMPT), 10.0, 99)
    assert _p95(_latencies(usual, (Bucket(PROMPT, OUTPUT + 1), 6.0, 99)), limit=500) == 6.0
    assert _p95(_latencies(usual, (Bucket(PROMPT, OUTPUT - 1), 2.0, 99)), limit=500) == 10.0


def test_arms_of_two_policies_are_two() -> None:
    """Arms of one name are asked for by their policy; a model that requests name is an arm of none."""
    named = {policy: measured_as(policy, "think") for policy in ("default", "thrift", None)}
    assert len(set(named.values())) == 3
    latency, tokens = Latency(1, 2, None, None, 99), UsualTokens(10, 5, 99)
    known = Latencies({(named["thrift"], ANY): latency}, {named["thrift"]: tokens})
    assert known.of("thrift").find("think", prompt_tokens=1) is latency
    assert known.of("thrift").usual_tokens("think") is tokens
    for policy in ("default", None):
        assert known.of(policy).find("think", prompt_tokens=1) is None
        assert known.of(policy).usual_tokens("think") is None
