"""Priorities at a vLLM that schedules by them: a key's own, whatever its requests say."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from gateway.domain.key import Priority
from gateway.flow.house import House
from gateway.flow.serve import serve_ask
from tests.flow.scripted import Kept, arrival
from tests.flow.searching_house import KEY, ScriptedVerifier, searching_house
from tests.upstreams.searched_vllm import SearchedVllm


@pytest.fixture(name="server")
async def _server() -> AsyncIterator[SearchedVllm]:
    async with SearchedVllm(lambda _prompt, _seed: "2+2=4\nA:4") as running:
        yield running


async def _ranks(server: SearchedVllm, *, by_priority: bool, of: Priority, arm: str, **members: Any) -> set[Any]:
    """The priorities that the server was told."""
    house = searching_house(server, Kept(), verifier=ScriptedVerifier(lambda _step: 0.5))
    _schedule(house, by_priority=by_priority)
    ask = arrival(next(iter(house.catalog.upstreams["gpu"].dialects)), is_stream=False, model=arm, **members).ask
    await serve_ask(replace(ask, model=arm, started=house.clock.monotonic()), replace(KEY, priority=of), house)
    return {body.get("priority") for path, body in server.asked if path != "/tokenize"}


def _schedule(house: House, *, by_priority: bool) -> None:
    terms = replace(house.catalog.terms["gpu"], by_priority=by_priority)
    house.catalog = replace(house.catalog, terms={"gpu": terms})


@pytest.mark.parametrize("arm", ["reasoner", "arm:one", "arm:vote", "arm:beam"])
@pytest.mark.parametrize(("priority", "rank"), [(Priority.INTERACTIVE, 0), (Priority.BACKGROUND, 1)])
async def test_calls_have_the_rank_of_their_key(server: SearchedVllm, arm: str, priority: Priority, rank: int) -> None:
    """Single calls, whole draws and steps: background keys come after all others."""
    assert await _ranks(server, by_priority=True, of=priority, arm=arm) == {rank}


@pytest.mark.parametrize("arm", ["reasoner", "arm:vote", "arm:beam"])
async def test_no_request_ranks_itself(server: SearchedVllm, arm: str) -> None:
    """A client that asks to go before everybody is served at its key's rank."""
    asked = await _ranks(server, by_priority=True, of=Priority.BACKGROUND, arm=arm, priority=-100)
    assert asked == {1}


async def test_a_server_that_knows_no_priorities_is_told_none(server: SearchedVllm) -> None:
    """It would refuse every number but 0."""
    assert await _ranks(server, by_priority=False, of=Priority.BACKGROUND, arm="arm:vote") == {None}
