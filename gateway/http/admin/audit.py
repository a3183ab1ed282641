"""``/admin/audit``: every change that was made, by whom, with what was there before and after."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel

from gateway.http.admin.bodies import Page
from gateway.http.admin.desk import REFUSALS, UNCACHED, AtDesk, Id, Limit, Viewer
from gateway.store.changes import AuditEntry

routes = APIRouter(prefix="/admin/audit", tags=["admin: audit"], responses=REFUSALS, dependencies=UNCACHED)


class AuditAnswer(BaseModel):
    """One change. ``actor`` is a key's id, ``admin`` for admin.key, ``boot`` for a start, ``files`` for a changed
    policy, or ``command`` for a command on the gateway's machine."""

    number: int
    at: datetime
    actor: str
    action: str
    target: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None


@routes.get("", summary="List changes (viewer)")
async def page(
    _: Viewer,
    desk: AtDesk,
    limit: Limit = 100,
    before: Annotated[int | None, Query(ge=1, le=2**53 - 1, description="A change's number.")] = None,
    target: Annotated[Id, Query(description="``key:ID`` or ``team:ID``.")] = None,
) -> Page[AuditAnswer]:
    """The newest first; those before a change, or of one target."""
    found = await desk.changes.audit(limit=limit, before=before, target=target)
    return Page(data=[_answer(entry) for entry in found], next=str(found[-1].number) if len(found) == limit else None)


def _answer(entry: AuditEntry) -> AuditAnswer:
    return AuditAnswer(
        number=entry.number,
        at=datetime.fromtimestamp(entry.at, UTC),
        actor=entry.actor,
        action=entry.action,
        target=entry.target,
        before=None if entry.before is None else dict(entry.before),
        after=None if entry.after is None else dict(entry.after),
    )
