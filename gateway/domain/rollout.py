"""Roll-outs: which version of a profile is in force, and which is tried on a share of conversations. Values only."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final

CALIBRATOR: Final = "calibrator"
"""The author of what the calibrator does by itself."""


class CanaryState(StrEnum):
    """How a canary stands."""

    RUNNING = "running"
    PROMOTED = "promoted"
    """Its version is in force for all."""
    WITHDRAWN = "withdrawn"
    """Its version is nobody's any more; the reason says why."""


@dataclass(frozen=True, slots=True)
class ProfileActivation:
    """A version came into force for all; without a number, none did. ``change`` numbers ascend."""

    change: int
    policy: str
    number: int | None
    reason: str
    at: float
    """Unix seconds."""
    actor: str


@dataclass(frozen=True, slots=True)
class CanaryStanding:
    """A version that is tried on a ``share`` of conversations. The others have ``over``; ``stage`` counts from 0."""

    id: int
    policy: str
    number: int
    over: int | None
    stage: int
    share: float
    state: CanaryState
    reason: str | None
    began_at: float
    stage_began_at: float
    ended_at: float | None


@dataclass(frozen=True, slots=True)
class CanaryLook:
    """What the guard made of a canary when it looked at it last, in its words."""

    verdict: str
    at: float
    """Unix seconds."""


@dataclass(frozen=True, slots=True)
class Rollout:
    """What is in force of one policy's profile."""

    policy: str
    activation: ProfileActivation | None
    canary: CanaryStanding | None

    @property
    def number(self) -> int | None:
        """The version for all that are in no canary."""
        return None if self.activation is None else self.activation.number


def good_versions(activated: Iterable[int | None]) -> list[int]:
    """The versions that can be gone back to, the present one last, from all activations in their order.

    To activate one that was in force before is to go back: what came after it is no longer trusted.
    """
    trusted: list[int] = []
    for number in activated:
        if number is None:
            trusted.clear()
        elif number in trusted:
            del trusted[trusted.index(number) + 1 :]
        else:
            trusted.append(number)
    return trusted


def rollout_document(rollout: Rollout) -> dict[str, Any]:
    """What is in force as JSON, for the audit log."""
    canary, activation = rollout.canary, rollout.activation
    return {
        "number": rollout.number,
        "since": None if activation is None else _time(activation.at),
        "reason": None if activation is None else activation.reason,
        "canary": None
        if canary is None
        else {
            "number": canary.number,
            "stage": canary.stage,
            "share": canary.share,
            "state": canary.state.value,
            "reason": canary.reason,
        },
    }


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
