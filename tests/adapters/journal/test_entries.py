"""Tests of gateway/adapters/journal/entries.py."""

from __future__ import annotations

from dataclasses import fields, replace
from types import MappingProxyType
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.adapters.journal import entries
from gateway.adapters.journal.entries import (
    Unreadable,
    decode,
    encode_opening,
    encode_plan,
    encode_raised,
    encode_record,
)
from gateway.domain.arm import Arm, Strategy
from gateway.domain.chat import Dialect
from gateway.domain.money import ZERO, Usd, from_nanos, usd
from gateway.domain.plan import Ceilings, Dropped, Plan
from gateway.domain.prediction import Anchor
from gateway.domain.record import CallRecord, Opening, RaisedCeiling, RequestRecord, Result, StoredText, interrupted
from gateway.domain.search_record import SearchDraw, SearchRecord
from gateway.domain.usage import Usage, UsageSource
from tests.adapters.journal.samples import opening, opening_of
from tests.store.records import BARE, FULL, call, request

MONEY = st.integers(-(10**15), 10**15).map(from_nanos)
SECONDS = st.floats(0, 4e9)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
# A low surrogate never makes a pair with its neighbour, so that it stays alone.
TEXTS = st.text(st.characters(codec="utf-8") | st.just("\udfff"), max_size=20)
DOCUMENTS = st.dictionaries(TEXTS, JSON, max_size=3)
COUNTS = st.integers(0, 2**80)
ARMS = st.builds(
    Arm,
    strategy=st.sampled_from(Strategy),
    parameters=DOCUMENTS,
    cascade=st.lists(TEXTS, max_size=2).map(tuple),
    like=st.none() | st.sampled_from(Anchor),
)
PLANS = st.builds(
    Plan,
    arm=ARMS,
    ceilings=st.builds(Ceilings, cost=st.none() | MONEY, output_tokens=st.none() | COUNTS, deadline_s=SECONDS),
    reasons=st.lists(TEXTS, max_size=2).map(tuple),
    dropped=st.lists(st.builds(Dropped, TEXTS, TEXTS), max_size=2).map(tuple),
    propensities=st.dictionaries(TEXTS, st.floats(0, 1), max_size=2),
    fallbacks=st.lists(ARMS, max_size=2).map(tuple),
    estimated_cost=st.none() | MONEY,
    fallback_output_tokens=st.dictionaries(TEXTS, COUNTS, max_size=2),
    is_observed=st.booleans(),
    facts=DOCUMENTS,
)
USAGES = st.builds(Usage, input_tokens=COUNTS, source=st.sampled_from(UsageSource), raw=DOCUMENTS)
CALLS = st.builds(
    CallRecord,
    requested=DOCUMENTS,
    sent=DOCUMENTS,
    result=st.sampled_from(Result),
    started_at=SECONDS,
    total_s=SECONDS,
    first_byte_s=st.none() | SECONDS,
    usage=st.none() | USAGES,
    cost=st.none() | MONEY,
)
RECORDS = st.builds(
    RequestRecord,
    started_at=SECONDS,
    total_s=SECONDS,
    first_byte_s=st.none() | SECONDS,
    dialect=st.sampled_from(Dialect),
    result=st.sampled_from(Result),
    cost=MONEY,
    plan=st.none() | PLANS,
    calls=st.lists(CALLS, max_size=2).map(tuple),
    degraded=st.lists(TEXTS, max_size=2).map(tuple),
    tags=st.dictionaries(TEXTS, TEXTS, max_size=2),
    text=st.none() | st.builds(StoredText, st.binary(), st.binary()),
)


@given(RECORDS)
def test_any_record_comes_back(record: RequestRecord) -> None:
    """A record comes back equal, with lone surrogates and integers beyond 64 bits."""
    assert decode(encode_record(record)) == record


@given(RECORDS)
def test_any_opening_comes_back(record: RequestRecord) -> None:
    """An opening comes back equal."""
    opened = opening_of(record)
    assert decode(encode_opening(opened)) == opened


@given(RECORDS)
def test_a_plan_that_is_encoded_already_changes_no_byte(record: RequestRecord) -> None:
    """Entries are the same with their plan encoded before, also where other values need the long hand."""
    opened, plan = opening_of(record), encode_plan(record.plan)
    assert decode(encode_opening(opened, plan)) == opened
    assert decode(encode_record(record, plan)) == record
    if b"\\u" not in encode_record(record):
        assert encode_opening(opened, plan) == encode_opening(opened)
        assert encode_record(record, plan) == encode_record(record)


@given(TEXTS, MONEY)
def test_any_raised_ceiling_comes_back(request_id: str, ceiling: Usd) -> None:
    """What a request holds from now on comes back equal; values behind it, of a later release, are read past."""
    raised = RaisedCeiling(request_id, ceiling)
    assert decode(encode_raised(raised)) == raised
    written = encode_raised(RaisedCeiling("r1", ceiling))
    assert decode(orjson.dumps([*orjson.loads(written), "later"])) == RaisedCeiling("r1", ceiling)


@given(RECORDS)
def test_entries_are_text(record: RequestRecord) -> None:
    """An entry is UTF-8, whatever bytes were stored: only so can it not hold the beginning of a frame."""
    assert encode_record(record).decode()


@pytest.mark.parametrize("record", [FULL, BARE], ids=["full", "bare"])
def test_money_comes_back_to_the_last_digit(record: RequestRecord) -> None:
    """Amounts keep their exponent, so that they are written to the database as they were."""
    found = decode(encode_record(record))
    assert isinstance(found, RequestRecord)
    assert str(found.cost) == str(record.cost)
    assert [str(each.cost) for each in found.calls] == [str(each.cost) for each in record.calls]


def test_integers_beyond_64_bits_come_back_exactly() -> None:
    """A number that an upstream made up, however large, is not rounded."""
    record = request(calls=(call(usage=Usage(input_tokens=2**80 + 1, raw={"n": -(2**70) - 1})),))
    assert decode(encode_record(record)) == record


def test_mappings_of_any_kind_are_written() -> None:
    """A mapping that is no dictionary is written as one."""
    record = request(tags=MappingProxyType({"team": "blue"}), calls=(call(sent=MappingProxyType({"effort": "low"})),))
    found = decode(encode_record(record))
    assert isinstance(found, RequestRecord)
    assert found.tags == {"team": "blue"}
    assert found.calls[0].sent == {"effort": "low"}


def test_a_value_without_any_form_is_named_by_its_type() -> None:
    """What JSON cannot hold at all is refused without quoting it."""
    with pytest.raises(ValueError, match="no form in JSON") as refused:
        encode_record(request(tags={"secret": object()}))
    assert "secret" not in str(refused.value)


def test_nothing_of_a_record_is_left_out() -> None:
    """Every member of every value is written: a new one must be added to the journal's order, at its end."""
    apart = {
        Opening: {"plan", "ceiling"},
        RaisedCeiling: {"id", "ceiling"},
        RequestRecord: {"cost", "plan", "calls", "text", "charged", "search"},
        SearchRecord: {"draws"},
        SearchDraw: {"cost"},
        CallRecord: {"cost", "usage"},
        Usage: set(),
        Plan: {"arm", "ceilings", "dropped", "estimated_cost", "fallbacks"},
        Arm: set(),
    }
    written: dict[Any, tuple[str, ...]] = {
        Opening: entries.OPENING_MEMBERS,
        RaisedCeiling: (),
        RequestRecord: entries.RECORD_MEMBERS,
        CallRecord: entries.CALL_MEMBERS,
        Usage: entries.USAGE_MEMBERS,
        Plan: entries.PLAN_MEMBERS,
        Arm: entries.ARM_MEMBERS,
        SearchRecord: entries.SEARCH_MEMBERS,
        SearchDraw: entries.DRAW_MEMBERS,
    }
    for kind, members in written.items():
        assert {*members, *apart[kind]} == {field.name for field in fields(kind)}
        assert len(set(members)) == len(members)


def test_what_the_first_release_wrote_is_read() -> None:
    """The bytes of version 1 are read as the record they were made of, by this release and every later one."""
    written = (
        b'["s",1,["01a20320-a200-7000-8000-000000000001",1795348800.0,"default","openai-chat","/v1/chat/completions",'
        b'"gpt-mini",false,"answered",200,true,0.5,0.25,[],null,null,null,{}],"0.000123000",'
        b'[[["the model asked for"],null,null,null,null,null,{}],["gpt-mini","gpt-mini",null,null,"greedy",{},null,[]],'
        b'[null,4096,600.0],[]],[[[1,"openai","gpt-mini",{"effort":"low"},{"reasoning_effort":"low"},"answered",'
        b'1795348800.0,0.5,0.25,200,null,null],"0.000123000",[12,0,0,0,120,0,0,0,0,null,null,"reported",'
        b'{"prompt_tokens":12,"completion_tokens":120}]]],null]'
    )
    assert decode(written) == request()


def test_members_of_a_later_release_are_read_past() -> None:
    """Values behind the known ones are passed over, at every level."""
    document = orjson.loads(encode_record(FULL))
    _, _, values, _, plan, calls, text, _, search = document
    for level in (document, values, plan, *plan, calls[1], *calls[1][::2], plan[3][0], text, search, search[1][0]):
        level.append("later")
    plan[3].remove("later")
    plan[4].remove("later")
    assert decode(orjson.dumps(document)) == FULL


def test_members_that_an_earlier_release_lacked_take_their_defaults() -> None:
    """A shorter list of values is read where what is missing has a default."""
    document = orjson.loads(encode_record(FULL))
    document[2].pop()
    assert decode(orjson.dumps(document)) == replace(FULL, tags={})
    assert decode(orjson.dumps(document[:-1])) == replace(FULL, tags={}, search=None)
    assert decode(orjson.dumps(document[:-2])) == replace(FULL, tags={}, charged=None, search=None)
    held = replace(opening(), ceiling=usd("0.2"))
    assert decode(encode_opening(held)) == held
    assert decode(orjson.dumps(orjson.loads(encode_opening(held))[:-1])) == opening()


def test_an_interrupted_request_is_charged_what_it_held() -> None:
    """Nobody knows what it cost: its budgets are charged its ceiling, as a lapsed hold charges them."""
    record = interrupted(replace(opening(), ceiling=usd("0.2")))
    assert (record.cost, record.is_cost_complete, record.charge) == (ZERO, False, usd("0.2"))
    assert interrupted(opening()).charge == ZERO


@pytest.mark.parametrize(
    "change",
    [("version", 1, 2), ("kind", 0, "x"), ("result", (2, 7), "vanished"), ("cost", 3, "free"), ("plan", 4, [])],
    ids=lambda change: change[0],
)
def test_what_cannot_be_read_is_said(change: tuple[str, Any, Any]) -> None:
    """Another version, kind or value is refused with a message that quotes no value of the record."""
    _, place, value = change
    document = orjson.loads(encode_record(FULL))
    target, index = (document[place[0]], place[1]) if isinstance(place, tuple) else (document, place)
    target[index] = value
    with pytest.raises(Unreadable) as refused:
        decode(orjson.dumps(document))
    assert "blue" not in str(refused.value)


@pytest.mark.parametrize("payload", [b"{}", b"[]", b'"s"', b"no JSON", b'[["s"],1]'])
def test_what_is_no_entry_is_unreadable(payload: bytes) -> None:
    """Sound bytes that are no entry are refused."""
    with pytest.raises(Unreadable):
        decode(payload)
