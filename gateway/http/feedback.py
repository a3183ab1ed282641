"""``POST /v1/feedback``: how good an answer was, told by whoever asked for it. Kept in the database at once.

``POST /v1/chat/completions/{id}`` takes the same as metadata, since that is how OpenAI's client can tell it.

Nothing here is on the path of a request. Where an answer's record is still on its way to the database,
what is told of it is kept all the same.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Protocol

from fastapi import APIRouter, Request, Response

from gateway.dialects.json_bytes import check_object, dumps, loads
from gateway.domain.identity import id_time
from gateway.domain.key import Key
from gateway.domain.outcome import MOST_COMMENT, Outcome
from gateway.domain.record import RequestRecord
from gateway.errors import InvalidRequest, NotFound, RateLimited
from gateway.flow.house import House
from gateway.http.access import admitted
from gateway.http.feedback_metadata import METADATA, read_metadata
from gateway.http.openapi import UNAUTHENTICATED, refusals
from gateway.http.shelf import small_body
from gateway.ports import Clock

MOST_PER_MINUTE = 1_200
"""Outcomes that one key may give one gateway process in a minute."""
UNRECORDED_S = 24 * 3600.0
"""For how long a request's record may be on its way: a gateway that was killed delivers it when it starts again."""

_AHEAD_S = 60.0
"""By how much another gateway's clock may be ahead of ours."""
_MEMBERS = frozenset({"request_id", "score", "correct", "source", "comment", "weight", "probability"})
_LONGEST_ID, _LONGEST_SOURCE = 512, 64
_SOURCE = "letters, digits, and . _ - from the second character on, at most 64 of them"
_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["request_id", "source"],
                    "oneOf": [{"required": ["score"]}, {"required": ["correct"]}],
                    "additionalProperties": False,
                    "properties": {
                        "request_id": {"type": "string", "maxLength": _LONGEST_ID},
                        "score": {"type": "number", "minimum": 0, "maximum": 1},
                        "correct": {"type": "boolean"},
                        "source": {"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"},
                        "comment": {"type": "string", "maxLength": MOST_COMMENT},
                        "weight": {"type": "number", "exclusiveMinimum": 0, "maximum": 1},
                        "probability": {"type": "number", "exclusiveMinimum": 0, "maximum": 1},
                    },
                }
            }
        },
    }
}
_UPDATE = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["metadata"],
                    "additionalProperties": False,
                    "properties": {"metadata": METADATA},
                }
            }
        },
    }
}
_REFUSALS = refusals(
    {
        400: "The feedback is invalid; the message says what would be accepted",
        401: UNAUTHENTICATED,
        404: "The key made no request with this id",
        409: "The key has named as many sources of this request as there may be",
        413: "The body is larger than is taken here",
        429: "Too much feedback in a minute; Retry-After says when to come back",
        503: "The database is away; nothing was kept",
    }
)


class RecordedRequests(Protocol):
    """Where finished requests can be found."""

    async def find(self, request_id: str) -> RequestRecord | None: ...

    async def find_by_answer(self, answer_id: str) -> RequestRecord | None: ...


class OutcomeBook(Protocol):
    """Where outcomes are kept."""

    async def keep(self, outcome: Outcome) -> None: ...


class Pace:
    """How much feedback each key gave in the present minute."""

    def __init__(self, clock: Clock, *, most: int = MOST_PER_MINUTE) -> None:
        self._clock = clock
        self._most = most
        self._minute = -1
        self._counts: dict[str, int] = {}

    def take(self, key_id: str) -> None:
        """Count one more. Raises RateLimited."""
        now = self._clock.monotonic()
        minute = int(now // 60)
        if minute != self._minute:
            self._minute, self._counts = minute, {}
        count = self._counts.get(key_id, 0)
        if count >= self._most:
            raise RateLimited(
                f"a key may give {self._most} pieces of feedback a minute", retry_after_s=(minute + 1) * 60 - now
            )
        self._counts[key_id] = count + 1


def router(house: House, log: RecordedRequests, book: OutcomeBook) -> APIRouter:
    """Feedback on the requests in ``log``, kept in ``book``: each key's on its own, and a role's on all."""
    routes = APIRouter(tags=["feedback"], responses=_REFUSALS)
    pace = Pace(house.clock)

    async def keep(key: Key, body: Mapping[str, Any]) -> tuple[Outcome, RequestRecord | None]:
        now = house.clock.now()
        named = _id(body.get("request_id"))
        record = await _find(log, named, key, now)
        outcome = _outcome(body, named if record is None else record.id, key, now)
        if not _keeps_text(house, record):
            outcome = replace(outcome, comment=None)
        await book.keep(outcome)
        return outcome, record

    @routes.post("/v1/feedback", summary="Tell how good an answer was", openapi_extra=_BODY)
    async def give(request: Request) -> Response:
        key = admitted(request, house)
        pace.take(key.id)
        outcome, record = await keep(key, _read(await small_body(request)))
        answer = {
            "request_id": outcome.request_id,
            "source": outcome.source,
            "score": outcome.score,
            "is_recorded": record is not None,
            "is_comment_kept": outcome.comment is not None,
        }
        return Response(dumps(answer), 200 if record is not None else 202, media_type="application/json")

    @routes.post(
        "/v1/chat/completions/{completion_id}", summary="Tell by metadata how good an answer was", openapi_extra=_UPDATE
    )
    async def update(completion_id: str, request: Request) -> Response:
        key = admitted(request, house)
        pace.take(key.id)
        metadata, body = read_metadata(await small_body(request), completion_id)
        _, record = await keep(key, body)
        return Response(dumps(_completion(completion_id, metadata, record)), media_type="application/json")

    return routes


def _completion(completion_id: str, metadata: Mapping[str, str], record: RequestRecord | None) -> Mapping[str, object]:
    """The completion as its client expects it back, without the answer, which is not kept."""
    return {
        "id": completion_id,
        "object": "chat.completion",
        "created": 0 if record is None else int(record.started_at),
        "model": "" if record is None else record.model_asked,
        "choices": [],
        "metadata": metadata,
    }


async def _find(log: RecordedRequests, named: str, key: Key, now: float) -> RequestRecord | None:
    """The request that feedback names; None where its record may still be on its way. Raises NotFound."""
    begun_at = id_time(named)
    if begun_at is None:
        record = await log.find_by_answer(named)
    else:
        record = await log.find(named)
        if record is None and now - UNRECORDED_S <= begun_at <= now + _AHEAD_S:
            return None
    if record is None or (record.key_id != key.id and key.role is None):
        raise NotFound(
            "no request with this id was made with this key; 'request_id' is the x-ponder-request-id of an answer, "
            "or the answer's own id"
        )
    return record


def _keeps_text(house: House, record: RequestRecord | None) -> bool:
    """Whether the operator opted in to texts: for all requests, or in the policy that decided this one."""
    catalog = house.catalog
    if catalog.stores_text or record is None or record.plan is None or record.plan.policy is None:
        return catalog.stores_text
    policy = catalog.policies.get(record.plan.policy)
    return policy is not None and policy.stores_text


def _read(raw: bytes) -> Mapping[str, Any]:
    body = loads(raw)
    if not isinstance(body, dict):
        raise InvalidRequest("the body must be a JSON object")
    check_object(raw, body)
    unknown = sorted(body.keys() - _MEMBERS)
    if unknown:
        raise InvalidRequest(f"unknown member; feedback takes: {', '.join(sorted(_MEMBERS))}", param=unknown[0][:64])
    return body


def _outcome(body: Mapping[str, Any], request_id: str, key: Key, now: float) -> Outcome:
    weight = body.get("weight")
    return Outcome(
        request_id=request_id,
        source=_source(body.get("source")),
        score=_score(body),
        at=now,
        key_id=key.id,
        is_vouched=key.role is not None,
        weight=1.0 if weight is None else _number(weight, "weight"),
        probability=None if body.get("probability") is None else _number(body["probability"], "probability"),
        comment=_comment(body.get("comment")),
    )


def _id(value: object) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= _LONGEST_ID or not value.isprintable():
        raise InvalidRequest(
            "'request_id' must be the x-ponder-request-id of an answer, or the answer's own id", param="request_id"
        )
    try:
        return str(uuid.UUID(value))
    except ValueError:
        return value


def _score(body: Mapping[str, Any]) -> float:
    score, correct = body.get("score"), body.get("correct")
    if (score is None) is (correct is None):
        raise InvalidRequest(
            "feedback takes either 'score', a number from 0 to 1, or 'correct', true or false; without one nothing "
            "is known, and nothing is kept",
            param="score",
        )
    if score is not None:
        return _number(score, "score")
    if not isinstance(correct, bool):
        raise InvalidRequest("'correct' must be true or false", param="correct")
    return float(correct)


def _number(value: object, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidRequest(f"'{name}' must be a number from 0 to 1", param=name)
    return float(min(max(value, -1), 2))  # out of bounds is refused further on, and no integer is too large for it


def _source(value: object) -> str:
    if (
        not isinstance(value, str)
        or not value.isascii()
        or not 0 < len(value) <= _LONGEST_SOURCE
        or not value[0].isalnum()
        or not all(each.isalnum() or each in "._-" for each in value)
    ):
        raise InvalidRequest(f"'source' must say who judged: {_SOURCE}", param="source")
    return value


def _comment(value: object) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str) or len(value) > MOST_COMMENT:
        raise InvalidRequest(f"'comment' must be a text of at most {MOST_COMMENT} characters", param="comment")
    return value.encode("utf-8", "replace").decode().replace("\0", "\N{REPLACEMENT CHARACTER}")
