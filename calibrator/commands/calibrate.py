"""``ponder calibrate``: how many labels a promise takes, and which arms it allows."""

from __future__ import annotations

import click

from calibrator.commands.canaries import canaries
from calibrator.commands.choosing import choose_, report
from calibrator.commands.judges import judges
from calibrator.commands.plan import plan
from calibrator.commands.run import cancel, rollback, run_
from calibrator.commands.runs import import_, publish_, runs


@click.group()
def calibrate() -> None:
    """Budgets that tune themselves: accuracy against cost, and arms with a certified loss."""


for command in (run_, plan, choose_, report, import_, runs, cancel, publish_, canaries, rollback, judges):
    calibrate.add_command(command)
