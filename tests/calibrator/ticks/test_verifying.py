"""Verification of traffic: a sampled share, once each, under the day's cap, with what it cost on record."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from calibrator.ticks.verifying import OLDEST_S, SETTLING_S, Desk, opened, tick, verify
from calibrator.verifying import ENDPOINT, is_sampled
from gateway.dialects.json_bytes import dumps
from gateway.domain.identity import id_time
from gateway.domain.money import Usd, usd
from gateway.domain.outcome import Outcome
from gateway.domain.plan import Plan
from gateway.domain.policy_version import PolicyVersion
from gateway.domain.record import RequestRecord, Result, StoredText
from gateway.policy.document import VerifyDocument
from gateway.policy.reading import read_policy
from gateway.settings import Settings, load, places
from gateway.store.base import locate
from gateway.store.changes import Changes
from gateway.store.policies import PolicyVersions
from gateway.store.requests import Filter, Requests
from gateway.store.schema import upgrade
from gateway.store.sinks import open_sink
from gateway.store.verifications import CALIBRATOR
from tests.store.records import FULL, NOON, identity, request
from tests.store.tenants import OPERATOR
from tests.upstreams.openai_server import KEY, OpenAIServer
from tests.upstreams.replies import Counts, Reply

assert FULL.plan is not None
PLAN: Plan = replace(FULL.plan, policy="work", is_observed=False)
COST = usd("0.001002")
"""Of one verdict: 1,000 tokens in and 1 out."""
TODAY = "2026-11-22"


class Judges(OpenAIServer):
    """A model that says one word, whatever it is asked."""

    says = "Yes"

    def next_reply(self, model: str) -> Reply:
        return Reply(text=self.says, counts=Counts(prompt=1_000, cached=0, completion=1))


@dataclass(slots=True)
class Clock:
    """Time that a test sets; every look at the stopwatch takes ``step_s``."""

    at: float = NOON + 3_600
    step_s: float = 0.0
    ran_s: float = 0.0

    def now(self) -> float:
        return self.at

    def monotonic(self) -> float:
        self.ran_s += self.step_s
        return self.ran_s


@dataclass(slots=True)
class World:
    """A database with traffic, and a judge."""

    home: Path
    server: Judges
    clock: Clock = field(default_factory=Clock)
    price: dict[str, Any] = field(default_factory=lambda: {"input_per_mtok": 1, "output_per_mtok": 2})

    @property
    def settings(self) -> Settings:
        return Settings.model_validate(
            {
                "upstreams": {"there": {"kind": "openai", "base_url": f"{self.server.address}/v1", "api_key_env": "K"}},
                "models": {"gpt-4.1-mini": {"upstream": "there", "price": self.price}},
                "verifiers": {"judge": {"kind": "judge", "model": "gpt-4.1-mini", "logprobs": False}},
            }
        )

    @property
    def url(self) -> str:
        return f"sqlite+aiosqlite:///{self.home / 'ponder.db'}"

    @asynccontextmanager
    async def desk(self) -> AsyncIterator[Desk]:
        where = places({"PONDER_HOME": str(self.home), "PONDER_CONFIG": str(self.home / "ponder.yaml")})
        async with opened(where, self.settings, {"K": KEY}, self.clock) as desk:
            yield desk

    async def keep(self, *records: RequestRecord) -> None:
        sink = open_sink(locate(self.url))
        await sink.write(records)
        await sink.close()

    async def verify(self, *, share: float = 1.0, cap: str = "1", by: str = "judge") -> Usd:
        """One tick; what the day has cost so far."""
        wanted = VerifyDocument(share=share, by=by, spend_at_most_usd=Decimal(cap))
        async with self.desk() as desk:
            await verify(desk, {"work": wanted})
            return await desk.verifications.spent("work", day=TODAY)

    async def outcomes(self, numbers: Sequence[int]) -> dict[int, Outcome]:
        """Those that were found, by request."""
        found = {}
        async with self.desk() as desk:
            for number in numbers:
                begun = _begun(number)
                for each in await desk.outcomes.of_request(identity(number, begun), begun, key_id="default"):
                    found[number] = each
        return found

    async def outcomes_since(self, begun: float, number: int) -> Sequence[Outcome]:
        """Those of a request that began then."""
        async with self.desk() as desk:
            found = identity(number, begun)
            return await desk.outcomes.of_request(found, id_time(found) or 0, key_id="default")

    async def records(self) -> list[RequestRecord]:
        """Of the verifier's calls."""
        store = Requests(locate(self.url))
        found = await store.recent(Filter(key_id=CALIBRATOR), limit=100)
        kept = [await store.find(each.id) for each in found]
        await store.close()
        return [each for each in kept if each is not None]


@pytest.fixture
def server() -> Iterator[Judges]:
    """What the judge of these tests runs on."""
    with Judges() as running:
        yield running


@pytest.fixture
async def world(tmp_path: Path, server: Judges) -> World:
    """A home with an empty database, in which verification began when the clock did."""
    made = World(tmp_path, server)
    await upgrade(made.url)
    made.clock.at = NOON
    await made.verify()
    made.clock.at = NOON + 3_600
    return made


def _begun(number: int) -> float:
    return NOON + number


def _answered(number: int, *, answer: str = "It is 5.", **changes: Any) -> RequestRecord:
    begun = changes.get("started_at", _begun(number))
    body = {"model": "auto", "messages": [{"role": "user", "content": f"{number}+3?"}]}
    said = {
        "id": "x", "object": "chat.completion", "created": 1, "model": "m",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": answer}, "finish_reason": "stop"}],
    }  # fmt: skip
    text = changes.pop("text", StoredText(dumps(body), dumps(said)))
    known = {"started_at": begun, "plan": PLAN, "text": text, "model_asked": "auto", **changes}
    return replace(request(number), id=identity(number, begun), **known)


async def test_a_share_is_verified_with_its_chance_on_record(world: World) -> None:
    """Just the requests that any process would choose have an outcome; every verdict is a record with its cost."""
    numbers = range(60)
    await world.keep(*(_answered(number) for number in numbers))
    spent = await world.verify(share=0.3)
    chosen = {number for number in numbers if is_sampled(identity(number, _begun(number)), 0.3)}
    assert 5 < len(chosen) < 35
    found = await world.outcomes(numbers)
    assert found.keys() == chosen
    number, outcome = next(iter(found.items()))
    assert outcome == Outcome(
        identity(number, _begun(number)), "verifier:judge", 1.0, world.clock.at, CALIBRATOR, is_vouched=True,
        probability=0.3,
    )  # fmt: skip
    records = await world.records()
    assert {each.tags["request"] for each in records} == {each.request_id for each in found.values()}
    assert {(each.endpoint, each.cost, each.tags["verification"]) for each in records} == {(ENDPOINT, COST, "work")}
    assert spent == sum(each.cost for each in records)


async def test_nothing_is_verified_twice(world: World) -> None:
    """Neither by the next tick, nor by several at once; a share that grows verifies the others alone."""
    world.clock.at = NOON + 100
    await world.keep(*(_answered(number) for number in range(20)))
    await world.verify(share=0.5)
    once = len(world.server.requests)
    await asyncio.gather(*(world.verify(share=0.5) for _ in range(3)))
    assert len(world.server.requests) == once
    await world.verify(share=1.0)
    assert len(world.server.requests) == 20


async def test_a_request_that_comes_on_record_late_is_verified(world: World) -> None:
    """Though later ones have been by then; only what is a day old is let go."""
    world.clock.at = NOON + 100
    await world.keep(_answered(50))
    await world.verify()
    await world.keep(_answered(20))
    world.clock.at = NOON + 100 + SETTLING_S / 2
    await world.verify()
    assert (await world.outcomes(range(60))).keys() == {20, 50}
    world.clock.at = NOON + 70 + OLDEST_S
    await world.keep(_answered(60), _answered(80))
    await world.verify()
    assert (await world.outcomes(range(90))).keys() == {20, 50, 80}


async def test_the_day_ends_with_its_money(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """Not a cent more is spent; the rest waits for the next day, and then is verified."""
    await world.keep(*(_answered(number) for number in range(30)))
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            spent = await world.verify(cap="0.02")
    assert 5 * COST < spent <= usd("0.02")
    done = await world.outcomes(range(30))
    assert spent == len(done) * COST
    assert "the day's $0.02 for verification leave no more; answers wait for tomorrow" in caplog.text
    world.clock.at += 50_000  # past midnight
    await world.verify(cap="1")
    assert len(await world.outcomes(range(30))) == 30


async def test_an_answer_beyond_a_whole_day_holds_nobody_up(world: World) -> None:
    """One whose verdict may cost more than a day has is passed over."""
    await world.keep(_answered(1, answer="5" * 1_000_000), *(_answered(number) for number in range(2, 12)))
    await world.verify(cap="1")
    assert (await world.outcomes(range(12))).keys() == set(range(2, 12))


async def test_what_is_no_answer_in_words_is_passed_over(world: World) -> None:
    """Empty and unreadable ones cost nothing."""
    broken = StoredText(b"{}", b"not json")
    await world.keep(_answered(1, answer=" "), _answered(2, text=broken), _answered(3), _answered(4, text=None))
    assert await world.verify() == COST
    assert (await world.outcomes(range(5))).keys() == {3}


async def test_a_verdict_that_is_none_is_charged_whole(world: World) -> None:
    """The judge said neither yes nor no, and nobody can know what that cost: no outcome, and its ceiling is spent."""
    world.server.says = "Perhaps"
    await world.keep(_answered(1))
    spent = await world.verify()
    assert spent > COST
    (record,) = await world.records()
    assert (record.result, record.is_cost_complete, record.charged) == (Result.FAILED, False, spent)
    assert await world.outcomes(range(3)) == {}


async def test_answers_wait_for_a_verifier_that_is_away(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """Nothing is charged for calls that reached nobody; once it is back the answers are verified."""
    await world.keep(*(_answered(number) for number in range(20)))
    there = world.server
    with Judges() as gone:
        world.server = gone
    with caplog.at_level(logging.WARNING):
        assert await world.verify() == 0
    assert "policy work: nothing can be verified now" in caplog.text
    world.server = there
    world.clock.at += 10 * SETTLING_S
    await world.verify()
    assert len(await world.outcomes(range(20))) == 20


async def test_a_tick_ends_with_its_time(world: World) -> None:
    """The next one goes on where it stopped."""
    await world.keep(*(_answered(number) for number in range(30)))
    world.clock.step_s = 0.5
    await world.verify()
    first = len(await world.outcomes(range(30)))
    assert 0 < first < 30
    for _ in range(30):
        await world.verify()
    assert len(await world.outcomes(range(30))) == 30
    assert len(world.server.requests) == 30


@pytest.mark.parametrize(
    ("by", "price", "told"),
    [
        ("prm", {"input_per_mtok": 1, "output_per_mtok": 2}, "there is no verifier 'prm'"),
        ("judge", None, "has no price, so no cap can be kept"),
    ],
)
async def test_what_cannot_verify_is_told(
    world: World, caplog: pytest.LogCaptureFixture, by: str, price: Any, told: str
) -> None:
    """A verifier that is not configured, or that has no price, verifies nothing."""
    world.price = price
    settings = world.settings.models["gpt-4.1-mini"].model_copy(update={"name": "unlisted"})
    world_settings = world.settings.model_copy(update={"models": {"gpt-4.1-mini": settings}})
    await world.keep(_answered(1))
    where = places({"PONDER_HOME": str(world.home)})
    wanted = VerifyDocument(share=1.0, by=by, spend_at_most_usd=Decimal(1))
    async with opened(where, world_settings, {"K": KEY}, world.clock) as desk:
        await verify(desk, {"work": wanted})
    assert told in caplog.text
    assert world.server.requests == []


async def test_the_tick_reads_policies_and_environment(
    world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A policy's `calibrate.verify` is all that it takes, while that version of it is in force."""
    config = tmp_path / "ponder.yaml"
    config.write_text(world.settings.model_dump_json(exclude_unset=True))
    folder = tmp_path / "policies" / "work"
    folder.mkdir(parents=True)
    said = (
        "policy: work\narms: {fast: {model: gpt-4.1-mini}}\n"
        "defaults: {arm: fast, reference: fast, max_cost_usd: 0.1}\nstore_text: true\n"
        "calibrate: {every: 1d, spend_at_most_usd: 1, verify: {share: 1, by: judge, spend_at_most_usd: 1}}\n"
    )
    (folder / "policy.yaml").write_text(said)
    monkeypatch.setenv("K", KEY)
    where = places({"PONDER_HOME": str(tmp_path), "PONDER_CONFIG": str(config)})
    await tick(where, load(config))
    begun = time.time() - 60
    await world.keep(_answered(1, started_at=begun))
    await tick(where, load(config))
    (found,) = await world.outcomes_since(begun, 1)
    assert (found.score, found.probability) == (1.0, 1.0)
    await _roll_back(world, said.partition("calibrate")[0], said)
    await world.keep(_answered(2, started_at=begun + 1))
    await tick(where, load(config))
    assert not await world.outcomes_since(begun + 1, 2)


async def _roll_back(world: World, *said: str) -> None:
    """Let a policy's file have said these, one after the other, and go back to the one before the last."""
    changes = Changes(locate(world.url))
    for each in (read_policy("work", text) for text in said):
        version = PolicyVersion("work", each.digest, each.text, NOON)
        await PolicyVersions(changes).record([version], at=NOON)
    await PolicyVersions(changes).roll_back("work", to=None, by=OPERATOR)
    await changes.close()
