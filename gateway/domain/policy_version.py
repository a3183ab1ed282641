"""Versions of policies: what each said, and which of them was in force since when."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

FILES = "files"
"""The author of what a change of the policies' files brought about."""


@dataclass(frozen=True, slots=True)
class PolicyVersion:
    """What a policy said: ``document`` is the text of ``policy.yaml`` as it was first read with this digest."""

    name: str
    digest: str
    document: str
    first_seen_at: float


@dataclass(frozen=True, slots=True)
class Activation:
    """A version came into force.

    ``over`` is None for the version of the file. Else it is the digest of the file's version that
    this one was put in place of, wherever the file says just that.
    """

    number: int
    """Of the change; they ascend."""
    name: str
    digest: str
    over: str | None
    at: float
    """Unix seconds."""
    actor: str

    @property
    def of_file(self) -> str:
        """The digest of the file's version that this concerns."""
        return self.over or self.digest


def policy_target(name: str) -> str:
    """What the audit log calls a policy."""
    return f"policy:{name}"


def activation_document(activation: Activation) -> dict[str, Any]:
    """An activation as JSON, for the audit log."""
    at = datetime.fromtimestamp(activation.at, UTC).isoformat(timespec="milliseconds")
    return {"digest": activation.digest, "in_place_of": activation.over, "since": at}
