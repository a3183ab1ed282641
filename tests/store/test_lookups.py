"""Tests of gateway/store/lookups.py: where stored responses are, those of other gateways included."""

from __future__ import annotations

import asyncio

from gateway.domain.record import RequestRecord
from gateway.ports import AnswerHome
from gateway.store.lookups import FreshRequests, StoredAnswers
from gateway.store.requests import Requests
from gateway.store.sinks import Sink
from tests.store.records import request

HOME = AnswerHome("openai", "default")


async def test_a_response_made_here_is_known_at_once(store: Requests) -> None:
    """What was just answered is remembered before its record is in the database."""
    answers = StoredAnswers(store)
    answers.remember("resp_1", HOME)
    assert await answers.home_of("resp_1") == await answers.home_soon("resp_1") == HOME


async def test_a_response_on_record_is_known(store: Requests, sink: Sink) -> None:
    """An earlier process's responses are found in the database."""
    await sink.write([request(1, answer_id="resp_1")])
    assert await StoredAnswers(store).home_of("resp_1") == HOME


async def test_a_record_on_its_way_is_waited_for(store: Requests, sink: Sink) -> None:
    """A response that another gateway made is found as soon as its record is there; one look does not wait."""
    answers = StoredAnswers(store, pauses_s=(0.001,) * 10_000)
    assert await answers.home_of("resp_1") is None
    async with asyncio.timeout(20):
        found = asyncio.create_task(answers.home_soon("resp_1"))
        await sink.write([request(1, answer_id="resp_1")])
        assert await found == HOME


async def test_what_nobody_made_is_waited_for_in_vain(store: Requests) -> None:
    """After the last look the response is unknown."""
    assert await StoredAnswers(store, pauses_s=(0.001, 0.001)).home_soon("resp_1") is None


class _Journal:
    """Records that reach the database when they are waited for."""

    def __init__(self, sink: Sink, *records: RequestRecord) -> None:
        self._sink = sink
        self._records = records

    @property
    def waiting(self) -> int:
        """How many have not been waited for."""
        return len(self._records)

    async def flush(self) -> None:
        """Wait for them."""
        moved, self._records = self._records, ()
        await self._sink.write(moved)


async def test_requests_are_found_by_their_answers_too(store: Requests, sink: Sink) -> None:
    """By Ponder's id and by that of the answer, also while their records are on their way; others are not there."""
    first, second = request(1, answer_id="resp_1"), request(2, answer_id="resp_2")
    assert await FreshRequests(store, _Journal(sink, first)).find_by_answer("resp_1") == first
    fresh = FreshRequests(store, _Journal(sink, second))
    assert await fresh.find(second.id) == second
    assert await fresh.find_by_answer("resp_2") == second
    assert await fresh.find_by_answer("resp_3") is None
    assert await fresh.find(request(3).id) is None
