"""A policy whose profile is tried on a share of conversations, and traffic that was decided by it."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from sqlalchemy import text

from calibrator.in_force import InForce
from calibrator.ticks.guarding import Desk, guard, opened
from gateway.domain.money import usd
from gateway.domain.outcome import Outcome
from gateway.domain.profile import Canary, Profile
from gateway.domain.record import RequestRecord, Result
from gateway.domain.rollout import CanaryStanding, Rollout
from gateway.policy.document import CalibrateDocument
from gateway.store.base import Database, locate, open_async
from gateway.store.connections import Connections
from gateway.store.outcomes import Outcomes
from gateway.store.schema import upgrade
from gateway.store.sinks import open_sink
from tests.policy.world import NOW, ask, plan, predicted, ready
from tests.store.profiles import document
from tests.store.records import NOON, identity, request
from tests.store.tenants import OPERATOR

POLICY = ready()
RULE = next(rule for rule in POLICY.rules if rule.is_calibrated)
NEVER = NOON + 9e8
MINUTE_S = 60.0
GUARD = {"margin": 0.1, "risk": 0.1, "min_outcomes": 30, "timeout": "1d"}
CALIBRATE = {"every": "1d", "spend_at_most_usd": 1, "canary": [0.2, 0.5, 1], "guard": GUARD}


@dataclass(slots=True)
class Clock:
    """Time that a test sets; every look at the stopwatch takes ``step_s``."""

    at: float = NOON
    step_s: float = 0.0
    ran_s: float = 0.0

    def now(self) -> float:
        return self.at

    def monotonic(self) -> float:
        self.ran_s += self.step_s
        return self.ran_s


@dataclass(frozen=True, slots=True)
class Behaviour:
    """How a version's answers go."""

    accuracy: float = 0.8
    failing: float = 0.0
    total_s: float = 1.0
    cost_usd: str = "0.01"


USUAL = Behaviour()


@dataclass(slots=True)
class Site:
    """Two versions of a profile: 1, in force, answers mathematics by ``think``, and 2, which is tried, by ``fast``."""

    database: Database
    desk: Desk
    clock: Clock
    calibrate: CalibrateDocument = field(default_factory=lambda: CalibrateDocument.model_validate(CALIBRATE))
    random: random.Random = field(default_factory=lambda: random.Random(1))
    requests: int = 0

    @property
    def policies(self) -> Mapping[str, InForce]:
        """The one policy, as the configuration has it."""
        return {"work": InForce(POLICY, self.calibrate)}

    async def publish(self, number: int, cells: Mapping[tuple[str, str | None], str], **changes: float | str) -> None:
        """Publish a version that certifies these arms."""
        digest = str(changes.get("rule_digest", RULE.certificate_digest))
        said = document("work", rule=RULE.name, rule_digest=digest, cells=cells)
        expires_at = float(changes.get("expires_at", NEVER))
        await self.desk.profiles.publish(said, number=number, expires_at=expires_at, by=OPERATOR)

    async def begin(self, share: float = 0.2) -> CanaryStanding:
        """Try version 2."""
        by = replace(OPERATOR, at=self.clock.at)
        return await self.desk.rollouts.begin_canary("work", 2, share=share, by=by)

    async def rollout(self) -> Rollout:
        """What is in force."""
        return await self.desk.rollouts.find("work")

    async def last(self) -> CanaryStanding:
        """The canary that was begun last."""
        (canary,) = await self.desk.rollouts.canaries("work", limit=1)
        return canary

    async def traffic(
        self,
        count: int,
        new: Behaviour = USUAL,
        old: Behaviour = USUAL,
        *,
        category: str = "math",
        is_judged: bool = True,
    ) -> list[RequestRecord]:
        """Requests of as many new conversations over the next minutes, decided as a gateway decides them."""
        rollout = await self.rollout()
        assert rollout.canary is not None
        versions = {1: await self.desk.profiles.find("work", 1), 2: await self.desk.profiles.find("work", 2)}
        current = None if rollout.number is None else versions[rollout.number].version()
        profile = Profile("work", current, Canary(versions[2].version(), rollout.canary.share))
        made = [self._request(profile, category, number / count, new, old) for number in range(count)]
        await self.keep(made)
        if is_judged:
            await self.judge([self._outcome(each, new, old) for each in made if each.result is Result.ANSWERED])
        self.clock.at += 10 * MINUTE_S
        return made

    async def keep(self, records: Sequence[RequestRecord]) -> None:
        """Put requests on record."""
        sink = open_sink(self.database)
        await sink.write(records)
        await sink.close()

    async def judge(self, outcomes: Sequence[Outcome]) -> None:
        """Put on record what was found of answers."""
        connections = Connections(self.database, most=1)
        await Outcomes(connections).add(outcomes)
        await connections.close()

    async def run(self, statement: str) -> None:
        """Change what never changes."""
        engine = open_async(self.database, connections=1)
        async with engine.begin() as connection:
            await connection.execute(text(statement))
        await engine.dispose()

    async def tick(self) -> None:
        """What the guard does when it is called."""
        running = [each.canary for each in (await self.desk.rollouts.all()).values() if each.canary is not None]
        await guard(self.desk, running, self.policies)

    def _request(self, profile: Profile, category: str, part: float, new: Behaviour, old: Behaviour) -> RequestRecord:
        self.requests += 1
        started_at = round(self.clock.at + part * MINUTE_S, 3)
        snapshots = replace(NOW, now=started_at, canary_bucket=self.random.random())
        decided = plan(POLICY, ask(predicted(category)), snapshots, profile)
        how = new if is_new(decided.facts) else old
        return request(
            self.requests,
            id=identity(self.requests, started_at),
            started_at=started_at,
            plan=decided,
            result=Result.FAILED if self.random.random() < how.failing else Result.ANSWERED,
            total_s=how.total_s * (0.5 + self.random.random()),
            cost=usd(how.cost_usd),
        )

    def _outcome(self, record: RequestRecord, new: Behaviour, old: Behaviour) -> Outcome:
        assert record.plan is not None
        how = new if is_new(record.plan.facts) else old
        return outcome(record, float(self.random.random() < how.accuracy))


def outcome(record: RequestRecord, score: float, **changes: object) -> Outcome:
    """What a user found of a request, half a minute later."""
    said = Outcome(record.id, "user", score, record.started_at + 30, record.key_id, is_vouched=False)
    return replace(said, **changes)  # type: ignore[arg-type]


def is_new(facts: Mapping[str, object]) -> bool:
    """Whether a conversation drew the version that is tried, by its record."""
    drawn = facts["canary"]
    assert isinstance(drawn, Mapping)
    return bool(drawn["bucket"] < drawn["share"])


@asynccontextmanager
async def built(folder: Path, **changes: float | str) -> AsyncIterator[Site]:
    """A site in an SQLite file; version 1 is in force. ``changes`` are of version 2."""
    url = f"sqlite:///{folder}/ponder.db"
    await upgrade(url)
    clock = Clock()
    async with opened(locate(url), clock) as desk:
        made = Site(locate(url), desk, clock)
        await made.publish(1, {("math", None): "think", ("code", None): "think"})
        await made.publish(2, {("math", None): "fast", ("code", None): "think"}, **changes)
        await desk.rollouts.activate("work", 1, reason="calibrated", by=OPERATOR)
        yield made
