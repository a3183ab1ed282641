"""Sums of the traffic by the hour: equal to the log whatever came when, and counted once."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from sqlalchemy import delete, insert, select

from gateway.domain.money import ZERO, from_nanos, usd
from gateway.domain.record import RequestRecord, Result
from gateway.domain.spread import joined
from gateway.store.base import Database
from gateway.store.conflicts import KeepingInsert
from gateway.store.connections import Connections
from gateway.store.requests import Filter, Grouping, Requests
from gateway.store.retention import Retention
from gateway.store.rollups import KEPT_S, Rollups, _Open, _replace_minute, _Tick
from gateway.store.sinks import Sink
from gateway.store.traffic import Traffic
from gateway.store.traffic_counts import HOUR_S, Facet, added, count, hour_of
from gateway.store.traffic_tables import traffic_hours, traffic_marks, traffic_minute_marks, traffic_minutes
from tests.store.records import BARE, DAY_S, FULL, NOON, call, identity, request

LATER = NOON + DAY_S


@pytest.fixture
async def connections(database: Database) -> AsyncIterator[Connections]:
    """Connections to the database."""
    connections = Connections(database, most=2)
    yield connections
    await connections.close()


@pytest.fixture
def rollups(connections: Connections) -> Rollups:
    """What sums up."""
    return Rollups(connections)


@pytest.fixture
def traffic(connections: Connections) -> Traffic:
    """What reads sums."""
    return Traffic(connections)


def some(number: int, at: float, draw: random.Random) -> RequestRecord:
    """A request of a random key, model, cost and end."""
    cost = usd(draw.choice(("0", "0.000000001", "0.25")))
    result = draw.choice([Result.ANSWERED, Result.ANSWERED, Result.FAILED, Result.DISCONNECTED])
    model = draw.choice(["small", "large"])
    is_known = draw.random() < 0.9
    one = call(model=model, cost=cost if is_known else None, result=result, started_at=at, total_s=draw.random() * 40)
    return request(
        number,
        started_at=at,
        key_id=draw.choice(["a", "b", "c"]),
        result=result,
        cost=cost if is_known else ZERO,
        is_cost_complete=is_known,
        calls=(one,) * draw.choice([0, 1, 2]),
        first_byte_s=draw.choice([None, draw.random()]),
        total_s=draw.random() * 100,
    )


async def check_equal(store: Requests, traffic: Traffic, since: float, until: float) -> None:
    """The sums by key and by model are those of the log."""
    by_key = {each.name: each for each in await traffic.sums(Facet.KEY, since, until)}
    for key_id in ("a", "b", "c"):
        totals = await store.totals(Filter(key_id=key_id, since=since, until=until))
        told = by_key.get(key_id)
        assert (totals.requests, totals.incomplete, totals.cost) == (
            (told.count, told.unpriced, told.cost) if told else (0, 0, ZERO)
        )
    spent = await store.spend(since=since, until=until, by=[Grouping.MODEL])
    by_model = {(each.place, each.name): each for each in await traffic.sums(Facet.MODEL, since, until)}
    assert by_model.keys() == {(group.upstream, group.model) for group in spent}
    for group in spent:
        told = by_model[group.upstream or "", group.model or ""]
        assert (told.count, told.unpriced, told.cost) == (group.calls, group.unpriced, group.cost)
        assert (told.prompt_tokens, told.output_tokens) == (group.prompt_tokens, group.output_tokens)


async def check_counted_anew(connections: Connections, since: float, until: float) -> None:
    """Every hour's sums are, in each field, what counting it whole finds."""
    async with connections.reading() as connection:
        hour = hour_of(since)
        while hour < until:
            stored = select(traffic_hours).where(traffic_hours.c.hour == hour)
            told = added((1, (await connection.execute(stored)).mappings().all()))
            found = added((1, await count(connection, hour, hour + HOUR_S)))
            assert sorted(told, key=str) == sorted(found, key=str)
            hour += HOUR_S


@pytest.mark.parametrize("seed", range(6))
async def test_sums_are_those_of_the_log(
    seed: int, sink: Sink, store: Requests, rollups: Rollups, connections: Connections
) -> None:
    """However batches, repetitions, late arrivals, counts and broken-off counts follow one another, the sums are the
    log's.
    """
    traffic = Traffic(connections)
    draw = random.Random(seed)
    now, number = LATER, 0
    written: list[RequestRecord] = []
    for _ in range(20):
        now += draw.choice([1.0, 20.0, 900.0, HOUR_S])
        step = draw.choice(["write", "write", "write", "again", "sum", "part", "before"])
        if step == "write":
            batch = []
            for _ in range(draw.randrange(1, 9)):
                number += 1
                batch.append(some(number, now - draw.choice([1.0, 70.0, 1800.0, 5 * HOUR_S]), draw))
            await sink.write(batch)
            written += batch
        elif step == "again" and written:
            await sink.write(draw.sample(written, min(3, len(written))))
        elif step == "before" and written:
            await _leave_marks_of_the_release_before(connections, draw.choice(written).started_at)
        elif step == "part":
            tick = _Tick(now, first_hour=NOON)
            for _ in range(draw.randrange(1, 6)):
                await rollups._step(tick)
        else:
            await rollups.sum_up(now, kept_since=NOON)
    await rollups.sum_up(now, kept_since=NOON)
    await check_equal(store, traffic, NOON, hour_of(now) + HOUR_S)
    await check_counted_anew(connections, NOON, hour_of(now) + HOUR_S)
    standing = await traffic.standing()
    assert (standing.summed_at, standing.waiting) == (now, 0)
    async with connections.reading() as connection:
        assert (await connection.scalars(select(traffic_marks.c.hour))).all() == []


async def _leave_marks_of_the_release_before(connections: Connections, at: float) -> None:
    """The minutes of an hour lose their marks, and the hour has one in their place."""
    async with connections.writing() as connection:
        minute, hour = traffic_minute_marks.c.minute, hour_of(at)
        await connection.execute(delete(traffic_minute_marks).where(minute >= hour, minute < hour + HOUR_S))
        mark = KeepingInsert(traffic_marks).values(hour=hour, batch=identity(1))
        await connection.execute(mark)


async def test_every_field_has_its_sum(sink: Sink, rollups: Rollups, connections: Connections) -> None:
    """Policy and arm, category, upstream and model are told apart; a request without a plan counts under no name."""
    await sink.write([FULL, BARE])
    await rollups.sum_up(FULL.started_at, kept_since=0.0)
    columns = traffic_hours.c
    async with connections.reading() as connection:
        rows = (await connection.execute(select(traffic_hours))).mappings().all()
    found = {(row["facet"], row["place"], row["name"], row["result"]): row for row in rows}
    assert {row["hour"] for row in rows} == {NOON}
    assert found.keys() == {
        ("all", "", "", "answered"),
        ("all", "", "", "refused"),
        ("key", "", "default", "answered"),
        ("key", "", "default", "refused"),
        ("arm", "default", "step-up", "answered"),
        ("arm", "", "", "refused"),
        ("category", "", "math", "answered"),
        ("category", "", "", "refused"),
        ("model", "openai", "gpt-mini", "failed"),
        ("model", "anthropic", "claude", "answered"),
    }
    whole = found["all", "", "", "answered"]
    assert (from_nanos(whole["cost_nanos"]), whole["count"], whole["unpriced"]) == (FULL.cost, 1, 1)
    model = found["model", "anthropic", "claude", "answered"]
    assert (model["prompt_tokens"], model["output_tokens"]) == (1 + 2 + 3 + 4, 5)
    assert joined([whole["total_s"]]).quantile(0.5) == pytest.approx(FULL.total_s, rel=0.1)
    assert found["model", "openai", "gpt-mini", "failed"][columns.first_byte_s.name] == {}


async def test_two_that_count_at_once_do_no_harm(
    sink: Sink, store: Requests, rollups: Rollups, traffic: Traffic, database: Database
) -> None:
    """Ticks that overlap each other leave the same sums as one alone."""
    draw = random.Random(1)
    await sink.write([some(number, NOON + number * 600, draw) for number in range(1, 40)])
    other = Rollups(Connections(database, most=1))
    await asyncio.gather(*(each.sum_up(LATER, kept_since=0.0) for each in (rollups, other)))
    await other.close()
    await check_equal(store, traffic, NOON, LATER)


async def test_what_comes_while_a_minute_is_counted_is_counted_next(
    sink: Sink, rollups: Rollups, traffic: Traffic, connections: Connections
) -> None:
    """A count takes away only the marks that it has heeded: a batch written meanwhile keeps its own."""
    draw = random.Random(2)
    await sink.write([some(1, NOON, draw)])
    counted = await rollups._count(NOON)
    await sink.write([some(2, NOON + 1, draw)])
    async with connections.writing() as connection:
        await _replace_minute(connection, counted)
    assert (await traffic.standing()).waiting == 1
    await rollups.sum_up(LATER, kept_since=0.0)
    await check_counted_anew(connections, NOON, LATER)


async def test_who_lost_the_turn_changes_nothing(
    sink: Sink, rollups: Rollups, connections: Connections, database: Database
) -> None:
    """A count that was made before somebody else changed the sums is thrown away, and made again."""
    await sink.write([some(1, NOON, random.Random(4))])
    tick = _Tick(NOON + 60, first_hour=NOON)
    standing = await rollups._look(tick)
    other = Rollups(Connections(database, most=1))
    await other.sum_up(NOON + 60, kept_since=NOON)
    await other.close()
    await rollups._open(tick, standing, NOON, marked_at=NOON)
    await rollups._renew(tick, standing, _Open(NOON, NOON + HOUR_S, NOON), NOON)
    assert (tick.opened, tick.changed) == (set(), set())
    await check_counted_anew(connections, NOON, LATER)


async def test_an_hour_is_sealed_and_opened_again(
    sink: Sink, rollups: Rollups, traffic: Traffic, connections: Connections
) -> None:
    """Minutes are forgotten half an hour after an hour's last mark; what comes later still is counted with the rest."""
    draw = random.Random(5)
    await sink.write([some(number, NOON + 300 * number, draw) for number in range(9)])
    assert await rollups.sum_up(NOON + HOUR_S, kept_since=0.0) == 1
    assert await _minutes(connections) == 9
    await rollups.sum_up(NOON + 2 * HOUR_S, kept_since=0.0)
    assert await _minutes(connections) == 0
    await check_counted_anew(connections, NOON, LATER)
    await sink.write([some(10, NOON + 1, draw)])
    assert await rollups.sum_up(LATER, kept_since=0.0) == 1
    assert await _minutes(connections) == 9
    await check_counted_anew(connections, NOON, LATER)


async def _minutes(connections: Connections) -> int:
    async with connections.reading() as connection:
        return len(set(await connection.scalars(select(traffic_minutes.c.minute))))


async def test_an_hour_that_is_opened_keeps_its_sums(
    sink: Sink, rollups: Rollups, traffic: Traffic, connections: Connections
) -> None:
    """While the minutes of an hour are counted for the first time, the page shows what was there before."""
    await sink.write([request(number, started_at=NOON + 60 * number) for number in range(3)])
    for now in (LATER, LATER + HOUR_S):
        await rollups.sum_up(now, kept_since=0.0)
    assert await _minutes(connections) == 0, "it is sealed"
    before = await traffic.sums(Facet.ALL, NOON, LATER)
    await sink.write([request(4, started_at=NOON + 240)])
    tick = _Tick(LATER + HOUR_S, first_hour=NOON)
    for _ in range(3):
        await rollups._step(tick)
        assert await traffic.sums(Facet.ALL, NOON, LATER) == before
    await rollups.sum_up(LATER, kept_since=0.0)
    assert (await traffic.sums(Facet.ALL, NOON, LATER))[0].count == 4


async def test_what_left_no_mark_is_counted_after_its_hour(
    sink: Sink, store: Requests, rollups: Rollups, traffic: Traffic, connections: Connections
) -> None:
    """Requests of the release before, which leaves no marks, are counted half an hour after their hour's end."""
    await rollups.sum_up(NOON, kept_since=NOON - DAY_S)
    await sink.write([some(1, NOON + 60, random.Random(3))])
    async with connections.writing() as connection:
        await connection.execute(delete(traffic_minute_marks))
    assert await rollups.sum_up(NOON + 1.4 * HOUR_S, kept_since=0.0) == 0
    assert await rollups.sum_up(NOON + 1.5 * HOUR_S, kept_since=0.0) == 1
    await check_equal(store, traffic, NOON, LATER)


async def test_a_large_hour_without_marks_is_counted_by_the_minute(
    sink: Sink, connections: Connections, database: Database
) -> None:
    """Too many requests to be counted at once are counted a minute at a time, over one connection."""
    draw = random.Random(6)
    await sink.write([some(number, NOON + 60 * number, draw) for number in range(12)])
    async with connections.writing() as connection:
        await connection.execute(delete(traffic_minute_marks))
    alone = Rollups(Connections(database, most=1), at_once=11)
    assert await alone.sum_up(NOON + 1.5 * HOUR_S, kept_since=NOON) == 1
    await alone.close()
    assert await _minutes(connections) == 0, "it is sealed at once"
    await check_counted_anew(connections, NOON, LATER)


async def test_sums_outlive_the_requests(sink: Sink, rollups: Rollups, traffic: Traffic, database: Database) -> None:
    """Hours of which requests may have been deleted are never counted again; those past any use are forgotten."""
    await sink.write([request(1, started_at=NOON), request(2, started_at=NOON + 1)])
    await rollups.sum_up(LATER, kept_since=0.0)
    before = await traffic.sums(Facet.ALL, NOON, LATER)
    retention = Retention(database)
    await retention.delete_requests(NOON + 1, now=LATER)
    await retention.close()
    await sink.write([replace(request(3), started_at=NOON + 2)])
    assert await rollups.sum_up(LATER, kept_since=NOON + 1) == 0
    assert await traffic.sums(Facet.ALL, NOON, LATER) == before
    assert (await traffic.standing()).waiting == 0
    await rollups.sum_up(NOON + HOUR_S + KEPT_S, kept_since=NOON + KEPT_S)
    assert await traffic.sums(Facet.ALL, NOON, LATER) == ()


async def test_many_marks_are_heeded_at_once(
    sink: Sink, rollups: Rollups, traffic: Traffic, connections: Connections
) -> None:
    """A minute that was written to by very many batches is counted once for all of them."""
    await sink.write([request(1, started_at=NOON)])
    marks = [{"minute": NOON, "batch": identity(number)} for number in range(1_200)]
    async with connections.writing() as connection:
        await connection.execute(insert(traffic_minute_marks), marks)
    assert await rollups.sum_up(NOON + 60, kept_since=0.0) == 1
    assert (await traffic.standing()).waiting == 0
