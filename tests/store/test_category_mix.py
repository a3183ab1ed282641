"""The mix of categories of a policy's traffic, from a sample."""

from __future__ import annotations

from dataclasses import replace

from gateway.store.base import Database
from gateway.store.category_mix import category_mix
from gateway.store.connections import Connections
from gateway.store.sinks import Sink
from tests.store.records import DAY_S, FULL, NOON, request


async def test_the_mix_is_that_of_the_policys_own_traffic(database: Database, sink: Sink) -> None:
    """Begun in the period; those that name their arm, and those of other policies, are left out."""
    assert FULL.plan is not None
    plan = replace(FULL.plan, policy="default")
    spread = [("math", plan, "auto")] * 6 + [("code", plan, "auto")] * 3
    others = [("math", plan, "arm:fast"), ("math", replace(plan, policy="thrift"), "auto")]
    records = [
        request(number, started_at=NOON + number * 3_600, plan=replace(each, category=category), model_asked=asked)
        for number, (category, each, asked) in enumerate([*spread, *others])
    ]
    await sink.write([*records, request(99, started_at=NOON + DAY_S, plan=plan)])
    connections = Connections(database, most=1)
    assert await category_mix(connections, "default", since=NOON, until=NOON + DAY_S) == {"math": 6, "code": 3}
    await connections.close()
