"""What ``ponder top`` draws: an overview as tables for a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.columns import Columns
from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from gateway.commands.top_readings import BudgetLine, Overview

_LINES = 12
_BAR_WIDTH = 20
_GOOD, _POOR, _BAD = "green", "yellow", "red"
_COLOURS = {"ready": _GOOD, "degraded": _POOR}
_NEARLY = 0.8


def screen(view: Overview, address: str) -> RenderableType:
    """The whole screen."""
    parts: list[RenderableType] = [_head(view, address)]
    parts += [Text(f"! {state}", style=_POOR) for state in view.degraded]
    if view.note is not None:
        parts.append(Text(view.note, style="dim"))
    parts += [Text(), _models(view), Text(), Columns([_upstreams(view), _arms(view)], padding=(0, 4))]
    if view.budgets:
        parts += [Text(), _budgets(view.budgets)]
    return Group(*parts)


def _head(view: Overview, address: str) -> Text:
    failed = f"{view.failed_per_s:.2f}/s failed"
    return Text.assemble(
        ("ponder ", "bold"),
        f"{address}  ",
        (view.status, f"bold {_COLOURS.get(view.status, _BAD)}"),
        f"   {view.requests_per_s:.1f} requests/s  ",
        (failed, _BAD if view.failed_per_s else ""),
        f"  {view.refused_per_s:.2f}/s refused   {_dollars(view.spend_usd_per_min)}/min   "
        f"{view.in_flight} in flight  {view.waiting} waiting   over {view.interval_s:.0f} s",
    )


def _models(view: Overview) -> Table:
    table = _table("model", "requests/s", "failed/s", "$/min", "output tokens/s", "p50", "p95", "first token")
    for line in view.models[:_LINES]:
        table.add_row(
            line.model,
            f"{line.requests_per_s:.2f}",
            Text(f"{line.failed_per_s:.2f}", style=_BAD if line.failed_per_s else ""),
            _dollars(line.spend_usd_per_min),
            f"{line.output_tokens_per_s:.0f}",
            *(_seconds(each) for each in (line.p50_s, line.p95_s, line.first_token_p50_s)),
        )
    return table


def _upstreams(view: Overview) -> Table:
    table = _table("upstream", "under way", "waiting", "calls/s", "failed/s")
    for line in view.upstreams[:_LINES]:
        table.add_row(
            line.upstream,
            str(line.under_way),
            str(line.waiting),
            f"{line.calls_per_s:.2f}",
            Text(f"{line.failed_per_s:.2f}", style=_BAD if line.failed_per_s else ""),
        )
    return table


def _arms(view: Overview) -> Table:
    table = _table("arm (newest requests)", "share", "$ each", "mean")
    for line in view.arms[:_LINES]:
        table.add_row(line.arm, f"{line.share:.0%}", _dollars(line.cost_usd / line.requests), _seconds(line.mean_s))
    return table


def _budgets(budgets: Sequence[BudgetLine]) -> Table:
    table = _table("budget", "period", "spent", "of", "")
    ordered = sorted(budgets, key=lambda line: -_used(line))
    for line in ordered[:_LINES]:
        used = _used(line)
        style = _GOOD if used < _NEARLY else _POOR if used < 1 else _BAD
        table.add_row(
            f"{line.holder} {line.name}",
            line.period,
            "" if line.spent_usd is None else _dollars(line.spent_usd),
            _dollars(line.amount_usd),
            ProgressBar(total=1.0, completed=min(used, 1.0), width=_BAR_WIDTH, complete_style=style),
        )
    return table


def _used(line: BudgetLine) -> float:
    if line.spent_usd is None:
        return 0.0
    return line.spent_usd / line.amount_usd if line.amount_usd else 1.0


def _table(first: str, *columns: str) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column(first, overflow="ellipsis", no_wrap=True)
    for column in columns:
        table.add_column(column, justify="right", no_wrap=True)
    return table


def _dollars(amount: float) -> str:
    return f"${amount:.2f}" if amount >= 1 or not amount else f"${amount:.4f}"


def _seconds(value: float | None) -> str:
    if value is None:
        return "·"
    return f"{value:.2f} s" if value >= 1 else f"{value * 1000:.0f} ms"
