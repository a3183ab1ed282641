"""``ponder serve``: the gateway in this process."""

from __future__ import annotations

import os
import sys

import click

from gateway.serving import run
from gateway.settings import places


@click.command()
def serve() -> None:
    """Run the gateway alone, in this process."""
    sys.exit(run(places(os.environ)))
