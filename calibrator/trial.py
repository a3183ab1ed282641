"""One calibration on an outcome table: which items are labelled, what is known besides, and what is chosen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from calibrator.choose import Ground, Target
from calibrator.pilot import focus
from calibrator.stats.certificates import Labels
from calibrator.stats.paths import Rule, expected_risk
from calibrator.stats.results import Floats, Integers
from calibrator.tables.table import OutcomeTable, tier
from gateway.domain.profile import Cell
from gateway.errors import ConfigurationError

PILOT_SHARE: Final = 0.4
"""Of the labels, where the path has no other order; more or fewer bought less on a table of 14 subjects."""
_LATENCY_SHARE: Final = 0.95


@dataclass(frozen=True, slots=True, eq=False)
class Question:
    """What is asked of a table. ``risk`` is that of an earlier run, cells by arms; None for what is expected.

    ``pilot_share`` of the labels set the path's order and are not tested with. ``latency_at_most_s`` is
    for the 95th percentile of an arm in a cell. ``is_graded`` says that scores may lie between 0 and 1.
    """

    table: OutcomeTable
    reference: int
    target: Target
    labels: int
    pilot_share: float
    risk: Floats | None = None
    latency_at_most_s: float | None = None
    current: Rule | None = None
    most_changed: int | None = None
    is_graded: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Draw:
    """The labels of one run, drawn at random: what the pilot took, what is tested, and the path to walk."""

    ground: Ground
    labels: Labels
    path: tuple[Rule, ...]
    labelled: NDArray[np.bool_] = field(repr=False)
    """By item, whether it was labelled, for the pilot or for the test."""
    ranked: Labels | None = None
    """What losses are expected from, for a later run's order, where ``labels`` are not of every arm."""

    @property
    def size(self) -> int:
        """How many items were labelled in all."""
        return int(self.labelled.sum())


def draw(question: Question, seed: int | tuple[int, ...]) -> Draw:
    """Label items at random, as many as asked for, without looking at any other outcome.

    What arms cost is taken from items that are not tested with, as from the traffic: costs and outcomes of
    the same answers may hang together, and the order of the path must not come from what is tested. Where
    every item is labelled there are no others.
    """
    table = question.table
    order = np.random.default_rng(seed).permutation(len(table.items))
    labelled = np.zeros(len(table.items), dtype=bool)
    pilot_size = round(question.labels * question.pilot_share)
    if not pilot_size:
        tested, others = order[: question.labels], order[question.labels :]
        labelled[tested] = True
        ground = ground_of(question, others)
        return Draw(ground, _labels(question, tested), ground.path(), labelled)
    first, rest = order[:pilot_size], order[pilot_size:]
    left = question.labels - pilot_size
    ground, found = focus(ground_of(question, first), _labels(question, first), question.target, left)
    tested = rest[found.cells[table.cell[rest]]][:left]
    labelled[first] = labelled[tested] = True
    return Draw(ground, _labels(question, tested), found.path, labelled)


def _labels(question: Question, rows: Integers) -> Labels:
    table = question.table
    is_binary = table.is_binary and not question.is_graded
    return Labels(table.cell[rows], table.scores[rows], table.weights, question.reference, is_binary)


def ground_of(question: Question, others: Integers) -> Ground:
    """What is known without a label; costs are told from the items ``others``."""
    table, reference = question.table, question.reference
    costs = table.mean_costs(others if others.size else None)
    ranks = [tier(cell) for cell in table.cells]
    risk = expected_risk(ranks, costs, reference) if question.risk is None else question.risk
    allowed = np.ones_like(costs, dtype=bool)
    if question.latency_at_most_s is not None:
        slow = table.latency_quantiles(_LATENCY_SHARE)
        if np.isnan(slow).all():
            raise ConfigurationError("the table has no latencies, so none can be bounded; give it `latency_s`")
        allowed = slow <= question.latency_at_most_s
        allowed[:, reference] = True
    return Ground(
        table.cells, table.arms, reference, table.weights, costs, risk, allowed, question.current,
        question.most_changed,
    )  # fmt: skip


def has_difficulty(cells: tuple[Cell, ...]) -> bool:
    """Whether the cells differ in difficulty, so that an order can be expected of them."""
    return len({cell[1] for cell in cells}) > 1


def rule_of(cells: tuple[Cell, ...], arms: tuple[str, ...], chosen: Mapping[Cell, str], otherwise: str) -> Rule:
    """A rule by the names of its arms; cells that are not named take ``otherwise``."""
    names = (chosen.get(cell, chosen.get((cell[0], None), otherwise)) for cell in cells)
    return tuple(arms.index(name) if name in arms else arms.index(otherwise) for name in names)
