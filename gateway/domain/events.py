"""A streamed answer, event by event, free of any dialect.

Order: ``Started``, then parts, each ``PartStarted`` → deltas → ``PartEnded`` (parts may interleave
for parallel tool calls), then ``Stopped``, ``Used``, and ``Finished`` as the last. ``Failed`` may
come at any point and is then the last. Joined by :func:`gateway.dialects.join.join`, a stream
equals the unstreamed :class:`gateway.domain.chat.Answer`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from gateway.domain.chat import StopReason
from gateway.domain.usage import Usage


class PartKind(StrEnum):
    """What a streamed part is."""

    TEXT = "text"
    THINKING = "thinking"
    REDACTED_THINKING = "redacted_thinking"
    TOOL_CALL = "tool_call"
    REFUSAL = "refusal"


@dataclass(frozen=True, slots=True)
class Started:
    """The answer begins. ``usage`` holds what is known of the input already, if anything."""

    id: str
    model: str
    created: int = 0
    usage: Usage | None = None


@dataclass(frozen=True, slots=True)
class PartStarted:
    """A part begins at ``index`` (0, 1, …, in order of beginning).

    ``call_id`` and ``name`` are set for tool calls; ``data`` for redacted thinking, which has no
    deltas.
    """

    index: int
    kind: PartKind
    call_id: str | None = None
    name: str | None = None
    data: str | None = None


@dataclass(frozen=True, slots=True)
class Delta:
    """More of a part: text, thinking text, refusal text, or tool arguments (JSON text)."""

    index: int
    text: str


@dataclass(frozen=True, slots=True)
class Signed:
    """The signature of the thinking part at ``index``, whole."""

    index: int
    signature: str


@dataclass(frozen=True, slots=True)
class PartEnded:
    """The part at ``index`` is complete."""

    index: int


@dataclass(frozen=True, slots=True)
class Stopped:
    """The model has stopped."""

    reason: StopReason
    stop_sequence: str | None = None


@dataclass(frozen=True, slots=True)
class Used:
    """The provider's usage so far; the last one counts."""

    usage: Usage


@dataclass(frozen=True, slots=True)
class Failed:
    """The upstream reported an error inside the stream. ``kind`` is its own type or code."""

    message: str
    kind: str | None = None


@dataclass(frozen=True, slots=True)
class Finished:
    """The dialect's terminal event: nothing comes after it."""


StreamEvent: TypeAlias = Started | PartStarted | Delta | Signed | PartEnded | Stopped | Used | Failed | Finished
