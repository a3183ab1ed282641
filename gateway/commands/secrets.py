"""``ponder secrets``: what this machine's secrets are encrypted with. Works on the database itself, gateway or not."""

from __future__ import annotations

import asyncio
import os
import time

import click

from gateway.adapters.encryption_keys import VARIABLE, EncryptionKeys
from gateway.commands.output import json_option, print_json
from gateway.domain.key import Role
from gateway.domain.tenancy import Author
from gateway.settings import database_url, load, places
from gateway.store.base import locate
from gateway.store.changes import Changes
from gateway.store.provider_keys import ProviderKeys
from gateway.wiring import encryption_keys

ACTOR = "command"
"""Who the audit log names: somebody at this machine, with its PONDER_HOME in reach."""


@click.group()
def secrets() -> None:
    """What stored secrets are encrypted with."""


@secrets.command()
@json_option
def rotate(*, as_json: bool) -> None:
    """Make a new encryption key and encrypt all stored provider keys with it. Safe to repeat after a kill."""
    where = places(os.environ)
    encryption = encryption_keys(where, os.environ)
    count = asyncio.run(_rotate(encryption, database_url(where, load(where.config))))
    if as_json:
        print_json({"rotated": count is not None, "provider_keys": count or 0})
        return
    if count is None:
        click.echo("There is no encryption key yet; the first stored provider key makes one. Nothing to do.")
        return
    click.echo(f"{count} stored provider keys were encrypted anew. Running gateways need no restart.")
    if encryption.is_given:
        click.echo(f"Now take the old key out of {VARIABLE}, leaving the first, and restart every gateway.")
    else:
        click.echo(
            f"Gateways with another PONDER_HOME on this database need the new {where.encryption_key_file.name}: copy "
            "it there before their next start. Backups of the database from before need the old one."
        )


async def _rotate(encryption: EncryptionKeys, url: str) -> int | None:
    """How many keys were encrypted anew; None when there is no encryption key."""
    with encryption.rotation() as cipher:
        if cipher is None:
            return None
        changes = Changes(locate(url))
        try:
            return await ProviderKeys(changes).reseal(cipher, by=Author(ACTOR, Role.ADMIN, time.time()))
        finally:
            await changes.close()
