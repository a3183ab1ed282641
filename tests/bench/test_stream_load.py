"""Stamps, lateness and the count of broken streams."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.bench.paced_mock import stamped_event
from tests.bench.processes import BenchError
from tests.bench.stream_load import Sighting, StampReader, distribution, summarise


def test_percentiles_are_ranks_that_occurred() -> None:
    """Of the seconds 0.001 … 0.100, the median is 50 ms, the 99th percentile 99 ms and the worst 100 ms."""
    seen = distribution([step / 1000 for step in range(100, 0, -1)])
    assert (seen.p50_ms, seen.p99_ms, seen.max_ms) == pytest.approx((50, 99, 100))


def test_a_single_value_is_every_percentile() -> None:
    """One chunk is its own median and its own worst."""
    seen = distribution([0.004])
    assert (seen.p50_ms, seen.p99_ms, seen.max_ms) == pytest.approx((4, 4, 4))


def test_no_chunk_at_all_is_an_error_not_a_zero() -> None:
    """A run that delivered nothing has no lateness to report."""
    with pytest.raises(BenchError):
        distribution([])


def test_lateness_counts_from_the_schedule_and_tells_the_mocks_part() -> None:
    """A chunk due at 10.000, sent at 10.002 and seen at 10.007 is 7 ms late, 2 ms of them the mock's."""
    seen = summarise([Sighting(due=10.0, sent=10.002, arrived=10.007)], [0.003], broken=1)
    assert seen.lateness.max_ms == pytest.approx(7)
    assert seen.mock_lag.max_ms == pytest.approx(2)
    assert seen.first_byte.p50_ms == pytest.approx(3)
    assert (seen.streams, seen.broken, seen.chunks) == (1, 1, 1)


@given(
    count=st.integers(min_value=0, max_value=5),
    cuts=st.lists(st.integers(min_value=0, max_value=2000), max_size=12),
)
def test_stamps_are_found_however_the_body_is_cut(count: int, cuts: list[int]) -> None:
    """Every stamp is read exactly once wherever the pieces of the body begin and end."""
    stamps = [(100.5 + number, 100.75 + number) for number in range(count)]
    body = b"".join(stamped_event(due, sent) for due, sent in stamps) + b"data: [DONE]\n\n"
    places = sorted({0, *(min(cut, len(body)) for cut in cuts), len(body)})
    reader = StampReader()
    found = []
    for start, end in pairwise(places):
        found += reader.feed(body[start:end])
    assert found == stamps
    assert reader.has_ended()


def test_a_stream_without_its_terminal_event_has_not_ended() -> None:
    """The last chunk alone does not make a stream whole."""
    reader = StampReader()
    reader.feed(stamped_event(1.0, 1.0))
    assert not reader.has_ended()
