"""Unstreamed answers: call, read, price, settle, render."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.dialects.emptied import CUT, is_answer_emptied, is_body_emptied
from gateway.dialects.estimate import estimated_tokens
from gateway.dialects.json_bytes import dumps, loads
from gateway.dialects.tap import error_kind
from gateway.dialects.think_tags import split_answer
from gateway.domain.chat import Dialect
from gateway.domain.effort import OFF
from gateway.domain.record import Result
from gateway.domain.thinking import Wish
from gateway.domain.usage import Usage
from gateway.errors import InvalidRequest, PonderError, UpstreamError, UpstreamFailed
from gateway.flow.attempts import next_attempt, result_of, upstream_call
from gateway.flow.exchange import Exchange
from gateway.flow.hold import hold_again
from gateway.flow.reply import Whole, cost_header, decision_headers, request_id_headers
from gateway.flow.route import Route, route_to
from gateway.ports import AnswerHome

_JSON = (b"content-type", b"application/json")


async def answer(exchange: Exchange, route: Route) -> Whole:
    """The whole answer in the client's dialect, settled. Raises UpstreamError."""
    raw, body, route = await _call(exchange, route)
    if exchange.is_emptied and exchange.policy is not None and exchange.policy.retries_empty:
        raw, body, route = await _with_room(exchange, raw, body, route)
    if route.codec is not None:
        neutral = route.codec.read_answer(body)
        if route.tags is not None:
            neutral = split_answer(neutral, route.tags)
        raw = dumps(exchange.house.codecs[exchange.ask.endpoint.dialect].render_answer(neutral))
    return settled(exchange, raw)


async def _with_room(
    exchange: Exchange, raw: bytes, body: Mapping[str, Any], route: Route
) -> tuple[bytes, Mapping[str, Any], Route]:
    """The answer of one more call that thinks as little as its model can; the first one where there is none to be had.

    Under the same output limit, less thinking is what leaves room for an answer.
    """
    assert exchange.model is not None  # noqa: S101  a model has answered
    assert exchange.plan is not None  # noqa: S101  for a plan
    exchange.wish = Wish(effort=OFF)
    exchange.fallbacks = []  # should it fail, the answer that is here counts, and its arm
    try:
        retry = await route_to(exchange, exchange.model, exchange.answered_by or exchange.plan.arm)
        if retry.body == route.body:
            return raw, body, route
        await hold_again(exchange)
        exchange.degraded.append("asked again with less thinking: it had used up the output limit")
        return await _call(exchange, retry)
    except PonderError as fault:
        exchange.degraded.append(f"empty: thinking used up the output limit, and asking again failed ({fault.code})")
        return raw, body, route


def estimate_tokens(exchange: Exchange) -> Whole:
    """An answer to count_tokens where no upstream counts: the text's bytes by four, named as an estimate.

    Images and documents by reference are not seen by it.
    """
    conversation = exchange.house.codecs[exchange.ask.endpoint.dialect].read_request(exchange.ask.body)
    return settled(exchange, dumps({"input_tokens": estimated_tokens(conversation)}))


def settled(exchange: Exchange, raw: bytes) -> Whole:
    """The answer's bytes for the client, with the request settled."""
    if exchange.stores_text:
        exchange.answer_text = raw
    exchange.settle(Result.ANSWERED, 200)
    headers = [_JSON, (b"content-length", b"%d" % len(raw))]
    headers += decision_headers(exchange)
    headers += cost_header(exchange)
    headers += request_id_headers(exchange.ask)
    return Whole(headers, raw)


async def _call(exchange: Exchange, route: Route) -> tuple[bytes, Mapping[str, Any], Route]:
    while True:
        call = exchange.begin_call(route.requested, route.sent)
        try:
            async with route.upstream.open(upstream_call(exchange, route, call)) as reply:
                call.status = reply.status
                call.first_byte = exchange.house.clock.monotonic()
                call.reply_id = reply.headers.get("x-request-id") or reply.headers.get("request-id")
                raw = await reply.read()
            body = answer_body(raw, exchange.model.upstream if exchange.model else "")
        except UpstreamError as error:
            exchange.end_call(call, result_of(error), error=error)
            route = await next_attempt(exchange, route, error)
            continue
        usage = exchange.house.codecs[route.dialect].find_usage(body)
        exchange.end_call(call, Result.ANSWERED, usage)
        _note_answer(exchange, route, body)
        if exchange.finish in CUT:
            exchange.judge_emptied(is_emptied=_is_emptied(route, body, usage))
        return raw, body, route


def _is_emptied(route: Route, body: Mapping[str, Any], usage: Usage | None) -> bool:
    if route.codec is not None and route.tags is not None:  # where thinking stands in the text, text is no answer yet
        return is_answer_emptied(split_answer(route.codec.read_answer(body), route.tags))
    return is_body_emptied(route.dialect, body, usage)


def answer_body(raw: bytes, upstream: str) -> Mapping[str, Any]:
    """The answer's JSON object. A 200 that is not one, or that holds an error, is a failure."""
    try:
        body = loads(raw)
    except InvalidRequest as fault:
        raise UpstreamFailed(f"upstream {upstream} answered 200 with a body that is not valid JSON") from fault
    if not isinstance(body, dict):
        raise UpstreamFailed(f"upstream {upstream} answered 200 with a body that is not a JSON object")
    if body.get("error") is not None and body.get("object") != "response":
        raise UpstreamFailed(f"upstream {upstream} answered 200 with an error ({error_kind(body['error'])})")
    return body


def _note_answer(exchange: Exchange, route: Route, body: Mapping[str, Any]) -> None:
    answer_id = body.get("id")
    if isinstance(answer_id, str):
        exchange.answer_id = answer_id
        if route.dialect is Dialect.OPENAI_RESPONSES and exchange.model is not None:
            exchange.house.answers.remember(answer_id, AnswerHome(exchange.model.upstream, exchange.key.id))
    finish = body.get("stop_reason") or body.get("status")
    choices = body.get("choices")
    if isinstance(choices, list) and choices and isinstance(choices[0], dict):
        finish = choices[0].get("finish_reason")
    exchange.finish = finish if isinstance(finish, str) else None
