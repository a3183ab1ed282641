"""Experiments: the runs of a calibration, what each may spend, and what it measured. Values only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from gateway.domain.money import Usd

DRAW: Final = "#"
"""Between an arm and a number, in the name under which a draw for a majority is kept; no arm's name has it."""


class ExperimentState(StrEnum):
    """How far a run is."""

    MEASURING = "measuring"
    CHOOSING = "choosing"
    """All is measured that will be; the arms are chosen and the profile is published from it."""
    PUBLISHED = "published"
    UNCHANGED = "unchanged"
    """The evidence does not suffice for another profile; the note says what is missing."""
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_end(self) -> bool:
        """Whether nothing follows."""
        return self not in {ExperimentState.MEASURING, ExperimentState.CHOOSING}


@dataclass(frozen=True, slots=True)
class Experiment:
    """One calibration run as it was begun. ``digest`` is that of all it was begun with; ``target`` is the
    calibrator's own: arms, items, losses and confidence.
    """

    id: str
    policy: str
    policy_digest: str
    digest: str
    seed: int
    target: Mapping[str, Any]
    cap: Usd
    """The most it may spend on measuring."""
    created_at: float
    created_by: str


@dataclass(frozen=True, slots=True)
class ExperimentStanding:
    """A run as it stands: how far it is, what it spent, and what is set aside for pairs that are being measured."""

    experiment: Experiment
    state: ExperimentState
    note: str | None
    spent: Usd
    held: Usd
    owner: str | None
    lease_until: float | None
    finished_at: float | None


@dataclass(frozen=True, slots=True)
class ExperimentClaim:
    """A run that one process has to itself until its lease ends; ``number`` counts the holders."""

    standing: ExperimentStanding
    owner: str
    number: int


@dataclass(frozen=True, slots=True)
class Measurement:
    """How an arm did on an item. ``score`` is from 0 to 1; right or wrong is 1 or 0."""

    item: str
    arm: str
    category: str
    difficulty: str | None
    score: float
    cost: Usd
    tokens: int
    latency_s: float
    observed_at: float
    """Unix seconds: when the item was answered, for a table that was imported as it says."""
    request_id: str | None = None
    answer: str | None = field(default=None, repr=False)
    """What it says, of a draw for a majority and while its run is open."""

    @property
    def is_draw(self) -> bool:
        """Whether it is one of the answers that a majority is made of, and no measurement of the arm."""
        return DRAW in self.arm


@dataclass(frozen=True, slots=True)
class MeasurementHold:
    """An item and an arm that one process measures, and the money set aside for it; void after ``until``."""

    id: str
    experiment_id: str
    item: str
    arm: str
    amount: Usd
    until: float


@dataclass(frozen=True, slots=True)
class MeasurementBatch:
    """Pairs that are asked in a batch of the gateway's. ``batch_id`` is the gateway's, once it is known.

    ``unanswered`` is how many pairs it left when it ended.
    """

    id: str
    experiment_id: str
    batch_id: str | None
    created_at: float
    ended_at: float | None = None
    unanswered: int = 0


class Refusal(StrEnum):
    """Why a pair cannot be measured now."""

    CAP = "cap"
    """What is left under the spending cap is less than it may cost."""
    TAKEN = "taken"
    """It is measured already, or somebody is measuring it."""
    ENDED = "ended"
    """The run is over, or there is none of this id."""


@dataclass(frozen=True, slots=True)
class CellProgress:
    """What was measured of one arm in one category and difficulty."""

    category: str
    difficulty: str | None
    arm: str
    items: int
    score: float
    """The sum over the items."""
    cost: Usd
