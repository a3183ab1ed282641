"""``/v1/batches``: many requests from one file, answered within a day, in OpenAI's shapes. Each key sees its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response

from gateway.dialects.json_bytes import check_object, dumps, loads
from gateway.domain.ask import Operation
from gateway.domain.background import Batch, BatchState, FilePurpose, fault_document
from gateway.domain.identity import new_id
from gateway.domain.key import Key
from gateway.errors import Conflict, InvalidRequest, NotFound
from gateway.flow.house import House
from gateway.http.access import admitted
from gateway.http.dialects import ENDPOINTS
from gateway.http.files import listing
from gateway.http.shelf import REFUSALS, WINDOW_S, Shelf, small_body

BATCH_PREFIX = "batch_ponder"
BATCH_ENDPOINTS = tuple(path for path, each in ENDPOINTS.items() if each.operation is not Operation.COUNT_TOKENS)
"""The endpoints that a batch's lines may name."""

_WINDOW = "24h"
_MEMBERS = frozenset({"input_file_id", "endpoint", "completion_window", "metadata"})
_STAMPS = (
    BatchState.IN_PROGRESS, BatchState.FINALIZING, BatchState.COMPLETED, BatchState.FAILED, BatchState.EXPIRED,
    BatchState.CANCELLING, BatchState.CANCELLED,
)  # fmt: skip
_MOST_METADATA, _MOST_NAME, _MOST_VALUE = 16, 64, 512

BatchId = Annotated[str, Path(max_length=128, description="The id of a batch.")]
_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["input_file_id", "endpoint", "completion_window"],
                    "additionalProperties": False,
                    "properties": {
                        "input_file_id": {"type": "string"},
                        "endpoint": {"type": "string", "enum": list(BATCH_ENDPOINTS)},
                        "completion_window": {"type": "string", "enum": [_WINDOW]},
                        "metadata": {
                            "type": ["object", "null"],
                            "additionalProperties": {"type": "string", "maxLength": _MOST_VALUE},
                            "maxProperties": _MOST_METADATA,
                        },
                    },
                }
            }
        },
    }
}


def router(house: House, shelf: Shelf) -> APIRouter:
    """The batches on ``shelf``."""
    routes = APIRouter(tags=["background"], responses=REFUSALS)

    async def found(batch_id: str, key: Key) -> Batch:
        batch = await shelf.batches.find(batch_id, key.id, now=house.clock.now())
        if batch is None:
            raise NotFound("this key has no batch of this id; GET /v1/batches lists those it has")
        return batch

    @routes.post("/v1/batches", summary="Answer the requests of a file within 24 hours", openapi_extra=_BODY)
    async def create(request: Request) -> Response:
        key = admitted(request, house)
        shelf.check_taking()
        now = house.clock.now()
        batch = _read(await small_body(request), key, now)
        file = await shelf.files.find(batch.input_file_id, key.id, now=now)
        if file is None or file.purpose is not FilePurpose.BATCH:
            raise InvalidRequest(
                "'input_file_id' must be a file of this key with the purpose batch; POST /v1/files makes one",
                param="input_file_id",
            )
        await shelf.batches.create(batch)
        shelf.ring()
        return _json(_document(batch))

    @routes.get("/v1/batches", summary="List the key's batches")
    async def list_batches(
        request: Request,
        *,
        limit: Annotated[int, Query(ge=1, le=100)] = 20,
        after: Annotated[str | None, Query(max_length=128)] = None,
    ) -> Response:
        key = admitted(request, house)
        page = await shelf.batches.page(key.id, limit=limit + 1, now=house.clock.now(), after=after)
        return _json(listing([_document(batch) for batch in page], limit))

    @routes.get("/v1/batches/{batch_id}", summary="Look at a batch")
    async def retrieve(batch_id: BatchId, request: Request) -> Response:
        return _json(_document(await found(batch_id, admitted(request, house))))

    @routes.post("/v1/batches/{batch_id}/cancel", summary="Cancel a batch")
    async def cancel(batch_id: BatchId, request: Request) -> Response:
        key = admitted(request, house)
        is_cancelled = await shelf.batches.cancel(batch_id, key.id, now=house.clock.now())
        batch = await found(batch_id, key)
        if not is_cancelled:
            raise Conflict(f"the batch is {batch.state.value}; one that is validating or in_progress is cancelled")
        shelf.ring()
        return _json(_document(batch))

    return routes


def _read(raw: bytes, key: Key, now: float) -> Batch:
    """The batch that a body asks for. Raises InvalidRequest."""
    body = loads(raw)
    if not isinstance(body, dict):
        raise InvalidRequest("the body must be a JSON object")
    check_object(raw, body)
    unknown = sorted(body.keys() - _MEMBERS)
    if unknown:
        raise InvalidRequest(f"unknown member; a batch takes: {', '.join(sorted(_MEMBERS))}", param=unknown[0][:64])
    endpoint, file_id = body.get("endpoint"), body.get("input_file_id")
    if not isinstance(file_id, str) or not file_id.isprintable():
        raise InvalidRequest("'input_file_id' must be the id of a file", param="input_file_id")
    if endpoint not in BATCH_ENDPOINTS:
        raise InvalidRequest(f"'endpoint' must be one of: {', '.join(BATCH_ENDPOINTS)}", param="endpoint")
    if body.get("completion_window") != _WINDOW:
        raise InvalidRequest(f"'completion_window' must be '{_WINDOW}'", param="completion_window")
    return Batch(
        id=new_id(BATCH_PREFIX, now),
        key_id=key.id,
        endpoint=endpoint,
        input_file_id=file_id,
        metadata=_metadata(body.get("metadata")),
        state=BatchState.VALIDATING,
        created_at=now,
        deadline_at=now + WINDOW_S,
    )


def _metadata(given: object) -> Mapping[str, str]:
    if given is None:
        return {}
    if (
        not isinstance(given, dict)
        or len(given) > _MOST_METADATA
        or not all(_is_text(name, _MOST_NAME) and _is_text(value, _MOST_VALUE) for name, value in given.items())
    ):
        raise InvalidRequest(
            f"'metadata' must be an object of at most {_MOST_METADATA} strings: names of {_MOST_NAME} characters, "
            f"values of {_MOST_VALUE}, without control characters",
            param="metadata",
        )
    return given


def _is_text(value: object, most: int) -> bool:
    return isinstance(value, str) and len(value) <= most and value.isprintable()


def _document(batch: Batch) -> dict[str, Any]:
    faults = [fault_document(fault) for fault in batch.faults]
    stamps = {f"{state.value}_at": batch.stamps.get(state.value) for state in _STAMPS}
    return {
        "id": batch.id,
        "object": "batch",
        "endpoint": batch.endpoint,
        "errors": {"object": "list", "data": faults} if faults else None,
        "input_file_id": batch.input_file_id,
        "completion_window": _WINDOW,
        "status": batch.state.value,
        "output_file_id": batch.output_file_id,
        "error_file_id": batch.error_file_id,
        "created_at": int(batch.created_at),
        "expires_at": int(batch.deadline_at),
        **{name: None if at is None else int(at) for name, at in stamps.items()},
        "request_counts": {
            "total": batch.counts.total,
            "completed": batch.counts.completed,
            "failed": batch.counts.failed,
        },
        "metadata": dict(batch.metadata),
    }


def _json(document: dict[str, Any]) -> Response:
    return Response(dumps(document), media_type="application/json")
