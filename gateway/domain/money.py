"""Money. One type, one quantum, no floats.

Amounts are US dollars as :class:`decimal.Decimal`. They are rounded once, by
:func:`gateway.domain.pricing.cost`, to :data:`QUANTUM`; the database keeps them as integers of
nano-dollars, so sums are exact in every database.
"""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal
from typing import NewType

Usd = NewType("Usd", Decimal)
"""An amount in US dollars, a multiple of :data:`QUANTUM`."""

QUANTUM = Decimal("0.000000001")
"""One nano-dollar: a single token of the cheapest hosted model (about $0.00000001) still counts."""

ZERO = Usd(Decimal(0).quantize(QUANTUM))


def usd(amount: Decimal | int | str) -> Usd:
    """Round ``amount`` (dollars) to the quantum, half to even."""
    return Usd(Decimal(amount).quantize(QUANTUM, rounding=ROUND_HALF_EVEN))


def to_nanos(amount: Usd) -> int:
    """The amount as a whole number of nano-dollars, as stored."""
    return int(amount.scaleb(9))


def from_nanos(nanos: int) -> Usd:
    """The amount of a stored whole number of nano-dollars."""
    return Usd(Decimal(nanos).scaleb(-9).quantize(QUANTUM))


def show(amount: Usd) -> str:
    """Plain notation without trailing zeros, as in headers and logs: ``0.00012``."""
    text = format(amount, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text
