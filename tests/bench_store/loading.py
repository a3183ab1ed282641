"""Filling the tables: requests of thirty days with one call each, made inside the server by ``generate_series``.

The rows are as wide as those of `auto`: each has the plan of one of some hundred decisions, written as the gateway
writes it. Times are even over the days; sums of the traffic are left to the product to make.
"""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from gateway.domain.arm import Arm
from gateway.domain.identity import new_request_id
from gateway.domain.money import usd
from gateway.domain.plan import Ceilings, Dropped, Plan
from gateway.domain.record import RequestRecord
from gateway.domain.tenancy import KeyTerms, TeamTerms
from gateway.store.base import Database, open_async
from gateway.store.changes import Changes
from gateway.store.keys import Keys
from gateway.store.partitions import PARTITIONED, make_ahead, partitions_of
from gateway.store.rows import POSTGRES, add_rows, empty_batch
from gateway.store.teams import Teams
from tests.store.records import call, request
from tests.store.tenants import ADMIN, secret

DAYS: Final = 30
DAY_S: Final = 86_400.0
KEYS: Final = tuple(f"key_{number:02d}" for number in range(40))
ARMS: Final = ("fast", "think", "think-hard", "vote")
CATEGORIES: Final = ("math", "code", "extraction", "chat", "knowledge", "summarization")
MODELS: Final = {"fast": "haiku", "think": "sonnet", "think-hard": "sonnet", "vote": "local"}
_TEAMS: Final = 5
_SEED: Final = 7
_TEMPLATES: Final = 400
_REQUEST_COLUMNS: Final = tuple(column.name for column in PARTITIONED[0].columns)
_DRAW_COLUMNS: Final = tuple(column.name for column in PARTITIONED[1].columns)
_MADE_ANEW: Final = {
    "started_at": "made.at",
    "id": "made.id",
    "total_s": "made.total_s",
    "first_byte_s": "CASE WHEN is_stream THEN made.first_byte_s END",
    "result": "CASE WHEN is_late THEN 'timed_out' ELSE result END",
}
_MADE_ANEW_OF_CALL: Final = {
    "started_at": "made.at",
    "request_id": "made.id",
    "called_at": "made.at",
    "total_s": "made.total_s",
    "first_byte_s": "CASE WHEN is_stream THEN made.first_byte_s END",
    "result": "CASE WHEN is_late THEN 'timed_out' ELSE d_result END",
}
"""What differs from row to row; the rest comes from one of the decisions."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """What was written, how long that took, and how long the server then took to tidy up."""

    requests: int
    draws: int
    write_s: float
    tidy_s: float


def record(number: int, started_at: float, draw: random.Random) -> RequestRecord:
    """A request as the gateway records it for `auto`, with one call."""
    arm, category = draw.choice(ARMS), draw.choice(CATEGORIES)
    model = MODELS[arm]
    chosen = Arm(arm, model, effort="medium" if arm.startswith("think") else None)
    cost = usd(draw.choice(("0.000123", "0.0021", "0.0154")))
    plan = Plan(
        arm=chosen,
        ceilings=Ceilings(usd("0.25"), 4096, 60.0),
        reasons=(f"the rule for {category}", "calibrated: the cheapest arm whose loss is certified"),
        dropped=(Dropped("tree", "its verifier is not configured"),),
        policy="default",
        policy_digest="sha256:6b2f0c1e7a9d",
        profile_version=3,
        category=category,
        difficulty=draw.choice(("easy", "medium", "hard")),
        propensities={arm: 0.97, "think": 0.03},
        rule="checkable work follows the calibrated profile",
        fallbacks=(Arm("think", "sonnet", effort="medium"), Arm("fast", "haiku")),
        estimated_cost=cost,
        facts={"category": category, "tokens": 120, "p_success": round(draw.random(), 4), "stream": True},
    )
    made = request(
        number,
        started_at=started_at,
        key_id=draw.choice(KEYS),
        model_asked="auto",
        stream=draw.random() < 0.5,
        cost=cost,
        plan=plan,
        tags={"app": draw.choice(("tutor", "search", "agent"))},
        finish="stop",
        calls=(call(upstream="hosted", model=model, cost=cost, started_at=started_at),),
    )
    return replace(made, id=new_request_id(started_at))


async def create_tenants(database: Database) -> None:
    """The teams and keys that the requests are of."""
    changes = Changes(database)
    teams, keys = Teams(changes), Keys(changes)
    for number in range(_TEAMS):
        await teams.create(f"team_{number}", TeamTerms(f"team {number}"), by=ADMIN)
    for number, key_id in enumerate(KEYS):
        terms = KeyTerms(f"key {number}", team_id=f"team_{number % _TEAMS}")
        await keys.create(key_id, terms, secret(number), by=ADMIN)
    await changes.close()


async def load(database: Database, requests: int, now: float, say: Callable[[str], None]) -> Loaded:
    """Write so many requests, and as many calls, spread over the days before ``now``."""
    engine = open_async(database, connections=1, patience_s=3600.0)
    await _make_days(engine, now)
    async with engine.begin() as connection:
        await _write_templates(connection)
    begun, start = time.monotonic(), now - DAYS * DAY_S
    per_day = requests // DAYS
    for day in range(DAYS):
        async with engine.begin() as connection:
            await connection.exec_driver_sql("SET LOCAL statement_timeout = 0")
            await connection.exec_driver_sql("SET LOCAL synchronous_commit = off")
            first = datetime.fromtimestamp(start + day * DAY_S, UTC)
            await connection.exec_driver_sql(_WRITE, (first, per_day))
        say(f"loading: {day + 1} of {DAYS} days")
    written = time.monotonic()
    async with engine.connect() as connection:
        alone = await connection.execution_options(isolation_level="AUTOCOMMIT")
        await alone.execute(text("SET statement_timeout = 0"))
        await alone.execute(text("DROP TABLE templates"))
        await alone.execute(text("VACUUM ANALYZE requests, draws"))
    await engine.dispose()
    return Loaded(per_day * DAYS, per_day * DAYS, written - begun, time.monotonic() - written)


async def _make_days(engine: AsyncEngine, now: float) -> None:
    """Partitions for the days that are over: of an empty database, the one for all that was before is in their way."""
    async with engine.begin() as connection:
        for table in PARTITIONED:
            for part in await partitions_of(connection, table):
                if not part.is_day and part.ends is not None:
                    await connection.execute(text(f"DROP TABLE {part.name}"))
    for week in itertools.count():
        moment = now - DAYS * DAY_S + week * 7 * DAY_S
        await make_ahead(engine, min(moment, now))
        if moment >= now:
            return


async def _write_templates(connection: AsyncConnection) -> None:
    """The decisions that rows are made of, as a table with all columns of both, those of the call with a ``d_``."""
    draw, batch = random.Random(_SEED), empty_batch()
    add_rows(batch, (record(number, 0.0, draw) for number in range(_TEMPLATES)), POSTGRES)
    await connection.execute(text("DROP TABLE IF EXISTS templates"))
    await connection.execute(
        text(
            "CREATE TABLE templates AS SELECT 0 AS n, r.*, d.* FROM (SELECT * FROM requests LIMIT 0) r, "
            f"(SELECT {', '.join(f'{name} AS d_{name}' for name in _DRAW_COLUMNS)} FROM draws LIMIT 0) d"
        )
    )
    marks = ", ".join(f"${number + 1}" for number in range(1 + len(_REQUEST_COLUMNS) + len(_DRAW_COLUMNS)))
    pairs = zip(batch.requests, batch.draws, strict=True)
    rows = [(number, *whole, *part) for number, (whole, part) in enumerate(pairs)]
    await connection.exec_driver_sql(f"INSERT INTO templates VALUES ({marks})", rows)


_WRITE: Final = f"""
WITH made AS MATERIALIZED (
    SELECT at, uuidv7(at - clock_timestamp()) AS id, kind, 0.2 - 3 * ln(1 - random()) AS total_s,
           0.1 + random() / 2 AS first_byte_s, random() < 0.0005 AS is_late
    FROM (SELECT $1::timestamptz + (number + random()) * (interval '1 day' / $2::integer) AS at,
                 mod(number * 7919::bigint, {_TEMPLATES}) AS kind
          FROM generate_series(0, $2::integer - 1) number) moments),
whole AS (
    INSERT INTO requests ({", ".join(_REQUEST_COLUMNS)})
    SELECT {", ".join(_MADE_ANEW.get(name, f"templates.{name}") for name in _REQUEST_COLUMNS)}
    FROM made JOIN templates ON templates.n = made.kind)
INSERT INTO draws ({", ".join(_DRAW_COLUMNS)})
SELECT {", ".join(_MADE_ANEW_OF_CALL.get(name, f"templates.d_{name}") for name in _DRAW_COLUMNS)}
FROM made JOIN templates ON templates.n = made.kind
"""
"""The requests of a day from $1 on, $2 of them, and their calls."""
