"""``/admin/profiles``: which calibrated profiles are in force, what each version certifies, and taking one back."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Path
from pydantic import BaseModel, ConfigDict, Field

from gateway.dialects.json_bytes import loads
from gateway.domain.profile_document import PublishedProfile
from gateway.domain.rollout import CanaryLook, CanaryStanding, CanaryState, ProfileActivation, Rollout
from gateway.http.admin.bodies import Page
from gateway.http.admin.desk import REFERENCE, REFUSALS, UNCACHED, AtDesk, Desk, Limit, Operator, Viewer

routes = APIRouter(prefix="/admin/profiles", tags=["admin: profiles"], responses=REFUSALS, dependencies=UNCACHED)

_MOST = 2**31 - 1
_Policy = Annotated[str, Path(pattern=REFERENCE, description="The name of the policy that the profile is of.")]
_Number = Annotated[int, Path(ge=1, le=_MOST, description="A version's number.")]
_Reason = Annotated[
    str,
    Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$", description="Stands in the audit log."),
]


class CanaryAnswer(BaseModel):
    """A version that is tried on a share of conversations; the others have ``over``, or none.

    ``verdict`` is what the guard made of it when it looked at it last, at ``judged_at``.
    """

    number: int
    over: int | None
    stage: int
    share: float
    state: CanaryState
    reason: str | None
    began_at: datetime
    stage_began_at: datetime
    ended_at: datetime | None
    verdict: str | None
    judged_at: datetime | None


class ProfileAnswer(BaseModel):
    """What is in force of a policy's profile. Without a number it is none, and ``until_certified`` holds."""

    policy: str
    number: int | None
    since: datetime | None
    by: str | None
    reason: str | None
    latest: int
    canary: CanaryAnswer | None


class VersionLine(BaseModel):
    """A published version. ``report`` is where its report lies."""

    number: int
    digest: str
    policy_digest: str
    experiment: str | None
    report: str | None
    created_at: datetime
    by: str
    expires_at: datetime


class VersionAnswer(VersionLine):
    """A published version and what it says: the arms and the certificate of each rule."""

    policy: str
    document: dict[str, Any]


class ActivationLine(BaseModel):
    """A version came into force; without a number, none was from then on."""

    change: int
    number: int | None
    reason: str
    since: datetime
    by: str


class ActivateBody(BaseModel):
    """Which version to put in force for all."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    number: int = Field(strict=True, ge=1, le=_MOST)
    reason: _Reason = "by hand"


class RollbackBody(BaseModel):
    """Why the profile is taken back."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    reason: _Reason = "by hand"


@routes.get("", summary="List profiles in force (viewer)")
async def page(_: Viewer, desk: AtDesk) -> Page[ProfileAnswer]:
    """Of every policy that one was published of, by name."""
    rollouts = await desk.rollouts.all()
    names = await desk.profiles.policies()
    data = [await _answer(desk, rollouts.get(name) or Rollout(name, None, None)) for name in names]
    return Page(data=data, next=None)


@routes.get("/{policy}/versions", summary="List published versions (viewer)")
async def versions(policy: _Policy, _: Viewer, desk: AtDesk, limit: Limit = 100) -> Page[VersionLine]:
    """The latest first."""
    found = await desk.profiles.versions(policy, limit=limit)
    return Page(data=[_line(profile) for profile in found], next=None)


@routes.get("/{policy}/versions/{number}", summary="Read a published version (viewer)")
async def find(policy: _Policy, number: _Number, _: Viewer, desk: AtDesk) -> VersionAnswer:
    """The arms of each rule and the certificate they have."""
    profile = await desk.profiles.find(policy, number)
    return VersionAnswer(**_line(profile).model_dump(), policy=policy, document=loads(profile.text.encode()))


@routes.get("/{policy}/activations", summary="List when which version was in force (viewer)")
async def activations(policy: _Policy, _: Viewer, desk: AtDesk, limit: Limit = 100) -> Page[ActivationLine]:
    """The latest first, the present one at the top."""
    found = await desk.rollouts.history(policy, limit=limit)
    return Page(data=[_activation(each) for each in found], next=None)


@routes.get("/{policy}/canaries", summary="List canaries (viewer)")
async def canaries(policy: _Policy, _: Viewer, desk: AtDesk, limit: Limit = 100) -> Page[CanaryAnswer]:
    """The latest first."""
    found = await desk.rollouts.canaries(policy, limit=limit)
    looks = await desk.rollouts.looks([each.id for each in found])
    return Page(data=[_canary(each, looks.get(each.id)) for each in found], next=None)


@routes.post("/{policy}/activate", summary="Put a version in force for all (operator)")
async def activate(policy: _Policy, by: Operator, desk: AtDesk, body: ActivateBody) -> ProfileAnswer:
    """In every process within two seconds. A canary that is running ends."""
    done = await desk.rollouts.activate(policy, body.number, reason=body.reason, by=by)
    await desk.refresh()
    return await _answer(desk, done)


@routes.post("/{policy}/rollback", summary="Take back a canary, or the version in force (operator)")
async def roll_back(policy: _Policy, by: Operator, desk: AtDesk, body: RollbackBody | None = None) -> ProfileAnswer:
    """In every process within two seconds: a running canary first, else to the version trusted before, or to none."""
    done = await desk.rollouts.roll_back(policy, reason=(body or RollbackBody()).reason, by=by)
    await desk.refresh()
    return await _answer(desk, done)


async def _answer(desk: Desk, rollout: Rollout) -> ProfileAnswer:
    activation, canary = rollout.activation, rollout.canary
    looks = {} if canary is None else await desk.rollouts.looks([canary.id])
    return ProfileAnswer(
        policy=rollout.policy,
        number=rollout.number,
        since=None if activation is None else _time(activation.at),
        by=None if activation is None else activation.actor,
        reason=None if activation is None else activation.reason,
        latest=await desk.profiles.latest(rollout.policy),
        canary=None if canary is None else _canary(canary, looks.get(canary.id)),
    )


def _canary(canary: CanaryStanding, look: CanaryLook | None) -> CanaryAnswer:
    return CanaryAnswer(
        number=canary.number,
        over=canary.over,
        stage=canary.stage,
        share=canary.share,
        state=canary.state,
        reason=canary.reason,
        began_at=_time(canary.began_at),
        stage_began_at=_time(canary.stage_began_at),
        ended_at=None if canary.ended_at is None else _time(canary.ended_at),
        verdict=None if look is None else look.verdict,
        judged_at=None if look is None else _time(look.at),
    )


def _line(profile: PublishedProfile) -> VersionLine:
    return VersionLine(
        number=profile.number,
        digest=profile.digest,
        policy_digest=profile.policy_digest,
        experiment=profile.experiment_id,
        report=profile.report,
        created_at=_time(profile.created_at),
        by=profile.created_by,
        expires_at=_time(profile.expires_at),
    )


def _activation(activation: ProfileActivation) -> ActivationLine:
    return ActivationLine(
        change=activation.change,
        number=activation.number,
        reason=activation.reason,
        since=_time(activation.at),
        by=activation.actor,
    )


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
