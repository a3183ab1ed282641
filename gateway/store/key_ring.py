"""Who may call, kept in memory: keys by the digests of their secrets, following the database.

A change made anywhere is noticed within :data:`POLL_S`. While the database is away, the keys last
read serve on, and their expiry is still enforced by the clock; an operator may bound how long.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import math
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, select, union
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.domain.key import Key, Names, Role, Scope
from gateway.domain.secret import Pepper
from gateway.domain.tenancy import IssuedKey, Team, to_key
from gateway.errors import PonderError, Unavailable
from gateway.store.changes import Changes, last_number
from gateway.store.tables import keys, teams
from gateway.store.tenancy_rows import read_keys, read_teams

POLL_S = 0.4
"""Between two looks at the number of the last change; with the reading itself well below a second."""

_PATIENCE_S = 5.0
_AT_ONCE = 250
"""Keys built before requests get their turn: some three milliseconds."""

_NOTHING = Scope(models=Names(()), arms=Names(()), policies=Names(()))
ADMIN = Key(id="admin", name="admin", role=Role.ADMIN, scopes=(_NOTHING,))
"""The key of admin.key. It administers; it calls no model, so that nobody hands it to an application."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class KeyRingState:
    """How the ring stands: for readiness and metrics."""

    keys: int
    age_s: float
    """Since the keys were last known to be those of the database."""
    last_error: str | None
    is_shut: bool
    """The keys are older than the operator allows; every request is refused."""


class StoredKeyRing:
    """The keys of a database. Satisfies :class:`gateway.ports.KeyRing` and :class:`gateway.ports.KeyDirectory`.

    Looking up costs the same for every secret: one digest, and one look into a dictionary of
    digests, whose comparison tells nothing about a secret as nobody else has the pepper.
    """

    def __init__(
        self, changes: Changes, pepper: Pepper, admin_secret: str, *, max_age_s: float | None, poll_s: float = POLL_S
    ) -> None:
        self._changes = changes
        self._pepper = pepper
        self._admin_digest = pepper.digest(admin_secret)
        self._max_age_s = max_age_s
        self._poll_s = poll_s
        self._keys: dict[bytes, Key] = {}
        self._digests: dict[str, tuple[bytes, ...]] = {}
        self._number = -1
        self._read_at = 0.0
        self._last_error: str | None = None
        self._is_shut = False
        self._shutting: asyncio.TimerHandle | None = None
        self._following: asyncio.Task[None] | None = None
        self._turn = asyncio.Lock()

    def find(self, secret: str) -> Key | None:
        return self.find_by_digest(self._pepper.digest(secret))

    def find_by_digest(self, digest: bytes) -> Key | None:
        """The key of the secret with this digest, be it valid or not; None for a secret that opens nothing now.

        Raises Unavailable as :meth:`find` does.
        """
        self._check_age()
        key = self._keys.get(digest)
        if key is None and hmac.compare_digest(digest, self._admin_digest):
            return ADMIN
        return key

    def find_by_id(self, key_id: str) -> Key | None:
        self._check_age()
        # One key for each of its secrets: it is valid for as long as the last of them.
        known = [self._keys[digest] for digest in self._digests.get(key_id, ())]
        return max(known, key=lambda key: math.inf if key.expires_at is None else key.expires_at, default=None)

    def _check_age(self) -> None:
        if self._is_shut:
            raise Unavailable(
                f"keys cannot be checked: the database has been away for more than {self._max_age_s:g} s, the limit "
                "set by keys.max_age_s",
                retry_after_s=self._poll_s,
            )

    @property
    def state(self) -> KeyRingState:
        """How the ring stands now; call in the event loop."""
        age_s = asyncio.get_running_loop().time() - self._read_at
        return KeyRingState(len(self._digests), age_s, self._last_error, self._is_shut)

    async def start(self) -> None:
        """Read all keys, then follow the database. Raises Unavailable or ConfigurationError."""
        await self.refresh()
        self._following = asyncio.create_task(self._follow(), name="key-ring")

    async def close(self) -> None:
        """Stop following."""
        if self._shutting is not None:
            self._shutting.cancel()
        if self._following is not None:
            self._following.cancel()
            await asyncio.wait({self._following})

    async def refresh(self) -> None:
        """Take in what changed. Raises Unavailable or ConfigurationError when the database cannot be read."""
        async with self._turn:
            try:
                async with asyncio.timeout(_PATIENCE_S), self._changes.reading() as connection:
                    number = await last_number(connection)
                    if number != self._number:
                        await self._take_in(connection)
                        self._number = number
            except TimeoutError as fault:
                raise Unavailable(f"the database did not answer within {_PATIENCE_S:g} s") from fault
            self._note_success()

    async def _take_in(self, connection: AsyncConnection) -> None:
        """Replace the keys changed since the number known; what changes meanwhile has a greater one."""
        issued, owners = await _read_changed(connection, self._number)
        found: dict[bytes, Key] = {}
        digests: dict[str, tuple[bytes, ...]] = {}
        for index, key in enumerate(issued):
            team = owners.get(key.terms.team_id) if key.terms.team_id else None
            found.update({secret.digest: to_key(key, team, secret) for secret in key.secrets})
            digests[key.id] = tuple(secret.digest for secret in key.secrets)
            if index % _AT_ONCE == 0:
                await asyncio.sleep(0)
        # From here to the end without a pause: a request sees all of it or nothing.
        for key_id, fresh in digests.items():
            for gone in set(self._digests.get(key_id, ())) - set(fresh):
                del self._keys[gone]
        self._keys.update(found)
        self._digests.update(digests)

    def _note_success(self) -> None:
        loop = asyncio.get_running_loop()
        self._read_at = loop.time()
        if self._last_error is not None:
            self._last_error = None
            _log.info("keys are read from the database again")
        self._is_shut = False
        if self._max_age_s is not None:
            if self._shutting is not None:
                self._shutting.cancel()
            self._shutting = loop.call_later(self._max_age_s, self._shut)

    def _note_failure(self, reason: str) -> None:
        if self._last_error is None:
            _log.warning("keys cannot be read from the database, those last read serve on: %s", reason)
        self._last_error = reason

    def _shut(self) -> None:
        self._is_shut = True
        _log.error("every request is refused: keys were last read more than %g s ago", self._max_age_s)

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(self._poll_s)
            try:
                await self.refresh()
            except PonderError as fault:
                self._note_failure(fault.message)
            except Exception as fault:  # noqa: BLE001 - the outermost loop: a fault of ours must not end revocations
                _log.debug("unexpected fault while reading keys", exc_info=True)
                self._note_failure(f"unexpected {type(fault).__name__}")


async def _read_changed(connection: AsyncConnection, since: int) -> tuple[list[IssuedKey], dict[str, Team]]:
    """The keys changed after the change ``since``, or whose team was, and the teams of them all."""
    # A union, since no index serves a condition that lies in either of two tables.
    own = select(keys.c.id).where(keys.c.changed > since)
    shared = select(keys.c.id).join(teams, teams.c.id == keys.c.team_id).where(teams.c.changed > since)
    chosen = select(union(own, shared).subquery().c.id)
    issued = await read_keys(connection, chosen)
    owners: Select[Any] = select(keys.c.team_id.label("id")).where(keys.c.id.in_(chosen))
    return issued, {team.id: team for team in await read_teams(connection, owners)}
