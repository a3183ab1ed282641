"""How a comparison of bill and ledger reads: as a table of its differences, or whole as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

import click

from gateway.commands.output import print_rows
from gateway.domain.money import Usd, show
from gateway.domain.reconciliation import Comparison, Line, Measure, Tokens

_KEYS_SHOWN = 4


def print_comparison(comparison: Comparison, tolerance: Usd, tolerated_tokens: int) -> None:
    """Print the lines that differ, the totals, and what was left out."""
    differing = [line for line in comparison.lines if line.differs]
    by_key = any(line.cell.upstream for line in comparison.lines)
    if differing:
        columns = ("day", "model", *(("upstream",) if by_key else ()), *_MEASURED[comparison.measure])
        rows = [row for line in (*differing, comparison.total) for row in _rows(line, comparison.measure)]
        print_rows((*columns, "calls", "unknown", "their keys", "our keys"), rows)
        click.echo()
    total = comparison.total
    click.echo(f"{len(comparison.lines) - len(differing)} of {len(comparison.lines)} lines agree within the tolerance.")
    if comparison.measure is Measure.COST:
        click.echo(
            f"Bill ${show(total.their_cost)}, ledger ${show(total.our_cost)}, difference ${_signed(total.difference)}; "
            f"tolerated per line and in total: ${show(tolerance)}"
            + (f", and ${show(total.rounding)} for amounts printed in whole cents" if total.rounding else "")
            + "."
        )
    else:
        click.echo(
            f"Bill {sum(total.their_tokens)} tokens, ledger {sum(total.our_tokens)}; "
            f"tolerated per line, in total and for each class: {tolerated_tokens}."
        )
    if comparison.left_out:
        unit = "$" if comparison.measure is Measure.COST else ""
        keys = ", ".join(f"{key} ({unit}{_plain(amount)})" for key, amount in sorted(comparison.left_out.items()))
        click.echo(f"Left out, as they are assigned to no upstream: {keys}.")


_MEASURED = {
    Measure.COST: ("bill $", "ledger $", "difference $"),
    Measure.TOKENS: ("tokens", "bill", "ledger", "difference"),
}


def _rows(line: Line, measure: Measure) -> Iterator[dict[str, str]]:
    shared = {
        "day": line.cell.day,
        "model": line.cell.model,
        "upstream": line.cell.upstream,
        "calls": str(line.calls),
        "unknown": str(line.unpriced or ""),
        "their keys": _shares(line.their_keys),
        "our keys": _shares(line.our_keys),
    }
    if measure is Measure.COST:
        yield {
            **shared,
            "bill $": show(line.their_cost),
            "ledger $": show(line.our_cost),
            "difference $": _signed(line.difference),
        }
        return
    for name, theirs, ours in zip(Tokens._fields, line.their_tokens, line.our_tokens, strict=True):
        if theirs != ours:
            words = name.replace("_", " ")
            yield {
                **shared,
                "tokens": words,
                "bill": str(theirs),
                "ledger": str(ours),
                "difference": f"{theirs - ours:+}",
            }


def _shares(keys: Mapping[str, Decimal]) -> str:
    """The largest shares by key."""
    largest = sorted(keys.items(), key=lambda share: -share[1])
    shown = ", ".join(f"{key} {_plain(amount)}" for key, amount in largest[:_KEYS_SHOWN])
    return shown + (f", {len(largest) - _KEYS_SHOWN} more" if len(largest) > _KEYS_SHOWN else "")


def _signed(amount: Usd) -> str:
    return ("+" if amount > 0 else "") + show(amount)


def _plain(amount: Decimal) -> str:
    return show(Usd(amount))


def comparison_document(comparison: Comparison) -> dict[str, Any]:
    """The comparison as JSON: amounts are decimal text, so that none is rounded."""
    return {
        "measure": comparison.measure.value,
        "differs": comparison.differs,
        "total": _line(comparison.total, comparison.measure),
        "lines": [_line(line, comparison.measure) for line in comparison.lines],
        "left_out": {key: _plain(amount) for key, amount in comparison.left_out.items()},
    }


def _line(line: Line, measure: Measure) -> dict[str, Any]:
    if measure is Measure.COST:
        figures: dict[str, Any] = {
            "bill_usd": show(line.their_cost),
            "ledger_usd": show(line.our_cost),
            "difference_usd": show(line.difference),
            "rounding_usd": show(line.rounding),
        }
    else:
        figures = {"bill_tokens": line.their_tokens._asdict(), "ledger_tokens": line.our_tokens._asdict()}
    return {
        "day": line.cell.day,
        "model": line.cell.model,
        "upstream": line.cell.upstream or None,
        "differs": line.differs,
        **figures,
        "calls": line.calls,
        "unknown_cost_calls": line.unpriced,
        "their_keys": {key: _plain(amount) for key, amount in line.their_keys.items()},
        "our_keys": {key: _plain(amount) for key, amount in line.our_keys.items()},
    }
