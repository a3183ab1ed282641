"""``/v1/files``: what batches are made from and what they leave, in OpenAI's shapes. Each key sees its own."""

from __future__ import annotations

import contextlib
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.responses import StreamingResponse

from gateway.dialects.json_bytes import dumps
from gateway.domain.background import FilePurpose, StoredFile
from gateway.domain.identity import new_id
from gateway.domain.key import Key
from gateway.errors import InvalidRequest, NotFound, TooLarge
from gateway.flow.house import House
from gateway.http.access import admitted
from gateway.http.multipart import OVERHEAD_BYTES, Form, read_form
from gateway.http.shelf import REFUSALS, Shelf, arriving

FILE_PREFIX = "file-ponder"
_PURPOSE = "purpose"
_EXPIRES_AFTER = "expires_after[seconds]"
_ANCHOR = "expires_after[anchor]"
_LEAST_S, _MOST_S = 3600, 2_592_000
_CHECKED_BYTES = 16 * 1024 * 1024
"""Uploads that began together are held to the key's limit after each so many bytes."""

FileId = Annotated[str, Path(max_length=128, description="The id of a file.")]
_FORM = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file", _PURPOSE],
                    "properties": {
                        "file": {"type": "string", "format": "binary"},
                        _PURPOSE: {"type": "string", "enum": [FilePurpose.BATCH.value]},
                    },
                }
            }
        },
    }
}


def router(house: House, shelf: Shelf) -> APIRouter:
    """The files on ``shelf``."""
    routes = APIRouter(tags=["background"], responses=REFUSALS)

    async def found(file_id: str, key: Key) -> StoredFile:
        file = await shelf.files.find(file_id, key.id, now=house.clock.now())
        if file is None:
            raise NotFound("this key has no file of this id; GET /v1/files lists those it has")
        return file

    @routes.post("/v1/files", summary="Upload a file for a batch", openapi_extra=_FORM)
    async def upload(request: Request) -> Response:
        key = admitted(request, house)
        shelf.check_taking()
        return _json(_document(await _keep(request, key, shelf)))

    @routes.get("/v1/files", summary="List the key's files")
    async def list_files(
        request: Request,
        *,
        limit: Annotated[int, Query(ge=1, le=10_000)] = 10_000,
        after: Annotated[str | None, Query(max_length=128)] = None,
        purpose: FilePurpose | None = None,
        order: Literal["asc", "desc"] = "desc",
    ) -> Response:
        key = admitted(request, house)
        page = await shelf.files.page(
            key.id,
            limit=limit + 1,
            now=house.clock.now(),
            after=after,
            purpose=purpose,
            is_ascending=order == "asc",
        )
        return _json(listing([_document(file) for file in page], limit))

    @routes.get("/v1/files/{file_id}", summary="Look at a file's description")
    async def retrieve(file_id: FileId, request: Request) -> Response:
        return _json(_document(await found(file_id, admitted(request, house))))

    @routes.get("/v1/files/{file_id}/content", summary="Download a file")
    async def content(file_id: FileId, request: Request) -> Response:
        file = await found(file_id, admitted(request, house))
        headers = {"content-length": str(file.size)}
        return StreamingResponse(shelf.files.chunks(file.id), media_type="application/jsonl", headers=headers)

    @routes.delete("/v1/files/{file_id}", summary="Delete a file")
    async def delete(file_id: FileId, request: Request) -> Response:
        file = await found(file_id, admitted(request, house))
        await shelf.files.delete(file.id, file.key_id, now=house.clock.now())
        return _json({"id": file.id, "object": "file", "deleted": True})

    return routes


async def _keep(request: Request, key: Key, shelf: Shelf) -> StoredFile:
    """Store an upload as it arrives; nothing of it stays where it is refused."""
    most_bytes = shelf.terms.max_file_bytes
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length) > most_bytes + OVERHEAD_BYTES:
        raise TooLarge(f"the file has more than {most_bytes} bytes, the limit set by background.max_file_bytes")
    await _check_room(shelf, key)
    clock = shelf.house.clock
    now = clock.now()
    file_id = new_id(FILE_PREFIX, now)
    draft = await shelf.files.begin(file_id, key.id, FilePurpose.BATCH, now=now)
    checked = 0

    async def write(data: bytes) -> None:
        nonlocal checked
        await draft.write(data, now=clock.now())
        if draft.size - checked > _CHECKED_BYTES:
            checked = draft.size
            await _check_room(shelf, key, own=draft.size)

    async with contextlib.AsyncExitStack() as undo:
        undo.push_async_callback(shelf.files.abandon, file_id)
        form = await read_form(
            arriving(request),
            request.headers.get("content-type", ""),
            file_field="file",
            most_bytes=most_bytes,
            write=write,
        )
        file = StoredFile(
            id=file_id,
            key_id=key.id,
            purpose=_purpose(form),
            name=form.file_name or "",
            size=form.size,
            created_at=now,
            kept_until=now + min(shelf.kept_s, _expiry_s(form)),
        )
        await shelf.files.complete(draft, file, now=clock.now())
        undo.pop_all()
    return file


async def _check_room(shelf: Shelf, key: Key, *, own: int = 0) -> None:
    """Raise TooLarge where the key's other files, those still arriving among them, reach its limit."""
    if await shelf.files.stored_bytes(key.id) - own >= shelf.terms.max_key_bytes:
        raise TooLarge(
            f"this key's files have {shelf.terms.max_key_bytes} bytes or more, the limit set by "
            "background.max_key_bytes; DELETE /v1/files/{id} makes room"
        )


def _purpose(form: Form) -> FilePurpose:
    purpose = form.fields.get(_PURPOSE)
    if purpose != FilePurpose.BATCH:
        raise InvalidRequest("'purpose' must be 'batch'; no other files are kept here", param=_PURPOSE)
    return FilePurpose.BATCH


def _expiry_s(form: Form) -> float:
    given = form.fields.get(_EXPIRES_AFTER)
    if given is None:
        return _MOST_S
    if not given.isdecimal() or not _LEAST_S <= int(given) <= _MOST_S or form.fields.get(_ANCHOR) != "created_at":
        raise InvalidRequest(
            f"'expires_after' must have the anchor created_at and from {_LEAST_S} to {_MOST_S} seconds",
            param="expires_after",
        )
    return float(given)


def _document(file: StoredFile) -> dict[str, Any]:
    return {
        "id": file.id,
        "object": "file",
        "bytes": file.size,
        "created_at": int(file.created_at),
        "expires_at": int(file.kept_until),
        "filename": file.name,
        "purpose": file.purpose.value,
        "status": "processed",
        "status_details": None,
    }


def listing(rows: list[dict[str, Any]], limit: int) -> dict[str, Any]:
    """A page in OpenAI's shape, from one row more than it may have."""
    page = rows[:limit]
    return {
        "object": "list",
        "data": page,
        "first_id": page[0]["id"] if page else None,
        "last_id": page[-1]["id"] if page else None,
        "has_more": len(rows) > limit,
    }


def _json(document: dict[str, Any]) -> Response:
    return Response(dumps(document), media_type="application/json")
