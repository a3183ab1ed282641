"""A provider's bill beside our ledger: what each says of a day and a model, and where they part.

Sums are exact. A cost export of Anthropic's console is printed in whole cents, so each of its rows
is true to half a cent only: that much is allowed on top of the tolerance, and said.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import NamedTuple

from gateway.domain.model_family import model_family
from gateway.domain.money import Usd, usd

_NOTHING = Decimal(0)
ANY_MODEL = "all models"
"""The model's place where an export names none."""


class Measure(StrEnum):
    """What an export counts."""

    COST = "cost"
    TOKENS = "tokens"


class Tokens(NamedTuple):
    """Tokens in classes that do not overlap, as in :class:`gateway.domain.usage.Usage`."""

    input: int = 0
    cached: int = 0
    cache_write: int = 0
    output: int = 0

    def plus(self, other: Tokens) -> Tokens:
        """Both, class by class."""
        return Tokens(*map(sum, zip(self, other, strict=True)))


NO_TOKENS = Tokens()


@dataclass(frozen=True, slots=True)
class Charge:
    """One row of a provider's export. ``model`` is None where the row is for no model, and ``item`` then says for what.

    ``api_keys`` are the names by which the row's key can be called: name, id, workspace or project.
    ``rounding`` is how far the amount may be from the truth by its printing alone.
    """

    day: str
    model: str | None
    item: str
    api_keys: tuple[str, ...]
    cost: Decimal = _NOTHING
    tokens: Tokens = NO_TOKENS
    rounding: Decimal = _NOTHING


@dataclass(frozen=True, slots=True)
class LedgerLine:
    """What our calls of one day, upstream, model and virtual key came to; ``unpriced`` ones are not in ``cost``."""

    day: str
    upstream: str
    model: str
    key_id: str
    calls: int
    unpriced: int
    cost: Usd
    tokens: Tokens


class Cell(NamedTuple):
    """What is compared: a day, a model's family, and an upstream of ours where keys were assigned to upstreams."""

    day: str
    model: str
    upstream: str


class _Side:
    """The sums of one side in one cell."""

    __slots__ = ("calls", "cost", "keys", "rounding", "tokens", "unpriced")

    def __init__(self) -> None:
        self.cost = _NOTHING
        self.rounding = _NOTHING
        self.tokens = Tokens()
        self.calls = 0
        self.unpriced = 0
        self.keys: dict[str, Decimal] = defaultdict(Decimal)


@dataclass(frozen=True, slots=True)
class Line:
    """One cell of the comparison. Shares by key are dollars, or tokens where tokens are compared."""

    cell: Cell
    their_cost: Usd
    our_cost: Usd
    their_tokens: Tokens
    our_tokens: Tokens
    rounding: Usd
    calls: int
    unpriced: int
    their_keys: Mapping[str, Decimal]
    our_keys: Mapping[str, Decimal]
    differs: bool

    @property
    def difference(self) -> Usd:
        """The bill less the ledger."""
        return Usd(self.their_cost - self.our_cost)


@dataclass(frozen=True, slots=True)
class Comparison:
    """All cells, by day and model, and their sums; ``differs`` when a cell or the total goes beyond the tolerance."""

    measure: Measure
    lines: tuple[Line, ...]
    total: Line
    left_out: Mapping[str, Decimal] = field(default_factory=dict)
    """What other keys of the provider's account used, by key: not compared, as they are not assigned to an upstream."""

    @property
    def differs(self) -> bool:
        """Whether the two sides part anywhere by more than is tolerated."""
        return self.total.differs or any(line.differs for line in self.lines)


class Bill:
    """The sums of an export, made row by row: its size does not depend on the number of rows.

    ``upstreams`` assigns the provider's keys to upstreams of ours; without it keys are told apart in
    the shares alone.
    """

    def __init__(self, measure: Measure, upstreams: Mapping[str, str]) -> None:
        self.measure = measure
        self.rows = 0
        self.days: set[str] = set()
        self._upstreams = upstreams
        self._sides: dict[Cell, _Side] = defaultdict(_Side)
        self._left_out: dict[str, Decimal] = defaultdict(Decimal)
        self._names_models = False

    def add(self, charge: Charge) -> None:
        """Count one row."""
        self.rows += 1
        self.days.add(charge.day)
        amount = charge.cost if self.measure is Measure.COST else Decimal(sum(charge.tokens))
        label = charge.api_keys[0] if charge.api_keys else ""
        upstream = ""
        if self._upstreams:
            upstream = next((self._upstreams[name] for name in charge.api_keys if name in self._upstreams), "")
            if not upstream:
                self._left_out[label or "no key"] += amount
                return
        self._names_models |= charge.model is not None
        subject = charge.item if charge.model is None else model_family(charge.model)
        side = self._sides[Cell(charge.day, subject or ANY_MODEL, upstream)]
        side.cost += charge.cost
        side.rounding += charge.rounding
        side.tokens = side.tokens.plus(charge.tokens)
        if label:
            side.keys[label] += amount

    def compare(self, ledger: Iterable[LedgerLine], *, tolerance: Usd, tolerated_tokens: int) -> Comparison:
        """Put the ledger's lines beside the bill; they are to be of the days that the bill covers."""
        ours: dict[Cell, _Side] = defaultdict(_Side)
        assigned = set(self._upstreams.values())
        for line in ledger:
            if assigned and line.upstream not in assigned:
                continue
            model = model_family(line.model) if self._names_models else ANY_MODEL
            _count(ours[Cell(line.day, model, line.upstream if assigned else "")], line, self.measure)
        lines = tuple(
            self._line(cell, self._sides.get(cell, _Side()), ours.get(cell, _Side()), tolerance, tolerated_tokens)
            for cell in sorted(self._sides.keys() | ours.keys())
        )
        total = self._line(
            Cell("total", "", ""), _total(self._sides.values()), _total(ours.values()), tolerance, tolerated_tokens
        )
        return Comparison(self.measure, lines, total, dict(self._left_out))

    def _line(self, cell: Cell, theirs: _Side, ours: _Side, tolerance: Usd, tolerated_tokens: int) -> Line:
        if self.measure is Measure.COST:
            differs = abs(theirs.cost - ours.cost) > tolerance + theirs.rounding
        else:
            differs = any(abs(a - b) > tolerated_tokens for a, b in zip(theirs.tokens, ours.tokens, strict=True))
        return Line(
            cell=cell,
            their_cost=usd(theirs.cost),
            our_cost=usd(ours.cost),
            their_tokens=theirs.tokens,
            our_tokens=ours.tokens,
            rounding=usd(theirs.rounding),
            calls=ours.calls,
            unpriced=ours.unpriced,
            their_keys=dict(theirs.keys),
            our_keys=dict(ours.keys),
            differs=differs,
        )


def _count(side: _Side, line: LedgerLine, measure: Measure) -> None:
    side.cost += line.cost
    side.tokens = side.tokens.plus(line.tokens)
    side.calls += line.calls
    side.unpriced += line.unpriced
    side.keys[line.key_id] += line.cost if measure is Measure.COST else Decimal(sum(line.tokens))


def _total(sides: Iterable[_Side]) -> _Side:
    total = _Side()
    for side in sides:
        total.cost += side.cost
        total.rounding += side.rounding
        total.tokens = total.tokens.plus(side.tokens)
        total.calls += side.calls
        total.unpriced += side.unpriced
        for name, amount in side.keys.items():
            total.keys[name] += amount
    return total
