"""Keys: issuing, finding, changing, rotating and revoking them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from sqlalchemy import and_, exists, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.domain.tenancy import Author, IssuedKey, IssuedSecret, KeyTerms, key_account, key_document
from gateway.errors import Conflict, NotFound
from gateway.store.changes import Change, Changes
from gateway.store.tables import key_secrets, keys
from gateway.store.teams import find_team
from gateway.store.tenancy_rows import key_values, read_keys, write_budgets


@dataclass(frozen=True, slots=True)
class NewSecret:
    """A secret about to be stored: its digest, and what people will know it by."""

    digest: bytes
    hint: str


class Keys:
    """The keys in a database. They are named by id or, unless revoked, by name."""

    def __init__(self, changes: Changes) -> None:
        self._changes = changes

    async def create(self, key_id: str, terms: KeyTerms, secret: NewSecret, *, by: Author) -> IssuedKey:
        """Issue a key; its team may be given by name.

        Raises Conflict when a valid key has this name, NotFound for an unknown team.
        """
        async with self._changes.begin(by) as change:
            await _check_name(change.connection, terms.name)
            if terms.team_id is not None:
                terms = replace(terms, team_id=(await find_team(change.connection, terms.team_id)).id)
            return await issue(change, key_id, terms, secret)

    async def amend(
        self, reference: str, amended: Callable[[KeyTerms], KeyTerms], *, action: str, by: Author
    ) -> IssuedKey:
        """Change a key's terms. Raises NotFound, Conflict, Forbidden, and what ``amended`` raises."""
        async with self._changes.begin(by) as change:
            key = await _find_valid(change, reference)
            after = replace(key, terms=amended(key.terms))
            if after.terms.name != key.terms.name:
                await _check_name(change.connection, after.terms.name)
            await write_budgets(change.connection, key_account(key.id), after.terms.limits.budgets)
            await _write(change, action, key, after)
        return after

    async def revoke(self, reference: str, *, by: Author) -> IssuedKey:
        """Refuse the key from now on, for good. Raises NotFound, Conflict or Forbidden."""
        async with self._changes.begin(by) as change:
            key = await _find_valid(change, reference)
            after = replace(key, revoked_at=by.at)
            await _write(change, "key.revoke", key, after)
        return after

    async def rotate(self, reference: str, secret: NewSecret, *, grace_s: float, by: Author) -> IssuedKey:
        """Give the key another secret; those before it work for ``grace_s`` more at most.

        Raises NotFound, Conflict or Forbidden.
        """
        async with self._changes.begin(by) as change:
            key = await _find_valid(change, reference)
            until = by.at + grace_s
            ending = and_(
                key_secrets.c.key_id == key.id,
                or_(key_secrets.c.expires_at.is_(None), key_secrets.c.expires_at > until),
            )
            await change.connection.execute(update(key_secrets).where(ending).values(expires_at=until))
            await add_secret(change, key.id, secret)
            after = await _find(change.connection, key.id)
            await _write(change, "key.rotate", key, after)
        return after

    async def find(self, reference: str) -> IssuedKey:
        """The key of this id or name. Raises NotFound."""
        async with self._changes.reading() as connection:
            return await _find(connection, reference)

    async def page(
        self, *, limit: int, after: str | None = None, team_id: str | None = None, revoked: bool = False
    ) -> list[IssuedKey]:
        """Keys by id, those after ``after``; revoked ones only on request."""
        chosen = select(keys.c.id).order_by(keys.c.id).limit(limit)
        if after is not None:
            chosen = chosen.where(keys.c.id > after)
        if team_id is not None:
            chosen = chosen.where(keys.c.team_id == team_id)
        if not revoked:
            chosen = chosen.where(keys.c.revoked_at.is_(None))
        async with self._changes.reading() as connection:
            return await read_keys(connection, chosen)


async def issue(change: Change, key_id: str, terms: KeyTerms, secret: NewSecret) -> IssuedKey:
    """Write and record a new key, within a change."""
    at, connection = change.by.at, change.connection
    values = {"id": key_id, "created_at": at, "changed": change.number, **key_values(terms)}
    await connection.execute(insert(keys).values(values))
    await add_secret(change, key_id, secret)
    await write_budgets(connection, key_account(key_id), terms.limits.budgets)
    key = IssuedKey(key_id, terms, at, secrets=(IssuedSecret(secret.digest, secret.hint, at),))
    await change.record("key.create", key_account(key_id), before=None, after=key_document(key))
    return key


async def add_secret(change: Change, key_id: str, secret: NewSecret) -> None:
    """Let the secret prove to be the key, within a change that marks the key."""
    values = {"digest": secret.digest, "key_id": key_id, "hint": secret.hint, "created_at": change.by.at}
    await change.connection.execute(insert(key_secrets).values(values))


async def _find(connection: AsyncConnection, reference: str) -> IssuedKey:
    named = or_(keys.c.id == reference, and_(keys.c.name == reference, keys.c.revoked_at.is_(None)))
    found = await read_keys(connection, select(keys.c.id).where(named))
    if not found:
        raise NotFound("there is no key of this id or name; GET /admin/keys lists those there are")
    return found[0]


async def _find_valid(change: Change, reference: str) -> IssuedKey:
    """The key, if its author may change it and it can still be changed."""
    key = await _find(change.connection, reference)
    change.by.check_may_change(key)
    if key.revoked_at is not None:
        raise Conflict(f"key {key.id} is revoked, which is for good; make another: POST /admin/keys")
    return key


async def _check_name(connection: AsyncConnection, name: str) -> None:
    taken = exists().where(keys.c.name == name, keys.c.revoked_at.is_(None))
    if await connection.scalar(select(taken)):
        raise Conflict(f"there is a key named {name!r}; choose another name", param="name")


async def _write(change: Change, action: str, before: IssuedKey, after: IssuedKey) -> None:
    values = {**key_values(after.terms), "revoked_at": after.revoked_at, "changed": change.number}
    await change.connection.execute(update(keys).where(keys.c.id == after.id).values(values))
    await change.record(action, key_account(after.id), before=key_document(before), after=key_document(after))
