"""``ponder db``: the database's schema."""

from __future__ import annotations

import asyncio
import os

import click

from gateway.commands.output import json_option, print_json
from gateway.settings import database_url, load, places
from gateway.store.base import locate
from gateway.store.schema import HEAD, upgrade


@click.group()
def db() -> None:
    """The database's schema."""


@db.command("upgrade")
@json_option
def upgrade_(as_json: bool) -> None:
    """Bring the database's schema to this release's. Safe to repeat, and to run on many machines at once."""
    where = places(os.environ)
    url = database_url(where, load(where.config))
    if url.startswith("sqlite"):
        where.home.mkdir(mode=0o700, parents=True, exist_ok=True)
    is_changed = asyncio.run(upgrade(url))
    label = locate(url).label
    if as_json:
        print_json({"database": label, "revision": HEAD, "changed": is_changed})
    else:
        click.echo(f"{label}: {'brought to' if is_changed else 'already at'} revision {HEAD}")
