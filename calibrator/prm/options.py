"""Options that commands of ``ponder prm`` share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from gateway.commands.amounts import Dollars

_CALLS = (
    click.option("--concurrency", type=click.IntRange(1, 1024), default=32, show_default=True, help="Calls at a time."),
    click.option("--timeout-s", type=click.FloatRange(1), default=600, show_default=True, help="Of one call."),
    click.option("--spend-at-most-usd", "cap", type=Dollars(), help="Needed unless the model is free."),
)


def calls_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """How a model is called, and what that may cost."""
    for option in reversed(_CALLS):
        command = option(command)
    return command
