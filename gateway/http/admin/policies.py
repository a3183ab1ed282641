"""``/admin/policies``: which versions are in force, what each said, and going back to an earlier one."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Path
from pydantic import BaseModel, ConfigDict, Field

from gateway.domain.policy_version import Activation
from gateway.http.admin.bodies import Page
from gateway.http.admin.desk import REFERENCE, REFUSALS, UNCACHED, AtDesk, Limit, Operator, Viewer

routes = APIRouter(prefix="/admin/policies", tags=["admin: policies"], responses=REFUSALS, dependencies=UNCACHED)

_DIGEST = r"^[0-9a-f]{64}$"
_Name = Annotated[str, Path(pattern=REFERENCE, description="A policy's name.")]
_Digest = Annotated[
    str, Path(pattern=_DIGEST, description="A version's digest, as a request's record has it in plan.policy_digest.")
]


class PolicyAnswer(BaseModel):
    """A policy in force in the process that answers. ``in_place_of`` is the digest of its file, if it is rolled back.

    ``since`` and ``by`` are null until the version is recorded; ``by`` is a key's id, ``admin`` for
    admin.key, or ``files``.
    """

    name: str
    digest: str
    mode: str
    in_place_of: str | None
    since: datetime | None
    by: str | None


class VersionAnswer(BaseModel):
    """What a policy said."""

    name: str
    digest: str
    first_seen_at: datetime
    document: str


class ActivationAnswer(BaseModel):
    """A version came into force; with ``in_place_of``, while the file said that."""

    number: int
    digest: str
    in_place_of: str | None
    since: datetime
    by: str


class RollbackBody(BaseModel):
    """Which version to go back to."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    to: str | None = Field(
        default=None, pattern=_DIGEST, description="A version's digest; null is the one before the present one."
    )


@routes.get("", summary="List policies in force (viewer)")
async def page(_: Viewer, desk: AtDesk) -> Page[PolicyAnswer]:
    """All of them, by name."""
    answers = []
    for name, policy in sorted(desk.policies().items()):
        known = desk.activation_of(name)
        answers.append(
            PolicyAnswer(
                name=name,
                digest=policy.digest,
                mode=policy.document.mode.value,
                in_place_of=None if known is None else known.over,
                since=None if known is None else _time(known.at),
                by=None if known is None else known.actor,
            )
        )
    return Page(data=answers, next=None)


@routes.get("/{digest}", summary="Read a version of a policy (viewer)")
async def find(digest: _Digest, _: Viewer, desk: AtDesk) -> VersionAnswer:
    """The text of ``policy.yaml`` as it was; every version that ever was in force is kept."""
    version = await desk.policy_versions.find(digest)
    return VersionAnswer(
        name=version.name,
        digest=version.digest,
        first_seen_at=_time(version.first_seen_at),
        document=version.document,
    )


@routes.get("/{name}/versions", summary="List when which version was in force (viewer)")
async def versions(name: _Name, _: Viewer, desk: AtDesk, limit: Limit = 100) -> Page[ActivationAnswer]:
    """The latest first, the present one at the top."""
    found = await desk.policy_versions.history(name, limit=limit)
    return Page(data=[_answer(activation) for activation in found], next=None)


@routes.post("/{name}/rollback", summary="Go back to an earlier version (operator)")
async def roll_back(name: _Name, by: Operator, desk: AtDesk, body: RollbackBody | None = None) -> ActivationAnswer:
    """In every process within two seconds, wherever the file says what it says now, until it is released."""
    done = await desk.policy_versions.roll_back(name, to=body.to if body else None, by=by)
    await desk.refresh()
    return _answer(done)


@routes.post("/{name}/release", summary="Return to the version of the file (operator)")
async def release(name: _Name, by: Operator, desk: AtDesk) -> ActivationAnswer:
    """Ends the latest rollback."""
    done = await desk.policy_versions.release(name, by=by)
    await desk.refresh()
    return _answer(done)


def _answer(activation: Activation) -> ActivationAnswer:
    return ActivationAnswer(
        number=activation.number,
        digest=activation.digest,
        in_place_of=activation.over,
        since=_time(activation.at),
        by=activation.actor,
    )


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
