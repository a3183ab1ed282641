"""Reading in batches: what goes together, who waits for whom, who pays, and what is cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.adapters.verifiers.batching import Asked, Batches, Told, apportioned, shares
from gateway.adapters.verifiers.passages import Passage
from gateway.domain.usage import Usage
from gateway.errors import UpstreamFailed, UpstreamTimedOut
from tests.adapters.raw_server import until

PATIENCE_S = 20.0


class Reader:
    """Scores a passage by its length, once the gate is open."""

    def __init__(self) -> None:
        self.calls: list[tuple[list[str], str, float]] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.fault: Exception | None = None
        self.cancelled = 0

    async def __call__(self, passages: Sequence[Passage], salt: str, deadline_s: float) -> Sequence[Told]:
        self.calls.append(([each.text for each in passages], salt, deadline_s))
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if self.fault is not None:
            raise self.fault
        return [Told((float(len(each.text)),), Usage(input_tokens=1)) for each in passages]


def asked(*texts: str) -> list[Asked]:
    """Passages that are known by their text."""
    return [Asked(text.encode(), Passage(text)) for text in texts]


async def test_what_comes_at_the_same_time_goes_in_one_call() -> None:
    """Chains that are scored at about the same time share a call; each gets its own scores."""
    reader = Reader()
    batches = Batches("prm", reader, most=8)
    told = await asyncio.gather(
        batches.read(asked("a", "bb"), salt="s", deadline_s=PATIENCE_S),
        batches.read(asked("ccc"), salt="s", deadline_s=PATIENCE_S),
    )
    assert [[each.scores for each in every] for every in told] == [[(1.0,), (2.0,)], [(3.0,)]]
    assert [texts for texts, _, _ in reader.calls] == [["a", "bb", "ccc"]]


async def test_a_full_batch_does_not_wait() -> None:
    """So many texts go into a call, and the rest into the next."""
    reader = Reader()
    batches = Batches("prm", reader, most=2, wait_s=PATIENCE_S)
    await batches.read(asked("a", "b", "c", "d"), salt="s", deadline_s=PATIENCE_S)
    assert [texts for texts, _, _ in reader.calls] == [["a", "b"], ["c", "d"]]


async def test_tenants_share_no_call() -> None:
    """A call has one salt."""
    reader = Reader()
    batches = Batches("prm", reader, most=8)
    await asyncio.gather(
        batches.read(asked("a"), salt="s1", deadline_s=PATIENCE_S),
        batches.read(asked("b"), salt="s2", deadline_s=PATIENCE_S),
    )
    assert [(texts, salt) for texts, salt, _ in reader.calls] == [(["a"], "s1"), (["b"], "s2")]


async def test_one_pays_for_what_several_ask() -> None:
    """What is under way is not asked for again; of those who wait for it, one is charged."""
    reader = Reader()
    reader.gate.clear()
    batches = Batches("prm", reader, most=1)
    first = asyncio.create_task(batches.read(asked("a"), salt="s", deadline_s=PATIENCE_S))
    await until(lambda: reader.calls)
    second = asyncio.create_task(batches.read(asked("a"), salt="s", deadline_s=PATIENCE_S))
    await asyncio.sleep(0)
    reader.gate.set()
    assert [each.is_charged for each in (*await first, *await second)] == [True, False]
    assert len(reader.calls) == 1


async def test_who_is_left_pays() -> None:
    """When the first asker gives up, the call goes on for the second, who is charged."""
    reader = Reader()
    reader.gate.clear()
    batches = Batches("prm", reader, most=1)
    first = asyncio.create_task(batches.read(asked("a"), salt="s", deadline_s=PATIENCE_S))
    await until(lambda: reader.calls)
    second = asyncio.create_task(batches.read(asked("a"), salt="s", deadline_s=PATIENCE_S - 1))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.wait({first})
    reader.gate.set()
    assert [each.is_charged for each in await second] == [True]
    assert reader.cancelled == 0


async def test_a_call_that_nobody_waits_for_is_cancelled() -> None:
    """Only once all askers of a call have given up is it cancelled."""
    reader = Reader()
    reader.gate.clear()
    batches = Batches("prm", reader, most=2, wait_s=PATIENCE_S)
    asking = [asyncio.create_task(batches.read(asked(text), salt="s", deadline_s=PATIENCE_S)) for text in "ab"]
    await until(lambda: reader.calls)
    asking[0].cancel()
    await asyncio.wait({asking[0]})
    assert reader.cancelled == 0
    asking[1].cancel()
    await asyncio.wait({asking[1]})
    await until(lambda: reader.cancelled)


async def test_what_is_given_up_before_it_is_sent_is_not_sent() -> None:
    """A text that nobody waits for any more leaves the batch that fills; the last one takes the batch with it."""
    reader = Reader()
    batches = Batches("prm", reader, most=2, wait_s=PATIENCE_S)
    first = asyncio.create_task(batches.read(asked("a"), salt="s", deadline_s=PATIENCE_S))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.wait({first})
    await batches.read(asked("b", "c"), salt="s", deadline_s=PATIENCE_S)
    assert [texts for texts, _, _ in reader.calls] == [["b", "c"]]


async def test_a_batch_that_all_have_left_is_not_sent() -> None:
    """When the time of an empty batch comes there is no call."""
    reader = Reader()
    batches = Batches("prm", reader, most=2, wait_s=0.01)
    asking = asyncio.create_task(batches.read(asked("a"), salt="s", deadline_s=PATIENCE_S))
    await asyncio.sleep(0)
    asking.cancel()
    await asyncio.sleep(0.02)  # timers fire in their order: that of the batch is over by then
    assert reader.calls == []


async def test_each_has_its_own_deadline() -> None:
    """A call has the time of its most patient asker; the others give up at their own deadline."""
    reader = Reader()
    reader.gate.clear()
    batches = Batches("prm", reader, most=2)
    patient = asyncio.create_task(batches.read(asked("a"), salt="s", deadline_s=PATIENCE_S))
    await asyncio.sleep(0)
    with pytest.raises(UpstreamTimedOut, match="verifier prm did not answer in time"):
        await batches.read(asked("b"), salt="s", deadline_s=0.02)
    reader.gate.set()
    assert [each.scores for each in await patient] == [(1.0,)]
    ((texts, _, left_s),) = reader.calls
    assert texts == ["a", "b"]
    assert left_s > PATIENCE_S / 2


async def test_a_call_with_less_time_is_not_waited_for() -> None:
    """Who has more time than the call under way asks anew: that call may end for want of time."""
    reader = Reader()
    reader.gate.clear()
    batches = Batches("prm", reader, most=1)
    hasty = asyncio.create_task(batches.read(asked("a"), salt="s", deadline_s=PATIENCE_S))
    await until(lambda: reader.calls)
    patient = asyncio.create_task(batches.read(asked("a"), salt="s", deadline_s=2 * PATIENCE_S))
    await until(lambda: len(reader.calls) == 2)
    reader.gate.set()
    assert (await hasty)[0].is_charged
    assert (await patient)[0].is_charged


@pytest.mark.parametrize("fault", [UpstreamFailed("no"), ZeroDivisionError("ours")])
async def test_a_failure_is_everybodys(fault: Exception) -> None:
    """What a call raises is raised to all who wait for it, and the next one asks anew."""
    reader = Reader()
    reader.fault = fault
    batches = Batches("prm", reader, most=2)
    ended = await asyncio.gather(
        *(batches.read(asked(text), salt="s", deadline_s=PATIENCE_S) for text in "aab"), return_exceptions=True
    )
    assert ended == [fault] * 3
    reader.fault = None
    assert (await batches.read(asked("a"), salt="s", deadline_s=PATIENCE_S))[0].scores == (1.0,)


@given(st.integers(0, 10**9), st.lists(st.integers(0, 10**6), min_size=1, max_size=20))
def test_shares_add_up(total: int, weights: list[int]) -> None:
    """Whole parts add up to the whole, and none is a full one off from what its weight says."""
    parts = shares(total, weights)
    assert sum(parts) == total
    whole = sum(weights)
    for part, weight in zip(parts, weights, strict=True):
        assert whole == 0 or abs(part - total * weight / whole) < 1.001


def test_usage_goes_by_length() -> None:
    """What a call used is split by the length of what was read, cached tokens and written ones too."""
    usage = Usage(input_tokens=9, cached_tokens=3, output_tokens=2, raw={"prompt_tokens": 12})
    long, short = apportioned(usage, [Passage("aaaa", query="aa"), Passage("bbb")])
    assert long is not None
    assert short is not None
    assert (long.input_tokens, long.cached_tokens, long.output_tokens) == (6, 2, 1)
    assert (short.input_tokens, short.cached_tokens, short.output_tokens) == (3, 1, 1)
    assert apportioned(None, [Passage("a"), Passage("b")]) == [None, None]
    assert apportioned(usage, [Passage("a")]) == [usage]
