"""From an ask to the model and upstream that will answer it, and the call to make there."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from gateway.dialects.codec import Codec
from gateway.dialects.json_bytes import dumps, splice
from gateway.dialects.openai_chat import only_documented
from gateway.dialects.seals import carries_foreign_thinking
from gateway.domain.ask import Ask, Operation
from gateway.domain.chat import Conversation, Dialect
from gateway.domain.key import Key, may_use
from gateway.domain.model import Model
from gateway.errors import Forbidden, InvalidRequest, UnknownModel
from gateway.flow.exchange import Exchange, effort_fields
from gateway.flow.house import Catalog, Terms
from gateway.policy.decide import Facts, decide
from gateway.ports import Upstream

_PATHS: dict[tuple[Dialect, Operation], str] = {
    (Dialect.OPENAI_CHAT, Operation.CHAT): "/chat/completions",
    (Dialect.OPENAI_CHAT, Operation.EMBEDDINGS): "/embeddings",
    (Dialect.OPENAI_RESPONSES, Operation.CHAT): "/responses",
    (Dialect.ANTHROPIC_MESSAGES, Operation.CHAT): "/v1/messages",
    (Dialect.ANTHROPIC_MESSAGES, Operation.COUNT_TOKENS): "/v1/messages/count_tokens",
}
_LISTED_MODELS = 40
_MOST_DROPPED = 32
_FIELD = re.compile(r"[A-Za-z0-9_.\[\]-]{1,80}")


@dataclass(frozen=True, slots=True)
class Route:
    """Where an ask goes. ``codec`` is None when the client's bytes pass as they are."""

    upstream: Upstream
    dialect: Dialect
    path: str
    body: bytes
    sent: Mapping[str, Any]
    codec: Codec | None
    hides_usage: bool = False
    estimates_tokens: bool = False
    """No call at all: the upstream cannot count tokens, so we estimate and say so."""


def find_model(ask: Ask, key: Key, catalog: Catalog) -> Model:
    """The configured model asked for.

    Raises :class:`Forbidden` when the key may not use it, or :class:`UnknownModel` when there is
    none; both list those that the key may use.
    """
    model = catalog.models.get(ask.model)
    if model is not None and may_use(key, model.name):
        return model
    names = sorted(name for name in catalog.models if may_use(key, name))
    listed = ", ".join(names[:_LISTED_MODELS]) + (
        ", … (GET /v1/models lists all)" if len(names) > _LISTED_MODELS else ""
    )
    if model is not None:
        raise Forbidden(f"this key may not use the model asked for; it may use: {listed or 'none'}", param="model")
    raise UnknownModel(f"the model asked for is not configured; available: {listed or 'none'}", param="model")


async def plan_route(exchange: Exchange) -> Route:
    """Decide, and prepare the call: pass through where the upstream speaks the client's dialect, else translate."""
    ask, catalog = exchange.ask, exchange.catalog
    model = find_model(ask, exchange.key, catalog)
    exchange.model = model
    exchange.plan = decide(model, _facts(ask), catalog.snapshots)
    upstream = catalog.upstreams[model.upstream]
    await _check_pin(exchange, model)
    dialect = ask.endpoint.dialect
    if dialect not in upstream.dialects:
        return _translate(exchange, model, upstream, upstream.dialects[0])
    if carries_foreign_thinking(ask.raw, dialect, is_strict=catalog.terms[model.upstream].is_openai):
        exchange.degraded.append("rewritten: the history holds another provider's thinking")
        return _translate(exchange, model, upstream, dialect)
    return _pass_through(exchange, model, upstream)


def _facts(ask: Ask) -> Facts:
    body = ask.body
    asked = body.get("max_completion_tokens") or body.get("max_output_tokens") or body.get("max_tokens")
    candidates = body.get("n")
    return Facts(
        model_asked=ask.model,
        prompt_tokens_at_most=len(ask.raw),
        output_tokens_asked=asked if isinstance(asked, int) and asked > 0 else None,
        candidates=candidates if isinstance(candidates, int) and candidates > 0 else 1,
        hints=ask.hints,
    )


async def _check_pin(exchange: Exchange, model: Model) -> None:
    """A stored response belongs to the key that it was made for, and lives at one upstream."""
    previous = exchange.ask.body.get("previous_response_id")
    if previous is None or exchange.ask.endpoint.dialect is not Dialect.OPENAI_RESPONSES:
        return
    home = await exchange.house.answers.home_of(str(previous))
    if home is None:
        return
    if home.key_id != exchange.key.id:
        raise InvalidRequest(
            "previous_response_id names no response of this key; send the whole conversation as input",
            param="previous_response_id",
        )
    if home.upstream != model.upstream:
        raise InvalidRequest(
            f"previous_response_id is stored at upstream {home.upstream!r}, and model {model.name!r} is at "
            f"{model.upstream!r}; ask for a model at {home.upstream!r}, or send the whole conversation as input",
            param="previous_response_id",
        )


def _pass_through(exchange: Exchange, model: Model, upstream: Upstream) -> Route:
    ask = exchange.ask
    changes: dict[str, Any] = {}
    if model.upstream_name != ask.model:
        changes["model"] = model.upstream_name
    hides_usage = False
    if ask.is_stream and ask.endpoint.dialect is Dialect.OPENAI_CHAT:
        options = ask.body.get("stream_options")
        options = options if isinstance(options, dict) else {}
        if options.get("include_usage") is not True:
            changes["stream_options"] = {**options, "include_usage": True}
            hides_usage = True
    return Route(
        upstream=upstream,
        dialect=ask.endpoint.dialect,
        path=_PATHS[ask.endpoint.dialect, ask.endpoint.operation],
        body=splice(ask.raw, changes) if changes else ask.raw,
        sent=effort_fields(ask.body),
        codec=None,
        hides_usage=hides_usage,
    )


def _translate(exchange: Exchange, model: Model, upstream: Upstream, target: Dialect) -> Route:
    ask, house, catalog = exchange.ask, exchange.house, exchange.catalog
    if ask.endpoint.operation is Operation.COUNT_TOKENS:
        exchange.degraded.append("input_tokens estimated")
        return Route(upstream, ask.endpoint.dialect, "", b"", {}, codec=None, estimates_tokens=True)
    if ask.endpoint.operation is not Operation.CHAT:
        raise InvalidRequest(f"model {model.name!r} is at an upstream that does not offer {ask.endpoint.path}")
    conversation = house.codecs[ask.endpoint.dialect].read_request(ask.body)
    _refuse_untranslatable(conversation)
    codec = house.codecs[target]
    rendered = codec.render_request(
        replace(conversation, model=model.upstream_name, include_usage=True),
        max_output_tokens=model.max_output_tokens or catalog.snapshots.default_output_tokens,
    )
    if target is Dialect.OPENAI_CHAT and catalog.terms[model.upstream].is_openai:
        rendered = only_documented(rendered)
    exchange.degraded.extend(_shown(rendered.dropped, conversation))
    return Route(
        upstream=upstream,
        dialect=target,
        path=_PATHS[target, ask.endpoint.operation],
        body=dumps(rendered.body),
        sent=effort_fields(rendered.body),
        codec=codec,
    )


def with_output_limit(route: Route, terms: Mapping[str, Terms], output_tokens: int) -> Route:
    """The route with an output limit set by us, in the words of its upstream's dialect."""
    if route.dialect is Dialect.OPENAI_RESPONSES:
        name = "max_output_tokens"
    elif route.dialect is Dialect.OPENAI_CHAT and terms[route.upstream.name].is_openai:
        name = "max_completion_tokens"
    else:
        name = "max_tokens"
    limit = {name: output_tokens}
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
