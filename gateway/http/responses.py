"""Background responses: taken in at ``POST /v1/responses``, looked at, cancelled and deleted by their ids."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request, Response

from gateway.dialects.json_bytes import dumps, loads, splice, without
from gateway.domain.ask import Ask
from gateway.domain.background import RESPONSE_PREFIX, Job, JobStanding, JobState
from gateway.domain.identity import new_id
from gateway.domain.key import Key, may_use
from gateway.errors import Conflict, Forbidden, InvalidRequest, NotFound, RateLimited, UnknownModel
from gateway.flow.admit import admit
from gateway.flow.deciding import is_decided_by_policy
from gateway.flow.house import House
from gateway.flow.reply import Whole, request_id_headers
from gateway.http.access import admitted
from gateway.http.shelf import REFUSALS, WINDOW_S, Shelf

_RETRY_S = 10.0
_CREDENTIALS = frozenset({"authorization", "x-api-key", "content-length", "content-encoding"})
_ECHOED = (
    "instructions", "max_output_tokens", "metadata", "parallel_tool_calls", "previous_response_id", "reasoning",
    "service_tier", "temperature", "text", "tool_choice", "tools", "top_p", "truncation", "user",
)  # fmt: skip
_DEFAULTS: Mapping[str, Any] = {"parallel_tool_calls": True, "tool_choice": "auto", "tools": [], "metadata": {}}
_STATUSES = {JobState.EXPIRED: "failed"}
_EXPIRED = {"code": "expired", "message": "the response could not be made within 24 hours of its request"}

ResponseId = Annotated[str, Path(max_length=128, description="The id of a background response.")]


class BackgroundIntake:
    """Keeps background responses for the runner. Satisfies :class:`gateway.http.dialects.Intake`."""

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf

    async def continued(self, credential: str | None, response_id: str, raw: bytes) -> bytes:
        house = self._shelf.house
        key = admit(credential, house.keys, house.clock.now())
        answer_id = await self._shelf.jobs.answer_id(response_id, key.id)
        if answer_id is None:
            raise InvalidRequest(
                "'previous_response_id' names no background response of this key that its provider has stored: it must "
                "be completed, and made by a model that is called by responses; else send the whole conversation",
                param="previous_response_id",
            )
        return splice(raw, {"previous_response_id": answer_id})

    async def take(self, key: Key, ask: Ask, raw: bytes) -> Whole:
        """Store the request and answer with a response that is queued."""
        self._shelf.check_taking()
        _check(ask)
        _check_model(ask.model, key, self._shelf.house)
        most = self._shelf.terms.max_key_waiting
        if await self._shelf.jobs.waiting(key.id, most=most) >= most:
            raise RateLimited(
                f"{most} background responses of this key wait, the limit set by background.max_key_waiting; "
                "one more is taken when one has ended",
                retry_after_s=_RETRY_S,
            )
        now = self._shelf.house.clock.now()
        job = Job(
            id=new_id(RESPONSE_PREFIX, now),
            key_id=key.id,
            endpoint=ask.endpoint.path,
            model=ask.model[:200],
            body=without(raw, "background"),
            created_at=now,
            deadline_at=now + WINDOW_S,
            headers={name: value for name, value in ask.headers.items() if name not in _CREDENTIALS},
        )
        await self._shelf.jobs.add(job)
        self._shelf.ring()
        body = dumps(_unfinished(job, JobState.QUEUED))
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
        return Whole([*headers, (b"x-ponder-request-id", ask.request_id.encode()), *request_id_headers(ask)], body)


def _check(ask: Ask) -> None:
    body = ask.body
    if body.get("background") is not True:
        raise InvalidRequest("'background' must be true or false", param="background")
    if ask.is_stream:
        raise InvalidRequest(
            "'stream' must be false with 'background': a background response is looked at by GET /v1/responses/{id} "
            "until its status is no longer queued or in_progress",
            param="stream",
        )
    if body.get("store") is False:
        raise InvalidRequest(
            "'store' must be true with 'background': the response is kept here until it is fetched; "
            "DELETE /v1/responses/{id} forgets it",
            param="store",
        )


def _check_model(name: str, key: Key, house: House) -> None:
    """Refuse at once what would be refused later."""
    if is_decided_by_policy(name):
        return  # whether the key may use what is chosen is found when the response is made
    if name not in house.catalog.models:
        raise UnknownModel("the model asked for is not configured; GET /v1/models lists what is", param="model")
    if not may_use(key, name):
        raise Forbidden(
            "this key may not use the model asked for; GET /v1/models lists those it may use", param="model"
        )


def router(house: House, shelf: Shelf) -> APIRouter:
    """The background responses on ``shelf``, each visible to the key that asked for it."""
    routes = APIRouter(tags=["background"], responses=REFUSALS)

    async def found(response_id: str, key: Key) -> JobStanding:
        standing = await shelf.jobs.find(response_id, key.id, now=house.clock.now())
        if standing is None:
            raise _unknown()
        return standing

    @routes.get("/v1/responses/{response_id}", summary="Look at a background response")
    async def retrieve(response_id: ResponseId, request: Request) -> Response:
        key = admitted(request, house)
        if request.query_params.get("stream") not in {None, "false"}:
            raise InvalidRequest("'stream' must be false: a background response is fetched whole", param="stream")
        return _answer(await found(response_id, key))

    @routes.post("/v1/responses/{response_id}/cancel", summary="Cancel a background response")
    async def cancel(response_id: ResponseId, request: Request) -> Response:
        key = admitted(request, house)
        now = house.clock.now()
        is_cancelled = await shelf.jobs.cancel(response_id, key.id, now=now, kept_until=now + shelf.kept_s)
        standing = await found(response_id, key)
        if not is_cancelled and standing.state is not JobState.CANCELLED:
            raise Conflict(f"the response is {_status(standing.state)}; one that is queued or in_progress is cancelled")
        shelf.ring()
        return _answer(standing)

    @routes.delete("/v1/responses/{response_id}", summary="Delete a background response")
    async def delete(response_id: ResponseId, request: Request) -> Response:
        key = admitted(request, house)
        if not await shelf.jobs.delete(response_id, key.id):
            raise _unknown()
        shelf.ring()
        body = dumps({"id": response_id, "object": "response", "deleted": True})
        return Response(body, media_type="application/json")

    return routes


def _unknown() -> NotFound:
    return NotFound(
        "this key has no background response of this id; only responses made here with 'background': true can be "
        "fetched, until background.keep_hours after they ended"
    )


def _answer(standing: JobStanding) -> Response:
    headers = {}
    if standing.request_id is not None:
        headers = dict.fromkeys(("x-ponder-request-id", "x-request-id"), standing.request_id)
    return Response(response_body(standing), media_type="application/json", headers=headers)


def response_body(standing: JobStanding) -> bytes:
    """The response object of a job, in OpenAI's shape: the answer itself, under our id, once there is one."""
    if standing.state is JobState.COMPLETED and standing.result is not None:
        return splice(standing.result, {"id": standing.job.id, "background": True})
    document = _unfinished(standing.job, standing.state)
    if standing.state is JobState.EXPIRED:
        document["error"] = _EXPIRED
    elif standing.result is not None:
        document["error"] = _fault(standing.result, standing.status)
    return dumps(document)


def _fault(result: bytes, status: int | None) -> dict[str, Any]:
    """Code and message of an error as its upstream or we worded it."""
    fault = loads(result).get("error")
    if not isinstance(fault, dict):
        return {"code": "upstream_refused", "message": f"the upstream refused the request ({status})"}
    return {"code": fault.get("code") or fault.get("type"), "message": fault.get("message")}


def _unfinished(job: Job, state: JobState) -> dict[str, Any]:
    asked = loads(job.body) if job.body else {}
    return {
        "id": job.id,
        "object": "response",
        "created_at": int(job.created_at),
        "status": _status(state),
        "background": True,
        "error": None,
        "incomplete_details": None,
        "model": job.model,
        "output": [],
        "usage": None,
        **{name: asked.get(name, _DEFAULTS.get(name)) for name in _ECHOED},
    }


def _status(state: JobState) -> str:
    return _STATUSES.get(state, state.value)
