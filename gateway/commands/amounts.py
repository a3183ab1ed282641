"""Amounts of money as options of commands."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Any

import click

from gateway.domain.money import Usd, usd


class Dollars(click.ParamType[Usd]):
    """An amount in dollars, zero or more."""

    name = "dollars"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Usd:
        """The amount, or a usage error."""
        try:
            amount = Decimal(str(value))
        except InvalidOperation:
            amount = Decimal(-1)
        if not amount.is_finite() or amount < 0:
            self.fail(f"{value!r} is not an amount such as 0.01", param, ctx)
        return usd(amount)
