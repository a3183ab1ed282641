"""Tests of gateway/store/requests.py, on rows written by gateway/store/sinks.py."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from gateway.domain.key import Role
from gateway.domain.money import usd
from gateway.domain.record import RequestRecord, Result
from gateway.domain.tenancy import Author, KeyTerms, TeamTerms
from gateway.store.base import Database, open_async
from gateway.store.changes import Changes
from gateway.store.keys import Keys, NewSecret
from gateway.store.requests import AnswerOrigin, Filter, Grouping, Requests, Totals, listing
from gateway.store.sinks import Sink
from gateway.store.teams import Teams
from tests.store.records import BARE, DAY_S, FULL, NOON, call, identity, request

MIDNIGHT = NOON + DAY_S / 2


@pytest.mark.parametrize("record", [FULL, BARE, request()], ids=["full", "bare", "plain"])
async def test_find_returns_the_record_that_was_written(sink: Sink, store: Requests, record: RequestRecord) -> None:
    """Every field of a record comes back as it was written."""
    await sink.write([record])
    assert await store.find(record.id) == record


@pytest.mark.parametrize("unknown", [identity(99), "not-a-uuid", "", "é" * 36])
async def test_find_returns_none_for_what_is_not_there(store: Requests, unknown: str) -> None:
    """An id that no request has, or that is none, finds nothing."""
    assert await store.find(unknown) is None


async def test_find_takes_an_id_in_any_spelling(sink: Sink, store: Requests) -> None:
    """An id in upper case finds its request."""
    await sink.write([request(1)])
    assert await store.find(identity(1).upper()) == request(1)


async def test_find_answer_names_the_call_that_answered(sink: Sink, store: Requests) -> None:
    """A stored answer leads to the upstream and model of its request's last call, and to its owner."""
    await sink.write([FULL, request(2, answer_id="other")])
    assert await store.find_answer("msg_1") == AnswerOrigin(FULL.id, "default", "anthropic", "claude")
    assert await store.find_answer("msg_2") is None


async def test_find_answer_prefers_the_newest(sink: Sink, store: Requests) -> None:
    """An answer id that two requests share leads to the later one."""
    later = request(2, started_at=NOON + 1, answer_id="a", calls=(call(upstream="later"),))
    await sink.write([later, request(1, answer_id="a")])
    origin = await store.find_answer("a")
    assert origin is not None
    assert origin.upstream == "later"


async def test_recent_lists_the_newest_first(sink: Sink, store: Requests) -> None:
    """A list is ordered by start, newest first, and no longer than asked."""
    await sink.write([request(number, started_at=NOON + number) for number in (2, 3, 1)])
    listed = await store.recent(Filter(), limit=2)
    assert [summary.started_at for summary in listed] == [NOON + 3, NOON + 2]
    assert listed[0].cost == usd("0.000123")


@pytest.mark.parametrize(
    ("chosen", "numbers"),
    [
        (Filter(key_id="red"), [2]),
        (Filter(model_asked="claude"), [3]),
        (Filter(arm="step-up"), [7]),
        (Filter(category="math"), [7]),
        (Filter(result=Result.REFUSED), [8]),
        (Filter(since=NOON + 2), [3, 2]),
        (Filter(since=NOON + 2, until=NOON + 3), [2]),
        (Filter(key_id="red", model_asked="claude"), []),
    ],
    ids=str,
)
async def test_recent_applies_each_filter(sink: Sink, store: Requests, chosen: Filter, numbers: list[int]) -> None:
    """Each member of a filter restricts the list; ``since`` is inclusive and ``until`` is not."""
    known = {
        2: request(2, started_at=NOON + 2, key_id="red"),
        3: request(3, started_at=NOON + 3, model_asked="claude"),
        7: FULL,
        8: BARE,
    }
    await sink.write(list(known.values()))
    listed = await store.recent(chosen, limit=10)
    assert [summary.id for summary in listed] == [known[number].id for number in numbers]


@pytest.mark.parametrize("result", [each for each in Result if each is not Result.ANSWERED])
async def test_what_went_wrong_is_looked_for_in_its_index(database: Database, sink: Sink, result: Result) -> None:
    """However much went well since, a list of what did not reads its own lines, in their order."""
    await sink.write([request(number, started_at=NOON + number) for number in range(2_000)])
    engine = open_async(database, connections=1)
    asked = listing(Filter(result=result), limit=50).compile(engine.sync_engine, compile_kwargs={"literal_binds": True})
    async with engine.connect() as connection:
        if not database.is_sqlite:
            await connection.exec_driver_sql("ANALYZE requests")
        how = "EXPLAIN QUERY PLAN" if database.is_sqlite else "EXPLAIN"
        plan = str((await connection.exec_driver_sql(f"{how} {asked}")).all())
    await engine.dispose()
    assert re.search(r"ix_requests_result_started_at_id|result_started_at_id_idx", plan), plan
    assert "TEMP B-TREE" not in plan


async def test_totals_are_exact(sink: Sink, store: Requests) -> None:
    """A thousand amounts that no binary fraction holds add up to the nano-dollar."""
    records = [request(number, cost=usd("0.100000001"), calls=()) for number in range(1000)]
    await sink.write(records)
    assert await store.totals(Filter()) == Totals(requests=1000, incomplete=0, cost=usd("100.000001"))


async def test_totals_count_what_is_incomplete(sink: Sink, store: Requests) -> None:
    """Requests whose cost is not fully known are counted apart; no request at all costs nothing."""
    assert await store.totals(Filter()) == Totals(requests=0, incomplete=0, cost=usd(0))
    await sink.write([FULL, request(1)])
    assert await store.totals(Filter()) == Totals(requests=2, incomplete=1, cost=usd("0.000246"))
    assert await store.totals(Filter(key_id="nobody")) == Totals(requests=0, incomplete=0, cost=usd(0))


async def test_spend_by_key_model_and_day(sink: Sink, store: Requests) -> None:
    """Calls are split by key, upstream and model, and the UTC day on which their request began."""
    await sink.write(
        [
            request(1, started_at=MIDNIGHT - 0.000001, calls=(call(cost=usd("0.3")), call(cost=None))),
            request(2, started_at=MIDNIGHT, calls=(call(cost=usd("0.2")),)),
            request(3, key_id="red", calls=(call(upstream="anthropic", cost=usd("0.1")),)),
        ]
    )
    rows = await store.spend(since=NOON, until=NOON + DAY_S, by=list(Grouping))
    assert [(row.key_id, row.upstream, row.model, row.day, row.calls, row.unpriced, row.cost) for row in rows] == [
        ("default", "openai", "gpt-mini", "2026-11-22", 2, 1, usd("0.3")),
        ("default", "openai", "gpt-mini", "2026-11-23", 1, 0, usd("0.2")),
        ("red", "anthropic", "gpt-mini", "2026-11-22", 1, 0, usd("0.1")),
    ]


async def test_spend_leaves_out_groups_not_asked_for(sink: Sink, store: Requests) -> None:
    """Split by key alone, the other fields are None; tokens are added up, cached ones included."""
    await sink.write([request(1), FULL])
    (row,) = await store.spend(since=NOON, until=NOON + DAY_S, by=[Grouping.KEY])
    assert (row.key_id, row.upstream, row.model, row.day) == ("default", None, None, None)
    assert (row.calls, row.unpriced, row.cost) == (3, 1, usd("0.000246"))
    assert (row.prompt_tokens, row.output_tokens) == (12 + 1 + 2 + 3 + 4, 120 + 5)


async def test_spend_of_an_empty_period(sink: Sink, store: Requests) -> None:
    """A period without requests has no groups, and ``until`` is exclusive."""
    await sink.write([request(1)])
    assert await store.spend(since=NOON - DAY_S, until=NOON, by=[Grouping.DAY]) == ()


async def test_a_list_goes_on_after_its_last_line(sink: Sink, store: Requests) -> None:
    """Page after page gives every request once, those of the same moment as well; an unknown id gives nothing."""
    await sink.write([request(number, started_at=NOON + number // 3) for number in range(7)])
    whole = [summary.id for summary in await store.recent(Filter(), limit=10)]
    paged: list[str] = []
    for _ in range(4):
        page = await store.recent(Filter(after=paged[-1] if paged else None), limit=2)
        paged += [summary.id for summary in page]
    assert paged == whole
    assert len(paged) == 7
    assert await store.recent(Filter(after=paged[-1]), limit=2) == ()
    assert await store.recent(Filter(after=identity(99)), limit=2) == ()


async def test_requests_and_spending_by_team(sink: Sink, store: Requests, changes: Changes) -> None:
    """A team's requests are those of its keys, and spending without a team stands apart."""
    by = Author("admin", Role.ADMIN, NOON)
    await Teams(changes).create("team_1", TeamTerms("red"), by=by)
    for number, team in ((1, "red"), (2, "red"), (3, None)):
        secret = NewSecret(bytes([number]) * 32, "…")
        await Keys(changes).create(f"key_{number}", KeyTerms(f"k{number}", team_id=team), secret, by=by)
    await sink.write([request(number, key_id=f"key_{number}") for number in (1, 2, 3)])
    found = await store.recent(Filter(team_id="team_1"), limit=10)
    assert {summary.key_id for summary in found} == {"key_1", "key_2"}
    rows = await store.spend(since=NOON, until=NOON + 1, by=[Grouping.TEAM])
    assert [(row.team_id, row.calls, row.key_id) for row in rows] == [("team_1", 2, None), (None, 1, None)]
    by_both = await store.spend(since=NOON, until=NOON + 1, by=[Grouping.TEAM, Grouping.KEY], limit=2)
    assert len(by_both) == 2


async def test_decisions_are_read_with_what_they_came_to(sink: Sink, store: Requests) -> None:
    """The newest first, only those of a policy, each plan whole; a cost that is not fully known is none."""
    decided = replace(FULL.plan, policy="default") if FULL.plan is not None else None
    await sink.write(
        [
            FULL,
            request(1, started_at=NOON + 1),
            request(2, started_at=NOON + 2, plan=decided, cost=usd("0.5")),
        ]
    )
    newest, older = await store.decided(Filter(), limit=10)
    assert (newest.plan, newest.cost) == (decided, usd("0.5"))
    assert (older.plan, older.cost) == (FULL.plan, None)
    assert await store.decided(Filter(), limit=1) == (newest,)
    assert await store.decided(Filter(since=NOON + 2), limit=10) == (newest,)
