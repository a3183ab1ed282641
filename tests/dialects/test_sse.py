"""Cutting byte streams into server-sent events."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.dialects.sse import MAX_EVENT_BYTES, EventSplitter, SseEvent, comment, parse
from gateway.errors import UpstreamFailed

_DATA = st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]), max_size=40)
_ENDINGS = st.sampled_from(["\n", "\r\n", "\r"])


@given(st.lists(_DATA, min_size=1, max_size=6), _ENDINGS, st.lists(st.integers(1, 7), min_size=1, max_size=60))
def test_events_do_not_depend_on_how_the_bytes_were_cut(texts: list[str], ending: str, cuts: list[int]) -> None:
    """However the network cuts the bytes, the same events come out and no byte is lost."""
    stream = "".join(f"data: {text}{ending}{ending}" for text in texts).encode() + b": end\n\n"
    splitter = EventSplitter()
    events: list[bytes] = []
    at = 0
    for cut in cuts:
        events += splitter.feed(stream[at : at + cut])
        at += cut
    events += splitter.feed(stream[at:])
    assert b"".join(events) + splitter.rest == stream
    read = [parsed.data.decode() for event in events if (parsed := parse(event)) is not None]
    assert read == texts


def test_a_name_and_several_data_lines() -> None:
    """The event's name is read, and its data lines join with a line feed."""
    assert parse(b"event: ping\ndata: a\ndata:b\nid: 7\n\n") == SseEvent("ping", b"a\nb")


@pytest.mark.parametrize("event", [b": heartbeat\n\n", b"event: x\n\n", b"retry: 5\n\n"])
def test_events_without_data_mean_nothing(event: bytes) -> None:
    """Comments and events without data are nobody's event, as the grammar says."""
    assert parse(event) is None


def test_an_endless_event_is_refused_at_the_limit() -> None:
    """An event may be as large as the limit and not a byte larger."""
    splitter = EventSplitter()
    assert splitter.feed(b"x" * MAX_EVENT_BYTES) == []
    with pytest.raises(UpstreamFailed, match="larger than"):
        splitter.feed(b"x")


def test_events_before_an_endless_one_are_not_lost() -> None:
    """What is whole in the chunk in which a too long event begins still comes out."""
    splitter = EventSplitter()
    assert splitter.feed(b"data: a\n\n" + b"x" * (MAX_EVENT_BYTES + 1)) == [b"data: a\n\n"]
    with pytest.raises(UpstreamFailed, match="larger than"):
        splitter.feed(b"x")


def test_the_largest_event_may_come_in_small_chunks() -> None:
    """Many small chunks of one event cost no more than their bytes: with a copy for each this would take minutes."""
    splitter = EventSplitter()
    chunk = b"x" * 512
    for _ in range(MAX_EVENT_BYTES // len(chunk)):
        assert splitter.feed(chunk) == []
    (event,) = splitter.feed(b"\r\n\r\ndata")
    assert len(event) == MAX_EVENT_BYTES + 4
    assert splitter.rest == b"data"


def test_a_comment_cannot_break_out_of_its_line() -> None:
    """Our own comments are one ASCII line."""
    assert comment("cost ½") == b": cost ?\n\n"
