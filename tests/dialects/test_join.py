"""Tests of gateway/dialects/join.py."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.dialects.join import join
from gateway.domain.chat import StopReason, Text
from gateway.domain.events import (
    Delta,
    Failed,
    Finished,
    PartEnded,
    PartKind,
    PartStarted,
    Started,
    Stopped,
    StreamEvent,
    Used,
)
from gateway.domain.usage import Usage, UsageSource
from gateway.errors import UpstreamFailed
from tests.dialects.strategies import answers, streams

_WHOLE: list[StreamEvent] = [
    Started("a", "m"),
    PartStarted(0, PartKind.TEXT),
    Delta(0, "hel"),
    Delta(0, "lo"),
    PartEnded(0),
    Stopped(StopReason.MAX_TOKENS),
    Used(Usage(output_tokens=1)),
    Used(Usage(output_tokens=2)),
    Finished(),
]


@given(st.data())
def test_a_joined_stream_is_the_answer_it_streams(data: st.DataObject) -> None:
    """Whatever the answer and wherever its texts are cut, joining its stream gives it back."""
    answer = data.draw(answers(interleaved=True))
    assert join(data.draw(streams(answer))) == answer


def test_the_last_usage_counts() -> None:
    """Several usages in a stream are ever later counts of the same call."""
    assert join(_WHOLE).usage == Usage(output_tokens=2)


def test_usage_known_at_the_start_counts_when_no_other_comes() -> None:
    """The start's usage is kept until the stream tells more."""
    events: list[StreamEvent] = [Started("a", "m", usage=Usage(input_tokens=3)), Stopped(StopReason.END), Finished()]
    assert join(events).usage == Usage(input_tokens=3)


def test_usage_that_never_came_is_not_taken_as_reported() -> None:
    """A stream without usage gives zero counts that are marked as ours, not as the provider's."""
    assert join([Started("a", "m"), Stopped(StopReason.END), Finished()]).usage.source is UsageSource.ESTIMATED


def test_parts_may_interleave() -> None:
    """Deltas find their part by index, not by order."""
    events: list[StreamEvent] = [
        Started("a", "m"),
        PartStarted(0, PartKind.TEXT),
        PartStarted(1, PartKind.TEXT),
        Delta(1, "b"),
        Delta(0, "a"),
        Finished(),
    ]
    assert join(events).parts == (Text("a"), Text("b"))


@pytest.mark.parametrize("length", range(len(_WHOLE)))
def test_a_cut_stream_is_no_answer(length: int) -> None:
    """Every proper beginning of a stream is refused."""
    with pytest.raises(UpstreamFailed):
        join(_WHOLE[:length])


@pytest.mark.parametrize(
    "events",
    [
        [Started("a", "m"), Failed("overloaded")],
        [Started("a", "m"), Delta(0, "x"), Finished()],
        [Finished()],
        [*_WHOLE, Delta(0, "x")],
    ],
)
def test_a_broken_stream_is_no_answer(events: list[StreamEvent]) -> None:
    """A failure, a delta without its part, no start, or more after the end are refused."""
    with pytest.raises(UpstreamFailed):
        join(events)
