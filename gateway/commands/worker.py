"""``ponder worker``: the Celery worker in this process."""

from __future__ import annotations

import os
import sys

import click

from gateway.settings import load, places
from gateway.tasks import build, run_worker


@click.command()
def worker() -> None:
    """Run the worker, which does the scheduled work."""
    where = places(os.environ)
    sys.exit(run_worker(build(where, load(where.config))))
