"""Searches whose verifier is deceived by many answers: they draw as many as its cap says, and tell so."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from gateway.adapters.graders.grading import Graders
from gateway.domain.ask import Hints
from gateway.domain.chat import Dialect
from gateway.domain.check import Kind, TruthCheck
from gateway.domain.record import RequestRecord
from gateway.flow.house import House
from gateway.flow.reply import Whole
from gateway.flow.serve import serve_ask
from gateway.policy.reading import read_policy
from gateway.settings import GraderSettings
from gateway.steering import put_in_force
from tests.flow.scripted import Kept, arrival
from tests.flow.searching_house import KEY, ask, searching_house
from tests.upstreams.searched_vllm import SearchedVllm

_ARMS = """
policy: default
arms:
  one: {model: reasoner}
  best: {model: reasoner, strategy: best_of_n, samples: 4, schedule: concurrent, verifier: prm}
  open: {model: reasoner, strategy: best_of_n, schedule: concurrent, verifier: prm}
  small: {model: reasoner, strategy: best_of_n, samples: 2, schedule: concurrent, verifier: prm}
  weighted: {model: reasoner, strategy: vote, samples: 4, weighted: true, stop: never, verifier: prm}
  plain: {model: reasoner, strategy: vote, samples: 4, stop: never}
  counted: {model: reasoner, strategy: vote, samples: 4, stop: never, verifier: prm}
  cascade: {cascade: [one, best], escalate_below: 0.99}
defaults: {arm: one, reference: one, max_cost_usd: 1}
"""
_SAID = "{}: {} \u2192 2 samples: more lower the accuracy that verifier prm gives"


@pytest.fixture
async def server() -> AsyncIterator[SearchedVllm]:
    """A reasoner of which no two draws agree."""
    async with SearchedVllm(lambda _prompt, seed: f"A:{seed}") as running:
        yield running


def _house(server: SearchedVllm, kept: Kept, *, caps: dict[str, int]) -> House:
    house = searching_house(server, kept)
    now = house.catalog
    policies = put_in_force({"default": read_policy("default", _ARMS)}, now.models, now.defaults, now.verifiers)
    house.catalog = replace(now, policies=policies, caps=caps)
    return house


async def _record(server: SearchedVllm, arm: str, caps: dict[str, int]) -> RequestRecord:
    kept = Kept()
    reply = await ask(_house(server, kept, caps=caps), arm)
    assert isinstance(reply, Whole)
    (record,) = kept.records
    return record


@pytest.mark.parametrize(
    ("arm", "strategy", "wanted"), [("best", "best_of_n", 4), ("open", "best_of_n", 8), ("weighted", "vote", 4)]
)
async def test_a_search_keeps_to_the_cap_and_says_so_once(
    server: SearchedVllm, arm: str, strategy: str, wanted: int
) -> None:
    """Whether the arm says how many samples it draws or leaves that open."""
    record = await _record(server, arm, {"prm": 2})
    assert record.search is not None
    assert len(record.search.draws) == 2
    assert record.degraded == (_SAID.format(strategy, wanted),)


@pytest.mark.parametrize(
    ("arm", "draws", "caps"),
    [
        ("best", 4, {}),
        ("best", 4, {"prm": 4}),
        ("best", 4, {"other": 1}),
        ("small", 2, {"prm": 2}),
        ("plain", 4, {"prm": 2}),
        ("counted", 4, {"prm": 2}),
    ],
)
async def test_others_draw_as_their_arms_say(server: SearchedVllm, arm: str, draws: int, caps: dict[str, int]) -> None:
    """Without a cap, with that of another verifier, with one that is not reached, and where no score decides."""
    record = await _record(server, arm, caps)
    assert record.search is not None
    assert len(record.search.draws) == draws
    assert record.degraded == ()


async def test_a_leg_of_a_cascade_keeps_to_the_cap(server: SearchedVllm) -> None:
    """As it would by itself."""
    record = await _record(server, "cascade", {"prm": 2})
    assert record.search is not None
    assert sum(draw.role == "best" for draw in record.search.draws) == 2
    assert _SAID.format("best_of_n", 4) in record.degraded


async def test_a_check_that_the_request_brings_along_has_no_cap(server: SearchedVllm) -> None:
    """A computed truth cannot be deceived."""
    kept = Kept()
    house = _house(server, kept, caps={"prm": 2})
    house.graders = Graders(GraderSettings())
    made = arrival(Dialect.OPENAI_CHAT, is_stream=False, model="arm:best").ask
    hints = Hints(verify=TruthCheck(Kind.EXACT, ("1",)))
    await serve_ask(replace(made, model="arm:best", started=house.clock.monotonic(), hints=hints), KEY, house)
    (record,) = kept.records
    assert record.search is not None
    assert (len(record.search.draws), record.degraded) == (4, ())
