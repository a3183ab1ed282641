"""A client's request as it came: parsed once, with the raw bytes kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import Any, Final

from gateway.domain.chat import Dialect
from gateway.domain.check import Check
from gateway.domain.construction import quick_value


class Operation(StrEnum):
    """What a request wants done."""

    CHAT = "chat"
    EMBEDDINGS = "embeddings"
    COUNT_TOKENS = "count_tokens"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A public path, what it does, and in which dialect."""

    path: str
    dialect: Dialect
    operation: Operation


@dataclass(frozen=True, slots=True)
class Hints:
    """What the ``ponder`` body field and the ``x-ponder-*`` headers ask for; they only tighten limits."""

    category: str | None = None
    difficulty: str | None = None
    deadline_s: float | None = None
    max_cost_usd: Decimal | None = None
    verify: Check | None = None
    progress: bool = False
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def calibration(self) -> str | None:
        """The run of the calibrator that asks this, if one does."""
        return self.tags.get(CALIBRATION)


CALIBRATION: Final = "calibration"
"""The tag that every ask of a calibration carries."""
NO_HINTS = Hints()


@quick_value
class Ask:
    """A client's request, dialect-neutral where it is read, with the client's own bytes kept.

    ``raw`` no longer holds the ``ponder`` field. ``headers`` are the client's, lower-case, already
    cut down to those that a dialect passes on.
    """

    request_id: str
    endpoint: Endpoint
    raw: bytes
    body: Mapping[str, Any]
    model: str
    is_stream: bool
    headers: Mapping[str, str]
    hints: Hints
    started_at: float
    """Unix seconds."""
    started: float
    """Monotonic seconds."""
