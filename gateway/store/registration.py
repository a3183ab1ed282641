"""What a start registers in the database: which pepper its digests are made with, and the first key."""

from __future__ import annotations

import logging

from sqlalchemy import exists, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.domain.key import Role
from gateway.domain.secret import Pepper, hint
from gateway.domain.tenancy import Author, KeyTerms, key_account, key_document
from gateway.errors import ConfigurationError
from gateway.store.changes import Change, Changes
from gateway.store.keys import NewSecret, add_secret, issue
from gateway.store.tables import key_secrets, keys
from gateway.store.tenancy_rows import read_keys

DEFAULT = "default"
"""Id and name of the first key. Each PONDER_HOME has a secret of its own for it."""

_log = logging.getLogger(__name__)


async def register(
    changes: Changes, pepper: Pepper, default_secret: str, *, now: float, accepts_new_pepper: bool
) -> None:
    """Claim the database for this pepper, and make the secret of default.key known. Safe to repeat.

    Raises ConfigurationError when the database's keys were stored with another pepper.
    """
    boot = Author("boot", Role.ADMIN, now)
    await _claim(changes, pepper, boot, accepts_new_pepper=accepts_new_pepper)
    secret = NewSecret(pepper.digest(default_secret), hint(default_secret))
    async with changes.reading() as connection:
        if await _is_known(connection, secret):
            return
    async with changes.begin(boot) as change:
        # Asked again: another process with the same home may have been faster.
        if not await _is_known(change.connection, secret):
            await _add_default(change, secret)


async def _claim(changes: Changes, pepper: Pepper, boot: Author, *, accepts_new_pepper: bool) -> None:
    stored = await changes.pepper()
    if stored == pepper.fingerprint:
        return
    async with changes.begin(boot) as change:
        stored = await change.pepper()
        if stored == pepper.fingerprint:
            return
        if stored is not None and not accepts_new_pepper:
            raise ConfigurationError(
                "the keys in this database were stored with another pepper, so none of them would be known: "
                "give this machine the pepper.key of the others, or all of them the same PONDER_PEPPER. If it is lost, "
                "start once with PONDER_ACCEPT_NEW_PEPPER=1 and give every key a new secret with `ponder keys rotate`"
            )
        await change.set_pepper(pepper.fingerprint)
        before = None if stored is None else {"fingerprint": stored}
        await change.record("pepper.set", "pepper", before=before, after={"fingerprint": pepper.fingerprint})
        if stored is not None:
            _log.warning("the database's pepper was replaced: every key needs a new secret")


async def _is_known(connection: AsyncConnection, secret: NewSecret) -> bool:
    return bool(await connection.scalar(select(exists().where(key_secrets.c.digest == secret.digest))))


async def _add_default(change: Change, secret: NewSecret) -> None:
    """Make the first key, or give it one more secret; once revoked, it stays so."""
    connection = change.connection
    found = await read_keys(connection, select(keys.c.id).where(keys.c.id == DEFAULT))
    if not found:
        await issue(change, DEFAULT, KeyTerms(DEFAULT, may_override=True), secret)
        return
    await add_secret(change, DEFAULT, secret)
    await connection.execute(update(keys).where(keys.c.id == DEFAULT).values(changed=change.number))
    (after,) = await read_keys(connection, select(keys.c.id).where(keys.c.id == DEFAULT))
    await change.record(
        "key.add_secret", key_account(DEFAULT), before=key_document(found[0]), after=key_document(after)
    )
