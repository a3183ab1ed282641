"""One request being served: what was decided, called and spent so far. Settled exactly once."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Final

from gateway.domain.arm import Arm, Strategy
from gateway.domain.ask import Ask
from gateway.domain.key import Key
from gateway.domain.ledger import Hold
from gateway.domain.model import Model
from gateway.domain.money import ZERO, Usd
from gateway.domain.plan import Plan
from gateway.domain.prediction import Prediction
from gateway.domain.pricing import cost
from gateway.domain.record import CallRecord, RequestRecord, Result, StoredText
from gateway.domain.search_record import SearchRecord
from gateway.domain.sticky import Turn
from gateway.domain.thinking import Wish
from gateway.domain.usage import Usage
from gateway.errors import PonderError, Unavailable, Unpriced, UpstreamError, UpstreamRefused
from gateway.flow.demand import demand_of
from gateway.flow.house import ActivePolicy, Catalog, House
from gateway.flow.lane import Place
from gateway.flow.learning import learn
from gateway.flow.publishing import publish
from gateway.ports import Clock
from gateway.tracing import Attribute, CallSpan, Part, Trace

_MOST_COUNTED = 10**9
"""No call uses more tokens and searches. An upstream that reports more has not said what it used."""

DISCONNECTED_STATUS: Final = 499
"""What the record says where the client left before any status: nginx's number for it."""

_UNTRACED: Final = nullcontext()

_ENDED_WITH = {Result.DISCONNECTED: Result.DISCONNECTED, Result.INTERRUPTED: Result.CANCELLED}
"""How a call ended that was still open when its request was settled with this result."""


class OpenCall:
    """One upstream call that has begun. ``ceiling`` is the most that it can cost, where limits want to know."""

    __slots__ = (
        "attempt", "ceiling", "first_byte", "model", "reply_id", "requested", "sent", "span", "started", "started_at",
        "status",
    )  # fmt: skip

    def __init__(
        self, model: Model, ceiling: Usd, requested: Mapping[str, Any], sent: Mapping[str, Any], clock: Clock
    ) -> None:
        self.attempt = 0
        self.model = model
        self.ceiling = ceiling
        self.requested = requested
        self.sent = sent
        self.started = clock.monotonic()
        self.started_at = clock.now()
        self.first_byte: float | None = None
        self.status: int | None = None
        self.reply_id: str | None = None
        self.span: CallSpan | None = None

    def headers_over(self, headers: Mapping[str, str]) -> Mapping[str, str]:
        """The headers that the call goes out with: these, with the call's own place in the trace."""
        return headers if self.span is None else {**headers, **self.span.headers}


class Exchange:
    """The mutable middle of one request; everything it learns ends in one :class:`RequestRecord`."""

    __slots__ = (
        "answer_id", "answer_text", "answered_by", "ask", "call_ceiling", "calls", "catalog", "cost",
        "degraded", "demand", "draw_texts", "fallbacks", "finish", "first_byte", "hold", "house", "is_cost_complete",
        "is_emptied", "is_settled", "key", "model", "observed", "open_calls", "place", "plan", "policy", "prediction",
        "search", "stored_at", "trace", "tries", "turn", "uncounted", "wish",
    )  # fmt: skip

    def __init__(self, ask: Ask, key: Key, house: House) -> None:
        self.ask = ask
        self.key = key
        self.house = house
        self.catalog: Catalog = house.catalog
        self.trace: Trace | None = None if house.tracer is None else house.tracer.begin(ask)
        self.demand = demand_of(ask)
        self.policy: ActivePolicy | None = None
        """The policy that decided; None for a model that the client named."""
        self.prediction: Prediction | None = None
        """What kind of ask it is, once that was found out; a second decision does not ask again."""
        self.plan: Plan | None = None
        self.observed: Plan | None = None
        """What a policy that only observes would have done; recorded instead of the plan."""
        self.stored_at: str | None = None
        """The upstream of the stored response that is continued, where it is known."""
        self.turn: Turn | None = None
        """Where in its conversation the ask stands; None where that cannot be told."""
        self.wish: Wish | None = None
        """How hard to think instead of as the arm says, for an answer that thinking left no room for."""
        self.fallbacks: list[Arm] = []
        self.answered_by: Arm | None = None
        """The arm that was fallen back to; None while it is the plan's own."""
        self.tries = 0
        """Calls to the present arm."""
        self.model: Model | None = None
        self.hold: Hold | None = None
        self.place: Place | None = None
        self.call_ceiling: Usd = ZERO
        """The most that one call can cost, where somebody's limits want to know."""
        self.calls: list[CallRecord] = []
        self.open_calls: list[OpenCall] = []
        self.degraded: list[str] = []
        self.cost: Usd = ZERO
        self.uncounted: Usd = ZERO
        """The ceilings of calls that ended without anybody knowing what they cost."""
        self.is_cost_complete = True
        self.is_emptied = False
        """The latest answer holds nothing: thinking used up its output limit."""
        self.search: SearchRecord | None = None
        """The search that was made for the answer, once it has ended."""
        self.is_settled = False
        self.first_byte: float | None = None
        self.answer_id: str | None = None
        self.answer_text: bytes = b""
        self.draw_texts: Mapping[str, str] = {}
        self.finish: str | None = None

    def begin_call(self, requested: Mapping[str, Any], sent: Mapping[str, Any]) -> OpenCall:
        """Note that a call to the chosen model starts now."""
        assert self.model is not None  # noqa: S101  a call is only begun for a chosen model
        self.tries += 1
        return self.begin_call_to(self.model, self.call_ceiling, requested, sent)

    def begin_call_to(
        self, model: Model, ceiling: Usd, requested: Mapping[str, Any], sent: Mapping[str, Any]
    ) -> OpenCall:
        """Note that one of several calls at the same time starts now, to a model of its own."""
        self.house.health.begin(model.upstream, model.upstream_name)
        call = OpenCall(model, ceiling, requested, sent, self.house.clock)
        self.open_calls.append(call)
        call.attempt = len(self.calls) + len(self.open_calls)
        if self.trace is not None:
            call.span = self.trace.call(model, call.started_at)
        return call

    def withdraw_call(self, call: OpenCall) -> None:
        """Forget a call that was not made after all: what it was for had been remembered."""
        self.open_calls.remove(call)

    def end_call(
        self, call: OpenCall, result: Result, usage: Usage | None = None, error: PonderError | None = None
    ) -> Usd:
        """Close a call with what it used; its cost joins the request's. What it is charged: its ceiling if unknown."""
        model = call.model
        self.open_calls.remove(call)
        if usage is not None and usage.prompt_tokens + usage.output_tokens + usage.web_searches > _MOST_COUNTED:
            usage = None
        amount = _amount(model, usage, error, call.started_at)
        if amount is None:
            self.is_cost_complete = False
            self.uncounted = Usd(self.uncounted + call.ceiling)
        else:
            self.cost = Usd(self.cost + amount)
        record = CallRecord(
            attempt=call.attempt,
            upstream=model.upstream,
            model=model.upstream_name,
            requested=call.requested,
            sent=call.sent,
            result=result,
            started_at=call.started_at,
            total_s=self.house.clock.monotonic() - call.started,
            first_byte_s=None if call.first_byte is None else call.first_byte - call.started,
            status=call.status or (error.http_status if isinstance(error, UpstreamRefused) else None),
            usage=usage,
            cost=amount,
            error=f"{error.code}: {error.message}" if error else None,
            upstream_request_id=call.reply_id,
        )
        self.calls.append(record)
        self.house.health.note(record, error)
        if call.span is not None:
            call.span.end(record)
        meter = self.house.meter
        meter.call(model.upstream, result.value)
        if usage is not None:
            meter.tokens(model.name, "input", usage.input_tokens)
            meter.tokens(model.name, "cached", usage.cached_tokens)
            meter.tokens(model.name, "cache_write", usage.cache_write_5m_tokens + usage.cache_write_1h_tokens)
            meter.tokens(model.name, "output", usage.output_tokens)
            meter.tokens(model.name, "thinking", usage.thinking_tokens)
        return call.ceiling if amount is None else amount

    def remark(self, *differences: str) -> None:
        """Note what differs from what was asked for, each thing once however many calls are prepared."""
        self.degraded += [each for each in differences if each not in self.degraded]

    def part(self, name: str, attributes: Mapping[str, Attribute] | None = None) -> AbstractContextManager[Part | None]:
        """A span around some of the work, where the request is traced; what is called within belongs to it."""
        return _UNTRACED if self.trace is None else self.trace.part(name, attributes or {})

    def judge_emptied(self, *, is_emptied: bool) -> None:
        """Note whether the latest answer is one of which thinking has left nothing; each is counted."""
        self.is_emptied = is_emptied
        if is_emptied and self.model is not None:
            self.house.meter.emptied(self.model.name)

    @property
    def left_s(self) -> float:
        """Seconds until the plan's deadline."""
        assert self.plan is not None  # noqa: S101  nothing is waited for before a plan
        return self.plan.ceilings.deadline_s - (self.house.clock.monotonic() - self.ask.started)

    @property
    def is_search(self) -> bool:
        """Whether the plan's arm draws several times; a fallback never does."""
        return self.plan is not None and self.plan.arm.strategy is not Strategy.GREEDY and self.answered_by is None

    @property
    def is_decided(self) -> bool:
        """Whether a policy chose the arm; a model that the client named is called as the client asks."""
        return self.policy is not None

    @property
    def recorded_plan(self) -> Plan | None:
        """The decision as it is recorded."""
        return self.observed or self.plan

    @property
    def sets_thinking(self) -> bool:
        """Whether it is we who say how hard the model thinks."""
        return self.policy is not None or self.wish is not None

    @property
    def stores_text(self) -> bool:
        """Whether the request and its answer are kept whole: the configuration or the policy says so."""
        return self.catalog.stores_text or (self.policy is not None and self.policy.stores_text)

    @property
    def charge(self) -> Usd:
        """What budgets are charged so far: a call whose cost nobody can know counts at its ceiling."""
        return Usd(self.cost + self.uncounted)

    def settle(self, result: Result, status: int, error: PonderError | None = None) -> None:
        """Write the request's one record, calls that are still open included; a second time does nothing."""
        if self.is_settled:
            return
        self.is_settled = True
        for call in list(self.open_calls):
            self.end_call(call, _ENDED_WITH.get(result, Result.FAILED))
        ask = self.ask
        house = self.house
        total_s = house.clock.monotonic() - ask.started
        first_byte_s = None if self.first_byte is None else self.first_byte - ask.started
        record = RequestRecord(
            id=ask.request_id,
            started_at=ask.started_at,
            key_id=self.key.id,
            dialect=ask.endpoint.dialect,
            endpoint=ask.endpoint.path,
            model_asked=ask.model[:200],
            stream=ask.is_stream,
            result=result,
            status=status,
            cost=self.cost,
            is_cost_complete=self.is_cost_complete,
            total_s=total_s,
            first_byte_s=first_byte_s,
            plan=self.recorded_plan,
            calls=tuple(self.calls),
            degraded=tuple(self.degraded),
            answer_id=self.answer_id,
            finish=self.finish,
            error=f"{error.code}: {error.message}" if error else None,
            tags=ask.hints.tags,
            text=StoredText(ask.raw, self.answer_text, self.draw_texts) if self.stores_text else None,
            charged=self.charge if self.uncounted else None,
            search=self.search,
        )
        house.journal.settle(record)
        if self.policy is not None and self.plan is not None and self.model is not None:
            learn(
                house,
                record,
                policy=self.policy.ready.name,
                arm=self.answered_by or self.plan.arm,
                model=self.model,
                turn=self.turn,
            )
        self._end_hold(record.charge)
        if self.place is not None:
            self.place.leave()
        model = self.model.name if self.model else "unknown"
        trace_id = None if self.trace is None else self.trace.id
        publish(house, record, operation=ask.endpoint.operation, model=model, trace_id=trace_id)
        if self.trace is not None:
            self.trace.end(record, model)

    def settle_unwanted(self) -> None:
        """Settle a request that was cancelled: its client has left, or the gateway stops."""
        if self.house.is_stopping:
            stopping = Unavailable("the gateway stopped before the answer was complete")
            self.settle(Result.INTERRUPTED, Unavailable.status, stopping)
        else:
            self.settle(Result.DISCONNECTED, DISCONNECTED_STATUS)

    def settle_fault(self) -> None:
        """Settle a request that a fault of our own ended: what its calls may have cost stays on record."""
        self.settle(Result.FAILED, PonderError.status, PonderError("a fault of the gateway ended the request"))

    def _end_hold(self, amount: Usd) -> None:
        if self.hold is None:
            return
        usages = [call.usage for call in self.calls if call.usage is not None]
        tokens = sum(usage.prompt_tokens + usage.output_tokens for usage in usages)
        self.house.settlements.end(self.hold, amount, tokens)


def _amount(model: Model, usage: Usage | None, error: PonderError | None, at: float) -> Usd | None:
    """What a call cost; None when nobody can know."""
    if usage is not None:
        if model.price is None:
            return None
        try:
            return cost(usage, model.price, at=at)
        except Unpriced:  # a fee that the price does not name, such as a web search: unknown, not zero
            return None
    return ZERO if isinstance(error, UpstreamError) and error.is_unbilled else None
