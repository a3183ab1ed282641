"""``ponder prm``: step labels, training on them, and the report."""

from __future__ import annotations

import click

from calibrator.prm.label_command import label
from calibrator.prm.train_command import report, train


@click.group()
def prm() -> None:
    """Process reward models: what scores the steps of an answer."""


for command in (label, train, report):
    prm.add_command(command)
