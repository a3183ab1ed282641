"""A log of decisions as columns of numbers: what was drawn, what could have been, and what is known of it."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from calibrator.replay.chances import Chances, Drawn, Why
from calibrator.stats.results import Floats, Integers
from gateway.domain.profile import Cell
from gateway.store.logged import LoggedDecision, LoggedPart

_AUTO: Final = "auto"
_UNKNOWN: Final = float("nan")


def numbered(values: Iterable[str]) -> tuple[Mapping[str, int], Integers]:
    """A number for each word, in the order they come; and the numbers of all of them."""
    numbers: dict[str, int] = {}
    found = [numbers.setdefault(value, len(numbers)) for value in values]
    return numbers, np.array(found, np.int64)


@dataclass(frozen=True, slots=True)
class Labels:
    """What was found, a row per source and request. ``row`` is the request's place in the log."""

    row: Integers
    source: Integers
    score: Floats
    weight: Floats
    probability: Floats
    """NaN where it is not known."""


@dataclass(frozen=True, slots=True)
class Log:
    """Decisions that were made afresh, with both policies' chances of every arm.

    ``old`` and ``new`` hold the chances that occur, a row each and a column per arm; ``old_row`` and ``new_row``
    say which of them each decision has.
    """

    cells: tuple[Cell, ...]
    arms: tuple[str, ...]
    sources: tuple[str, ...]
    cell: Integers
    arm: Integers
    old: Floats
    old_row: Integers
    new: Floats
    new_row: Integers
    cost: Floats
    """NaN where it is not fully known."""
    latency_s: Floats
    labels: Labels
    left_out: Mapping[Why, int]
    """How many logged requests say nothing of the policy, by why."""

    @property
    def categories(self) -> tuple[tuple[str, ...], Integers]:
        """The categories of the cells, and for each decision the number of its own."""
        numbers, of_cell = numbered(category for category, _ in self.cells)
        return tuple(numbers), of_cell[self.cell]

    def among(self, chosen: NDArray[np.bool_]) -> Log:
        """The log of some of the decisions alone, with their labels."""
        place = np.cumsum(chosen) - 1
        taken = chosen[self.labels.row]
        labels = self.labels
        return replace(
            self,
            cell=self.cell[chosen],
            arm=self.arm[chosen],
            old_row=self.old_row[chosen],
            new_row=self.new_row[chosen],
            cost=self.cost[chosen],
            latency_s=self.latency_s[chosen],
            labels=Labels(
                place[labels.row[taken]],
                labels.source[taken],
                labels.score[taken],
                labels.weight[taken],
                labels.probability[taken],
            ),
        )

    def under(self, chances: Floats) -> Log:
        """The same decisions beside a policy that has these chances where the logged one had those of ``old``."""
        return replace(self, new=chances, new_row=self.old_row)


class Gathering:
    """A log as it is read: numbers alone, a few hundred bytes a decision with all that follows."""

    def __init__(self) -> None:
        self._cells: _Numbered[Cell] = _Numbered()
        self._arms: _Numbered[str] = _Numbered()
        self._sources: _Numbered[str] = _Numbered()
        self._old: _Numbered[Chances] = _Numbered()
        self._new: _Numbered[Chances] = _Numbered()
        self._columns = {name: array("i") for name in ("cell", "arm", "old", "new", "row", "source")}
        self._numbers = {name: array("d") for name in ("cost", "latency", "score", "weight", "probability")}
        self._left_out = dict.fromkeys(Why, 0)

    @property
    def read(self) -> int:
        """How many decisions were taken in, those that are left out among them."""
        return len(self._columns["cell"]) + sum(self._left_out.values())

    def add(self, part: LoggedPart, drawn: Sequence[Drawn | Why]) -> None:
        """Take in decisions of the log, each with both policies' chances, or why it says nothing."""
        places: dict[str, int] = {}
        for decision, each in zip(part.decisions, drawn, strict=True):
            is_named = decision.model_asked != _AUTO and not decision.model_asked.startswith(f"{_AUTO}:")
            if isinstance(each, Why):
                self._left_out[each] += 1
            elif is_named:
                self._left_out[Why.NAMED] += 1
            else:
                places[decision.id] = len(self._columns["cell"])
                self._add(decision, each)
        for label in part.labels:
            place = places.get(label.request_id)
            if place is not None:
                self._columns["row"].append(place)
                self._columns["source"].append(self._sources.number(label.source))
                self._numbers["score"].append(label.score)
                self._numbers["weight"].append(label.weight)
                self._numbers["probability"].append(_UNKNOWN if label.probability is None else label.probability)

    def _add(self, decision: LoggedDecision, drawn: Drawn) -> None:
        columns = self._columns
        columns["cell"].append(self._cells.number((decision.category or "other", decision.difficulty)))
        columns["arm"].append(self._arms.number(drawn.arm))
        columns["old"].append(self._old.number(drawn.old))
        columns["new"].append(self._new.number(drawn.new))
        self._numbers["cost"].append(_UNKNOWN if decision.cost_usd is None else decision.cost_usd)
        self._numbers["latency"].append(decision.total_s)

    def join(self, later: Gathering) -> None:
        """Take in what was gathered elsewhere, of what came later."""
        known = {
            "cell": self._cells.numbers(later._cells),
            "arm": self._arms.numbers(later._arms),
            "old": self._old.numbers(later._old),
            "new": self._new.numbers(later._new),
            "source": self._sources.numbers(later._sources),
        }
        begin = len(self._columns["cell"])
        for name, column in later._columns.items():
            own = _integers(column)
            renumbered = own + begin if name == "row" else known[name][own]
            self._columns[name].frombytes(renumbered.astype(np.int32).tobytes())
        for name, numbers in later._numbers.items():
            self._numbers[name].extend(numbers)
        for why, count in later._left_out.items():
            self._left_out[why] += count

    def log(self) -> Log:
        """All that was taken in."""
        for chances in (*self._old.values, *self._new.values):
            for arm, _ in chances:
                self._arms.number(arm)
        columns: Mapping[str, Any] = {name: _integers(column) for name, column in self._columns.items()}
        numbers = {name: np.frombuffer(column, np.float64).copy() for name, column in self._numbers.items()}
        return Log(
            cells=tuple(self._cells.values),
            arms=tuple(self._arms.values),
            sources=tuple(self._sources.values),
            cell=columns["cell"],
            arm=columns["arm"],
            old=self._table(self._old.values),
            old_row=columns["old"],
            new=self._table(self._new.values),
            new_row=columns["new"],
            cost=numbers["cost"],
            latency_s=numbers["latency"],
            labels=Labels(
                columns["row"], columns["source"], numbers["score"], numbers["weight"], numbers["probability"]
            ),
            left_out=self._left_out,
        )

    def _table(self, occurring: Sequence[Chances]) -> Floats:
        table = np.zeros((len(occurring), len(self._arms.values)))
        for row, chances in enumerate(occurring):
            for arm, chance in chances:
                table[row, self._arms.number(arm)] = chance
        return table


_Value = TypeVar("_Value")


class _Numbered(Generic[_Value]):
    """Values by numbers, in the order they came."""

    def __init__(self) -> None:
        self._numbers: dict[_Value, int] = {}

    @property
    def values(self) -> list[_Value]:
        """The values, each at the place of its number."""
        return list(self._numbers)

    def number(self, value: _Value) -> int:
        """The value's number, a new one the first time."""
        return self._numbers.setdefault(value, len(self._numbers))

    def numbers(self, others: _Numbered[_Value]) -> Integers:
        """The number here of each number there."""
        return np.array([self.number(value) for value in others.values], np.int64)


def _integers(column: array[int]) -> Integers:
    return np.frombuffer(column, np.int32).astype(np.int64)
