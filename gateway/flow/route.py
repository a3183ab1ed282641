"""From a chosen model to the call to make there: the client's bytes where dialects match, a translation otherwise."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from gateway.dialects.client_thinking import foreign_wish, sets_thinking, without_thinking
from gateway.dialects.codec import Codec
from gateway.dialects.json_bytes import dumps, splice
from gateway.dialects.openai_chat import only_documented
from gateway.dialects.seals import carries_foreign_thinking
from gateway.dialects.think_tags import Opening, opening_of
from gateway.domain.arm import Arm
from gateway.domain.ask import Operation
from gateway.domain.capabilities import Shown
from gateway.domain.chat import Conversation, Dialect
from gateway.domain.construction import quick_value
from gateway.domain.effort import LEVELS
from gateway.domain.key import Priority
from gateway.domain.model import Model
from gateway.domain.thinking import Actuation, Wish
from gateway.errors import InvalidRequest
from gateway.flow.effort_fields import effort_fields
from gateway.flow.exchange import Exchange
from gateway.flow.house import Terms
from gateway.ports import Upstream

_PATHS: dict[tuple[Dialect, Operation], str] = {
    (Dialect.OPENAI_CHAT, Operation.CHAT): "/chat/completions",
    (Dialect.OPENAI_CHAT, Operation.EMBEDDINGS): "/embeddings",
    (Dialect.OPENAI_RESPONSES, Operation.CHAT): "/responses",
    (Dialect.ANTHROPIC_MESSAGES, Operation.CHAT): "/v1/messages",
    (Dialect.ANTHROPIC_MESSAGES, Operation.COUNT_TOKENS): "/v1/messages/count_tokens",
}
_RANKED = frozenset({Dialect.OPENAI_CHAT, Dialect.OPENAI_RESPONSES})
_RANKS = {Priority.INTERACTIVE: 0, Priority.BACKGROUND: 1}
"""By a key's priority what vLLM calls so: the lower goes first. No client ranks its requests itself."""
_MOST_DROPPED = 32
_FIELD = re.compile(r"[A-Za-z0-9_.\[\]-]{1,80}")


@quick_value
class Route:
    """Where an ask goes. ``codec`` is None when the client's bytes pass as they are."""

    upstream: Upstream
    dialect: Dialect
    path: str
    body: bytes
    requested: Mapping[str, Any]
    sent: Mapping[str, Any]
    codec: Codec | None
    hides_usage: bool = False
    tags: Opening | None = None
    """Who opens ``<think>`` in the answer's text, where thinking is to be told apart from it."""
    estimates_tokens: bool = False
    """No call at all: the upstream cannot count tokens, so we estimate and say so."""


async def route_to(exchange: Exchange, model: Model, arm: Arm) -> Route:
    """The call to an arm's model; what it cannot say or do joins the exchange's ``degraded``.

    An arm of a policy sets how hard its model thinks. A model that the client names itself is asked
    as the client asks it, with the client's own wish put into its words where dialects differ.

    Raises :class:`InvalidRequest` for what this model's upstream cannot take at all.
    """
    exchange.model = model
    route = _route(exchange, model, arm, exchange.catalog.upstreams[model.upstream])
    if exchange.catalog.terms[model.upstream].by_priority and route.dialect in _RANKED:
        return replace(route, body=splice(route.body, {"priority": _RANKS[exchange.key.priority]}))
    return route


def _route(exchange: Exchange, model: Model, arm: Arm, upstream: Upstream) -> Route:
    ask, catalog = exchange.ask, exchange.catalog
    _check_pin(exchange, model)
    dialect = ask.endpoint.dialect
    if dialect not in upstream.dialects:
        return _translate(exchange, model, arm, upstream, _best_of(upstream, exchange, model, arm))
    if exchange.sets_thinking and _best_of(upstream, exchange, model, arm) is not dialect is Dialect.OPENAI_CHAT:
        return _translate(exchange, model, arm, upstream, Dialect.OPENAI_RESPONSES)
    if carries_foreign_thinking(ask.raw, dialect, is_strict=catalog.terms[model.upstream].is_openai):
        exchange.remark("rewritten: the history holds another provider's thinking")
        return _translate(exchange, model, arm, upstream, dialect)
    return _pass_through(exchange, model, arm, upstream)


def _best_of(upstream: Upstream, exchange: Exchange, model: Model, arm: Arm) -> Dialect:
    """The dialect to ask a model in: its upstream's preferred one, unless the Responses API keeps what that loses."""
    keeps = upstream.dialects[0] is Dialect.OPENAI_CHAT and Dialect.OPENAI_RESPONSES in upstream.dialects
    has_tools = bool(exchange.ask.body.get("tools"))
    if keeps and model.capability.prefers_responses(has_tools=has_tools, effort=arm.effort):
        return Dialect.OPENAI_RESPONSES
    return upstream.dialects[0]


def _check_pin(exchange: Exchange, model: Model) -> None:
    """A stored response lives at one upstream."""
    if exchange.stored_at not in (None, model.upstream):
        raise InvalidRequest(
            f"previous_response_id is stored at upstream {exchange.stored_at!r}, and model {model.name!r} is at "
            f"{model.upstream!r}; ask for a model at {exchange.stored_at!r}, or send the whole conversation as input",
            param="previous_response_id",
        )


def _pass_through(exchange: Exchange, model: Model, arm: Arm, upstream: Upstream) -> Route:
    ask = exchange.ask
    dialect = ask.endpoint.dialect
    changes: dict[str, Any] = {}
    if model.upstream_name != ask.model:
        changes["model"] = model.upstream_name
    hides_usage = False
    if ask.is_stream and dialect is Dialect.OPENAI_CHAT:
        options = ask.body.get("stream_options")
        options = options if isinstance(options, dict) else {}
        if options.get("include_usage") is not True:
            changes["stream_options"] = {**options, "include_usage": True}
            hides_usage = True
    is_chat = ask.endpoint.operation is Operation.CHAT
    foreign = foreign_wish(model.capability, dialect, ask.body) if is_chat and not exchange.sets_thinking else None
    if not (exchange.sets_thinking and is_chat) and foreign is None:
        sent = effort_fields(ask.body)
        body = splice(ask.raw, changes) if changes else ask.raw
        return Route(
            upstream, dialect, _PATHS[dialect, ask.endpoint.operation], body, sent, sent, None, hides_usage=hides_usage
        )
    asked = dict(ask.body) | changes
    wish = foreign or _wish_to(exchange, arm, dialect, asked)
    thinking = _set_thinking(exchange, model, wish, dialect, asked)
    tags = opening_of(model.capability) if thinking.reads_tags else None
    codec = None if tags is None else exchange.house.codecs[dialect]
    return Route(
        upstream=upstream,
        dialect=dialect,
        path=_PATHS[dialect, ask.endpoint.operation],
        body=_edited(ask.raw, ask.body, asked),
        requested=thinking.requested,
        sent={**thinking.sent, **effort_fields(asked)},
        codec=codec,
        hides_usage=hides_usage,
        tags=tags,
    )


def _translate(exchange: Exchange, model: Model, arm: Arm, upstream: Upstream, target: Dialect) -> Route:
    ask, house, catalog = exchange.ask, exchange.house, exchange.catalog
    if ask.endpoint.operation is Operation.COUNT_TOKENS:
        exchange.degraded.append("input_tokens estimated")
        return Route(upstream, ask.endpoint.dialect, "", b"", {}, {}, codec=None, estimates_tokens=True)
    if ask.endpoint.operation is not Operation.CHAT:
        raise InvalidRequest(f"model {model.name!r} is at an upstream that does not offer {ask.endpoint.path}")
    conversation = house.codecs[ask.endpoint.dialect].read_request(ask.body)
    _refuse_untranslatable(conversation)
    codec = house.codecs[target]
    rendered = codec.render_request(
        replace(conversation, model=model.upstream_name, include_usage=True),
        max_output_tokens=model.max_output_tokens or catalog.defaults.default_output_tokens,
    )
    if target is Dialect.OPENAI_CHAT and catalog.terms[model.upstream].is_openai:
        rendered = only_documented(rendered)
    exchange.remark(*_shown(rendered.dropped, conversation))
    body = rendered.body
    requested: Mapping[str, Any] = effort_fields(ask.body)
    sent: Mapping[str, Any] = {}
    tags = opening_of(model.capability) if model.capability.shown is Shown.TAGGED else None
    wish = _clients_wish(conversation, ask.endpoint.dialect, target)
    if exchange.sets_thinking:
        wish = _wish_to(exchange, arm, target, body)
    if wish is not None:
        thinking = _set_thinking(exchange, model, wish, target, body)
        requested, sent = thinking.requested, thinking.sent
        tags = opening_of(model.capability) if thinking.reads_tags else tags
    return Route(
        upstream=upstream,
        dialect=target,
        path=_PATHS[target, ask.endpoint.operation],
        body=dumps(body),
        requested=requested,
        sent={**sent, **effort_fields(body)},
        codec=codec,
        tags=tags,
    )


def _clients_wish(conversation: Conversation, source: Dialect, target: Dialect) -> Wish | None:
    """What a client wishes of a model whose provider has other words for it; None where it says nothing."""
    thinking = conversation.thinking
    if source is target or (thinking.effort not in LEVELS and thinking.budget_tokens is None):
        return None
    return Wish(thinking.effort if thinking.effort in LEVELS else None, thinking.budget_tokens)


def _wish_to(exchange: Exchange, arm: Arm, dialect: Dialect, body: Mapping[str, Any]) -> Wish:
    """How hard a decided arm is to think; empty where the client says so itself, and its key may override."""
    if exchange.wish is not None:
        return exchange.wish
    if exchange.key.may_override and sets_thinking(dialect, body):
        return Wish()
    return Wish(arm.effort, arm.thinking_tokens)


def _set_thinking(exchange: Exchange, model: Model, wish: Wish, dialect: Dialect, body: dict[str, Any]) -> Actuation:
    """Change ``body`` so that the model thinks as wished, within the plan's output limit; what differs is said."""
    if not wish.is_empty or not exchange.key.may_override:
        stripped = without_thinking(dialect, body)
        _apply(body, stripped.changes, stripped.removals)
    ceilings = exchange.plan.ceilings if exchange.plan is not None else None
    limit = ceilings.output_tokens if ceilings is not None else None
    if exchange.is_decided and limit is not None and exchange.demand.output_tokens_asked is None:
        body[limit_field(dialect, is_openai=exchange.catalog.terms[model.upstream].is_openai)] = limit
    most = limit or model.max_output_tokens or exchange.catalog.defaults.default_output_tokens
    actuation = exchange.house.think(model.capability, dialect, body, wish, max_output_tokens=most)
    _apply(body, actuation.changes, actuation.removals)
    exchange.remark(*actuation.remaps)
    return actuation


def _apply(body: dict[str, Any], changes: Mapping[str, Any], removals: tuple[str, ...]) -> None:
    for name in removals:
        body.pop(name, None)
    body.update(changes)


def _edited(raw: bytes, before: Mapping[str, Any], after: Mapping[str, Any]) -> bytes:
    """The client's bytes with only those top-level members changed that differ."""
    removals = before.keys() - after.keys()
    changes = {name: value for name, value in after.items() if name not in before or before[name] is not value}
    return splice(raw, changes, removals=removals) if changes or removals else raw


def limit_field(dialect: Dialect, *, is_openai: bool) -> str:
    """The name of the output limit in a dialect; OpenAI's own newer models take no ``max_tokens``."""
    if dialect is Dialect.OPENAI_RESPONSES:
        return "max_output_tokens"
    return "max_completion_tokens" if dialect is Dialect.OPENAI_CHAT and is_openai else "max_tokens"


def with_output_limit(route: Route, terms: Mapping[str, Terms], output_tokens: int) -> Route:
    """The route with an output limit set by us, in the words of its upstream's dialect."""
    limit = {limit_field(route.dialect, is_openai=terms[route.upstream.name].is_openai): output_tokens}
    return replace(route, body=splice(route.body, limit), sent={**route.sent, **limit})


def _shown(dropped: tuple[str, ...], conversation: Conversation) -> list[str]:
    """What was dropped, fit for a header and the record: a client's own field may be named by a prompt, or be many."""
    of_client = {name for fields in conversation.extras.values() for name in fields}
    shown = [
        name if name not in of_client or _FIELD.fullmatch(name) else "a field of another name"
        for name in dropped[:_MOST_DROPPED]
    ]
    if len(dropped) > _MOST_DROPPED:
        shown.append(f"{len(dropped) - _MOST_DROPPED} more")
    return shown


def _refuse_untranslatable(conversation: Conversation) -> None:
    candidates = conversation.sampling.candidates
    if candidates is not None and candidates != 1:
        raise InvalidRequest(
            f"n is {candidates}; this model's API gives one candidate per request: send n requests", param="n"
        )
