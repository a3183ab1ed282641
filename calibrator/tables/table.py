"""An outcome table in memory: every item with the score and the cost of every arm. It is looked up, never imputed."""

from __future__ import annotations

import hashlib
import json
from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gateway.domain.prediction import Category, Difficulty
from gateway.domain.profile import Cell
from gateway.errors import ConfigurationError

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

TIERS: Final[tuple[str, ...]] = tuple(Difficulty)
_CATEGORIES: Final = tuple(Category)
_UNSAID: Final = float("nan")


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an arm did on an item. ``score`` is from 0 to 1, ``observed_at`` in Unix seconds; nan is "not said"."""

    item: str
    category: str
    difficulty: str | None
    arm: str
    score: float
    cost: float
    latency_s: float = _UNSAID
    observed_at: float = _UNSAID


@dataclass(frozen=True, slots=True, eq=False)
class OutcomeTable:
    """The items that every arm answered, in the order of their names, and how many others were left out.

    The table of a run that is being measured has its items in the run's order, and nan where nothing is known yet.

    Rows of the arrays are items; columns of the last three are arms. ``cell`` is each item's place in
    ``cells``. ``digest`` is the SHA-256 of all of it, in whichever order the outcomes came.
    """

    items: tuple[str, ...]
    cells: tuple[Cell, ...]
    arms: tuple[str, ...]
    cell: Integers
    observed_at: Floats
    scores: Floats
    costs: Floats
    latencies: Floats
    left_out: int
    digest: str

    @property
    def is_binary(self) -> bool:
        """Whether every score is right or wrong."""
        return bool((np.isin(self.scores, (0.0, 1.0)) | np.isnan(self.scores)).all())

    @property
    def is_whole(self) -> bool:
        """Whether every item has an outcome of every arm; in a run that is measured step by step not all have."""
        return not bool(np.isnan(self.scores).any())

    @property
    def weights(self) -> Floats:
        """The cells' shares of the items."""
        return np.bincount(self.cell, minlength=len(self.cells)) / max(len(self.items), 1)

    def arm(self, name: str) -> int:
        """The place of an arm. Raises ConfigurationError for one that the table does not have."""
        if name not in self.arms:
            raise ConfigurationError(f"the table has no arm {name!r}; it has {', '.join(self.arms)}")
        return self.arms.index(name)

    def mean_costs(self, among: Integers | None = None) -> Floats:
        """What each arm costs on average in each cell, on the items ``among``; an empty cell gets the arm's mean."""
        rows = np.arange(len(self.items)) if among is None else among
        counts = np.bincount(self.cell[rows], minlength=len(self.cells))
        everywhere = (self.costs[rows] if rows.size else self.costs).mean(axis=0)
        sums = np.stack([np.bincount(self.cell[rows], row, len(self.cells)) for row in self.costs[rows].T], axis=1)
        means: Floats = np.where(counts[:, None] > 0, sums / np.maximum(counts, 1)[:, None], everywhere)
        return means

    def latency_quantiles(self, share: float) -> Floats:
        """The latency that this share of a cell's answers by an arm does not exceed; nan where none is said."""
        found = np.full((len(self.cells), len(self.arms)), np.nan)
        for number in range(len(self.cells)):
            rows = self.latencies[self.cell == number]
            for arm in range(len(self.arms)):
                said = rows[~np.isnan(rows[:, arm]), arm]
                if said.size:
                    found[number, arm] = np.quantile(said, share)
        return found

    def of_cells(self, applies: Callable[[Cell], bool]) -> OutcomeTable:
        """The table of those cells alone. Raises ConfigurationError if none is left."""
        chosen = [number for number, cell in enumerate(self.cells) if applies(cell)]
        if len(chosen) == len(self.cells):
            return self
        rows = np.flatnonzero(np.isin(self.cell, chosen))
        if not rows.size:
            raise ConfigurationError(
                f"no item is of a category and difficulty that is asked for; there are {self.cells}"
            )
        cut = replace(
            self,
            items=tuple(self.items[row] for row in rows.tolist()),
            cells=tuple(self.cells[number] for number in chosen),
            cell=np.searchsorted(chosen, self.cell[rows]).astype(np.int64),
            observed_at=self.observed_at[rows],
            scores=self.scores[rows],
            costs=self.costs[rows],
            latencies=self.latencies[rows],
        )
        return _digested(cut)

    def with_costs(self, costs: Mapping[str, float]) -> OutcomeTable:
        """The table with declared costs in the place of the recorded ones, the same for every item of an arm."""
        changed = self.costs.copy()
        for name, cost in costs.items():
            changed[:, self.arm(name)] = cost
        return _digested(replace(self, costs=changed))


def measured(
    items: Sequence[tuple[str, Cell]], arms: Sequence[str], scores: Floats, costs: Floats, latencies: Floats
) -> OutcomeTable:
    """The table of what was measured so far of these items, in their order, with nan for what was not."""
    cells = tuple(sorted({cell for _, cell in items}, key=_cell_order))
    return _digested(
        OutcomeTable(
            items=tuple(name for name, _ in items),
            cells=cells,
            arms=tuple(arms),
            cell=np.array([cells.index(cell) for _, cell in items], dtype=np.int64),
            observed_at=np.full(len(items), np.nan),
            scores=scores,
            costs=costs,
            latencies=latencies,
            left_out=0,
            digest="",
        )
    )


class Gathering:
    """Takes outcomes one by one, in any order, and makes the table of them."""

    def __init__(self) -> None:
        self._items: dict[str, int] = {}
        self._arms: dict[str, int] = {}
        self._cells: dict[Cell, int] = {}
        self._cell = array("l")
        self._seen: set[int] = set()
        self._item, self._arm = array("l"), array("h")
        self._score, self._cost, self._latency = array("d"), array("d"), array("d")
        self._observed = array("d")

    def add(self, outcome: Outcome, place: str) -> None:
        """Take an outcome. Raises ConfigurationError with its place for one that cannot be, or stands there twice."""
        arm = self._arms.setdefault(outcome.arm, len(self._arms))
        if arm >= _MOST_ARMS:
            raise ConfigurationError(f"{place}: arm: more than {_MOST_ARMS} arms cannot be compared")
        cell = self._cells.get((outcome.category, outcome.difficulty))
        if cell is None:
            cell = self._cells[_checked_cell(outcome, place)] = len(self._cells)
        item = self._items.setdefault(outcome.item, len(self._items))
        if item == len(self._cell):
            self._cell.append(cell)
            self._observed.append(outcome.observed_at)
        elif self._cell[item] != cell:
            raise ConfigurationError(
                f"{place}: category: item {outcome.item!r} has another category or difficulty in an earlier row; "
                "an item has one of each"
            )
        pair = item * _MOST_ARMS + arm
        if pair in self._seen:
            raise ConfigurationError(
                f"{place}: item: {outcome.item!r} has an outcome of arm {outcome.arm!r} already; one is expected"
            )
        self._seen.add(pair)
        self._item.append(item)
        self._arm.append(arm)
        self._score.append(outcome.score)
        self._cost.append(outcome.cost)
        self._latency.append(outcome.latency_s)

    def table(self, arms: Iterable[str] = ()) -> OutcomeTable:
        """The table of these arms; of all, if none are named. Raises ConfigurationError if no item has them all."""
        self._seen.clear()
        wanted = tuple(dict.fromkeys(arms)) or tuple(sorted(self._arms))
        for name in wanted:
            if name not in self._arms:
                raise ConfigurationError(f"no outcome is of arm {name!r}; there are {', '.join(sorted(self._arms))}")
        shape = (len(self._items), len(self._arms))
        rows, columns = np.asarray(self._item, dtype=np.int64), np.asarray(self._arm, dtype=np.int64)
        chosen = [self._arms[name] for name in wanted]
        layers = [_layer(shape, rows, columns, each)[:, chosen] for each in (self._score, self._cost, self._latency)]
        is_whole = ~np.isnan(layers[0]).any(axis=1)
        names = np.array(list(self._items), dtype=object)
        kept = np.flatnonzero(is_whole)
        kept = kept[np.argsort(names[kept])]
        if not kept.size:
            raise ConfigurationError(f"no item has an outcome of every arm: {', '.join(wanted)}; nothing is imputed")
        cells = sorted(self._cells, key=_cell_order)
        renumbered = np.array([cells.index(cell) for cell in self._cells])
        used, cell = np.unique(renumbered[np.asarray(self._cell)[kept]], return_inverse=True)
        made = OutcomeTable(
            items=tuple(names[kept].tolist()),
            cells=tuple(cells[number] for number in used.tolist()),
            arms=wanted,
            cell=cell.astype(np.int64),
            observed_at=np.asarray(self._observed)[kept],
            scores=layers[0][kept],
            costs=layers[1][kept],
            latencies=layers[2][kept],
            left_out=int((~is_whole).sum()),
            digest="",
        )
        return _digested(made)


_MOST_ARMS: Final = 1_000


def _layer(shape: tuple[int, int], rows: Integers, columns: Integers, values: array[float]) -> Floats:
    layer = np.full(shape, np.nan)
    layer[rows, columns] = values
    return layer


def _checked_cell(outcome: Outcome, place: str) -> Cell:
    if outcome.category.partition("/")[0] not in _CATEGORIES:
        raise ConfigurationError(
            f"{place}: category: {outcome.category!r} is unknown; there are {', '.join(_CATEGORIES)}, "
            "and paths below them such as code/python"
        )
    if outcome.difficulty is not None and outcome.difficulty not in TIERS:
        raise ConfigurationError(
            f"{place}: difficulty: {outcome.difficulty!r} is unknown; there are {', '.join(TIERS)}, and none at all"
        )
    return outcome.category, outcome.difficulty


def _cell_order(cell: Cell) -> tuple[str, int]:
    return cell[0], tier(cell)


def tier(cell: Cell) -> int:
    """How difficult a cell is, from 0; 0 as well where its difficulty is not said."""
    return 0 if cell[1] is None else TIERS.index(cell[1])


def _digested(table: OutcomeTable) -> OutcomeTable:
    digest = hashlib.sha256(json.dumps([table.arms, table.cells, table.items], separators=(",", ":")).encode())
    for values in (table.cell, table.observed_at, table.scores, table.costs, table.latencies):
        digest.update(np.ascontiguousarray(values).tobytes())
    return replace(table, digest=digest.hexdigest())
