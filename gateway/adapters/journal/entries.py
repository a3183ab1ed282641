"""Entries: what the journal says, as the payload of a frame.

An entry is a JSON array: its kind, its version, and the values of a record without their names, in
the order stated here. That is half the size and half the time of naming them. The order is kept
for good: a new member goes to the end. So a later release reads what an earlier one wrote (members
it lacks take their defaults), and an earlier one reads past members that it does not know.
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping
from decimal import Decimal
from operator import attrgetter
from typing import Any, TypeAlias

import orjson

from gateway.domain.arm import Arm, Strategy
from gateway.domain.chat import Dialect
from gateway.domain.money import ZERO, Usd
from gateway.domain.plan import Ceilings, Dropped, Plan
from gateway.domain.prediction import Anchor
from gateway.domain.record import CallRecord, Opening, RaisedCeiling, RequestRecord, Result, StoredText
from gateway.domain.search_record import Fate, SearchDraw, SearchRecord
from gateway.domain.usage import Usage, UsageSource

VERSION = 1
"""Raised when an earlier release must not read past what is new."""

Entry: TypeAlias = Opening | RaisedCeiling | RequestRecord
Values: TypeAlias = tuple[Any, ...]

_OPENED, _RAISED, _SETTLED = "o", "r", "s"
_LONG_HAND = {_OPENED: "O", _RAISED: "R", _SETTLED: "S"}
"""The same entries written with the standard library: for integers beyond 64 bits and lone surrogates."""

OPENING_MEMBERS = ("id", "started_at", "key_id", "dialect", "endpoint", "model_asked", "stream", "accounts")
RECORD_MEMBERS = (
    *("id", "started_at", "key_id", "dialect", "endpoint", "model_asked", "stream", "result", "status"),
    *("is_cost_complete", "total_s", "first_byte_s", "degraded", "answer_id", "finish", "error", "tags"),
)
CALL_MEMBERS = (
    *("attempt", "upstream", "model", "requested", "sent", "result", "started_at", "total_s", "first_byte_s"),
    *("status", "error", "upstream_request_id"),
)
USAGE_MEMBERS = (
    *("input_tokens", "cached_tokens", "cache_write_5m_tokens", "cache_write_1h_tokens", "output_tokens"),
    *("thinking_tokens", "audio_input_tokens", "audio_output_tokens", "web_searches", "service_tier"),
    *("reported_cost_usd", "source", "raw"),
)
PLAN_MEMBERS = (
    *("reasons", "policy", "policy_digest", "profile_version", "category", "difficulty", "propensities"),
    *("rule", "is_observed", "facts", "fallback_output_tokens"),
)
ARM_MEMBERS = (
    *("name", "model", "effort", "thinking_tokens", "strategy", "parameters", "verifier", "cascade"),
    *("like", "escalate_below"),
)

SEARCH_MEMBERS = ("strategy", "seed", "verifier", "reason", "confidence")
DRAW_MEMBERS = (
    *("draw", "parent", "kept_steps", "role", "model", "fate", "tokens", "scores", "agrees_with", "is_chosen"),
)

_opening_values = attrgetter(*OPENING_MEMBERS)
_record_values = attrgetter(*RECORD_MEMBERS)
_call_values = attrgetter(*CALL_MEMBERS)
_usage_values = attrgetter(*USAGE_MEMBERS)
_plan_values = attrgetter(*PLAN_MEMBERS)
_arm_values = attrgetter(*ARM_MEMBERS)
_search_values = attrgetter(*SEARCH_MEMBERS)
_draw_values = attrgetter(*DRAW_MEMBERS)


class Unreadable(ValueError):
    """A sound frame whose entry this release cannot read: another release wrote it."""


class EncodedPlan:
    """A plan that is in JSON already. Both entries of a request hold it, and it is the larger part of them.

    No dataclass: orjson would write one by its fields.
    """

    __slots__ = ("text",)

    def __init__(self, text: bytes) -> None:
        self.text = text


def encode_plan(plan: Plan | None) -> EncodedPlan | None:
    """The plan for both entries of its request; None where there is none, or only the long hand can write it."""
    if plan is None:
        return None
    try:
        return EncodedPlan(orjson.dumps(_plan(plan), _plain))
    except TypeError:
        return None


def encode_opening(opening: Opening, plan: EncodedPlan | None = None) -> bytes:
    """The entry that says this request is about to call a model; ``plan`` is its plan where that is encoded already."""
    said = plan or _plan(opening.plan)
    return _dump((_OPENED, VERSION, _opening_values(opening), said, str(opening.ceiling)))


def encode_raised(raised: RaisedCeiling) -> bytes:
    """The entry that says this open request holds more than it was opened with."""
    return _dump((_RAISED, VERSION, raised.id, str(raised.ceiling)))


def encode_record(record: RequestRecord, plan: EncodedPlan | None = None) -> bytes:
    """The entry that holds this settled request; ``plan`` is its plan where that is encoded already.

    Raises ValueError when a value has no form in JSON at all.
    """
    text = record.text
    return _dump(
        (
            _SETTLED,
            VERSION,
            _record_values(record),
            str(record.cost),
            plan or _plan(record.plan),
            [_call(call) for call in record.calls],
            None if text is None else (b64encode(text.request).decode(), b64encode(text.answer).decode(), text.draws),
            None if record.charged is None else str(record.charged),
            None if record.search is None else _search(record.search),
        )
    )


def decode(payload: bytes) -> Entry:
    """The entry in a frame's payload; raises :class:`Unreadable`."""
    try:
        kind, version, *rest = _load(payload)
        if version == VERSION and kind in _READERS:
            return _READERS[kind](rest)
    except (ValueError, TypeError, LookupError, ArithmeticError) as fault:
        # Without the cause's text: it may quote a value.
        raise Unreadable(f"an entry cannot be read ({type(fault).__name__})") from None
    raise Unreadable(
        f"an entry has kind {kind!r} and version {version!r}; this release reads {' '.join(_READERS)} of {VERSION}"
    )


def _load(payload: bytes) -> list[Any]:
    try:
        entry: list[Any] = orjson.loads(payload)
    except orjson.JSONDecodeError:  # a lone surrogate
        return list(json.loads(payload))
    return list(json.loads(payload)) if entry[0] in _LONG_HAND.values() else entry


def _dump(entry: Values) -> bytes:
    try:
        return orjson.dumps(entry, _plain)
    except TypeError:
        kind, *rest = entry
        try:
            return json.dumps((_LONG_HAND[kind], *rest), default=_plainly, separators=(",", ":")).encode()
        except (TypeError, RecursionError) as fault:
            raise ValueError(f"a record has no form in JSON ({type(fault).__name__})") from None


def _plain(value: object) -> object:
    """A value that JSON has no form for, in one that it has."""
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, EncodedPlan):
        return orjson.Fragment(value.text)
    raise TypeError(f"{type(value).__name__} has no form in JSON")


def _plainly(value: object) -> object:
    """The same for the long hand, which cannot take in what is in JSON already."""
    return orjson.loads(value.text) if isinstance(value, EncodedPlan) else _plain(value)


def _plan(plan: Plan | None) -> Values | None:
    if plan is None:
        return None
    ceilings = plan.ceilings
    cost = None if ceilings.cost is None else str(ceilings.cost)
    estimated_cost = None if plan.estimated_cost is None else str(plan.estimated_cost)
    return (
        _plan_values(plan),
        _arm_values(plan.arm),
        (cost, ceilings.output_tokens, ceilings.deadline_s, estimated_cost),
        [(dropped.option, dropped.reason) for dropped in plan.dropped],
        [_arm_values(arm) for arm in plan.fallbacks],
    )


def _search(search: SearchRecord) -> Values:
    return (
        _search_values(search),
        [(_draw_values(draw), str(draw.cost)) for draw in search.draws],
    )


def _call(call: CallRecord) -> Values:
    usage = call.usage
    return (
        _call_values(call),
        None if call.cost is None else str(call.cost),
        None if usage is None else _usage_values(usage),
    )


def _members(names: tuple[str, ...], values: list[Any]) -> dict[str, Any]:
    """The values by name. Either side may be longer: an earlier or a later release wrote them."""
    return dict(zip(names, values, strict=False))


def _read_opening(rest: list[Any]) -> Opening:
    values, plan, *later = rest
    members = _members(OPENING_MEMBERS, values)
    members["dialect"] = Dialect(members["dialect"])
    members["accounts"] = tuple(members["accounts"])
    return Opening(plan=_read_plan(plan), ceiling=_read_usd(later[0]) if later else ZERO, **members)


def _read_raised(rest: list[Any]) -> RaisedCeiling:
    request_id, ceiling, *_ = rest
    return RaisedCeiling(request_id, _read_usd(ceiling))


def _read_record(rest: list[Any]) -> RequestRecord:
    values, cost, plan, calls, text, *later = rest
    members = _members(RECORD_MEMBERS, values)
    members["dialect"] = Dialect(members["dialect"])
    members["result"] = Result(members["result"])
    members["degraded"] = tuple(members["degraded"])
    return RequestRecord(
        cost=_read_usd(cost),
        plan=_read_plan(plan),
        calls=tuple(_read_call(*call[:3]) for call in calls),
        text=None if text is None else StoredText(b64decode(text[0]), b64decode(text[1]), *text[2:3]),
        charged=_read_usd(later[0]) if later and later[0] is not None else None,
        search=_read_search(later[1]) if later[1:] and later[1] is not None else None,
        **members,
    )


def _read_call(values: list[Any], cost: str | None, usage: list[Any] | None) -> CallRecord:
    members = _members(CALL_MEMBERS, values)
    members["result"] = Result(members["result"])
    return CallRecord(
        cost=None if cost is None else _read_usd(cost), usage=None if usage is None else _read_usage(usage), **members
    )


def _read_usage(values: list[Any]) -> Usage:
    members = _members(USAGE_MEMBERS, values)
    members["source"] = UsageSource(members["source"])
    return Usage(**members)


def _read_plan(document: list[Any] | None) -> Plan | None:
    if document is None:
        return None
    values, arm, (cost, output_tokens, deadline_s, *further), dropped, *later = document
    estimated_cost = further[0] if further else None
    members = _members(PLAN_MEMBERS, values)
    members["reasons"] = tuple(members["reasons"])
    return Plan(
        arm=_read_arm(arm),
        ceilings=Ceilings(None if cost is None else _read_usd(cost), output_tokens, deadline_s),
        dropped=tuple(Dropped(option, reason) for option, reason, *_ in dropped),
        estimated_cost=None if estimated_cost is None else _read_usd(estimated_cost),
        fallbacks=tuple(_read_arm(fallback) for fallback in later[0]) if later else (),
        **members,
    )


def _read_search(document: list[Any]) -> SearchRecord:
    values, draws, *_ = document
    return SearchRecord(draws=tuple(_read_draw(*draw[:2]) for draw in draws), **_members(SEARCH_MEMBERS, values))


def _read_draw(values: list[Any], cost: str) -> SearchDraw:
    members = _members(DRAW_MEMBERS, values)
    members["fate"] = Fate(members["fate"])
    members["scores"] = tuple(members["scores"])
    return SearchDraw(cost=_read_usd(cost), **members)


def _read_arm(values: list[Any]) -> Arm:
    members = _members(ARM_MEMBERS, values)
    members["strategy"] = Strategy(members["strategy"])
    members["cascade"] = tuple(members["cascade"])
    if members.get("like") is not None:
        members["like"] = Anchor(members["like"])
    return Arm(**members)


def _read_usd(text: str) -> Usd:
    return Usd(Decimal(text))


_READERS: Mapping[str, Callable[[list[Any]], Entry]] = {
    _OPENED: _read_opening,
    _RAISED: _read_raised,
    _SETTLED: _read_record,
    _LONG_HAND[_OPENED]: _read_opening,
    _LONG_HAND[_RAISED]: _read_raised,
    _LONG_HAND[_SETTLED]: _read_record,
}
