"""``ponder beat``: the clock of the scheduled work, in this process."""

from __future__ import annotations

import os

import click

from gateway.settings import load, places
from gateway.tasks import build, run_beat


@click.command()
def beat() -> None:
    """Run the clock that tells the worker when. There must be one, however many workers there are."""
    where = places(os.environ)
    run_beat(build(where, load(where.config)))
