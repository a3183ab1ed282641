"""``/admin/keys``: who may call."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query

from gateway.adapters.key_file import new_secret
from gateway.domain.identity import new_id
from gateway.domain.key import Role
from gateway.domain.secret import hint
from gateway.domain.tenancy import IssuedKey, KeyTerms, key_document
from gateway.errors import Forbidden, InvalidRequest
from gateway.http.admin.bodies import (
    IssuedAnswer,
    KeyAmendment,
    KeyAnswer,
    NewKey,
    Page,
    Rotation,
    amended_limits,
    amended_scope,
)
from gateway.http.admin.desk import REFUSALS, UNCACHED, Admin, AtDesk, Desk, Id, Limit, Operator, Reference, Viewer
from gateway.store.keys import NewSecret

routes = APIRouter(prefix="/admin/keys", tags=["admin: keys"], responses=REFUSALS, dependencies=UNCACHED)

_LONGEST_LIFE_S = 100 * 365 * 86_400


def answer(key: IssuedKey) -> KeyAnswer:
    """A key as the API shows it."""
    return KeyAnswer.model_validate(key_document(key))


@routes.post("", status_code=201, summary="Issue a key (admin)")
async def create(body: NewKey, by: Admin, desk: AtDesk) -> IssuedAnswer:
    """The answer holds the secret, this once; only a digest of it is kept."""
    desk.check_policy(body.policy)
    terms = KeyTerms(
        name=body.name,
        team_id=body.team,
        role=body.role,
        priority=body.priority,
        may_override=body.may_override,
        scope=body.scope(),
        limits=body.all_limits(),
        expires_at=_future(body.expires_at, by.at),
        policy=body.policy,
    )
    secret = new_secret()
    key = await desk.keys.create(new_id("key", by.at), terms, _to_store(secret, desk), by=by)
    await desk.refresh()
    return IssuedAnswer(key=answer(key), secret=secret)


@routes.get("", summary="List keys (viewer)")
async def page(
    _: Viewer,
    desk: AtDesk,
    limit: Limit = 100,
    after: Id = None,
    team: Id = None,
    *,
    revoked: Annotated[bool, Query()] = False,
) -> Page[KeyAnswer]:
    """The oldest first; of one team if its id is given; ``revoked`` lists those that are refused as well."""
    found = await desk.keys.page(limit=limit, after=after, team_id=team, revoked=revoked)
    return Page(data=[answer(key) for key in found], next=found[-1].id if len(found) == limit else None)


@routes.get("/{key}", summary="Look up a key (viewer)")
async def find(key: Reference, _: Viewer, desk: AtDesk) -> KeyAnswer:
    """One key, with limits and budgets."""
    return answer(await desk.keys.find(key))


@routes.patch("/{key}", summary="Change a key (limits: operator; the rest: admin)")
async def amend(key: Reference, body: KeyAmendment, by: Operator, desk: AtDesk) -> KeyAnswer:
    """What is left out stays as it is. Keys with a role are changed by admins alone."""
    if by.role is not Role.ADMIN and body.model_fields_set - {"limits"}:
        raise Forbidden("an operator changes a key's limits and budgets; the rest takes the role admin")
    desk.check_policy(body.policy)
    said: dict[str, Any] = body.given("name", "role", "priority", "may_override", "policy")
    if "expires_at" in body.model_fields_set:
        said["expires_at"] = _future(body.expires_at, by.at)

    def amended(terms: KeyTerms) -> KeyTerms:
        scope, limits = amended_scope(terms.scope, body), amended_limits(terms.limits, body.limits)
        return replace(terms, scope=scope, limits=limits, **said)

    changed = await desk.keys.amend(key, amended, action="key.amend", by=by)
    await desk.refresh()
    return answer(changed)


@routes.post("/{key}/revoke", summary="Refuse a key from now on (operator)")
async def revoke(key: Reference, by: Operator, desk: AtDesk) -> KeyAnswer:
    """For good, and within a second in every process. Keys with a role are revoked by admins alone."""
    revoked = await desk.keys.revoke(key, by=by)
    await desk.refresh()
    return answer(revoked)


@routes.post("/{key}/rotate", summary="Give a key a new secret (admin)")
async def rotate(key: Reference, by: Admin, desk: AtDesk, body: Rotation | None = None) -> IssuedAnswer:
    """The answer holds the new secret, this once; the one before works on for ``grace_s``."""
    secret = new_secret()
    grace_s = body.grace_s if body else 0
    rotated = await desk.keys.rotate(key, _to_store(secret, desk), grace_s=grace_s, by=by)
    await desk.refresh()
    return IssuedAnswer(key=answer(rotated), secret=secret)


def _to_store(secret: str, desk: Desk) -> NewSecret:
    return NewSecret(desk.pepper.digest(secret), hint(secret))


def _future(moment: datetime | None, now: float) -> float | None:
    """An expiry in Unix seconds. Raises InvalidRequest for one that is past, or too far to be meant."""
    if moment is None:
        return None
    seconds = moment.timestamp()
    if not now < seconds < now + _LONGEST_LIFE_S:
        raise InvalidRequest(
            "expires_at must lie in the next 100 years; to end a key now, revoke it", param="expires_at"
        )
    return seconds
