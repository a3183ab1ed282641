"""Keys: who is asking, what they may ask for, and under whose limits.

A :class:`Key` is what a request meets: built once when keys are read, only looked at afterwards.
What is stored of a key, and of its team, is :mod:`gateway.domain.tenancy`'s.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from gateway.domain.limits import Account


class Role(StrEnum):
    """What a key may do under ``/admin``; each role may also do what those before it may."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    ADMIN = "admin"

    def covers(self, needed: Role) -> bool:
        """Whether this role suffices where ``needed`` is asked for."""
        return _RANKS[self] >= _RANKS[needed]


_RANKS = {role: rank for rank, role in enumerate(Role)}


class Priority(StrEnum):
    """Who waits for whom when an upstream is full."""

    INTERACTIVE = "interactive"
    BACKGROUND = "background"


@dataclass(frozen=True, slots=True)
class Names:
    """Names by pattern: ``*`` stands for any run of characters, also none; all else for itself."""

    patterns: tuple[str, ...]
    _exact: frozenset[str] = field(init=False, repr=False, compare=False)
    _globs: tuple[tuple[str, ...], ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_exact", frozenset(self.patterns))
        object.__setattr__(self, "_globs", tuple(tuple(each.split("*")) for each in self.patterns if "*" in each))

    def __contains__(self, name: str) -> bool:
        if name in self._exact:
            return True
        for pieces in self._globs:  # noqa: SIM110 - a loop takes half the time of any(), on every request
            if _matches(pieces, name):
                return True
        return False


def _matches(pieces: tuple[str, ...], name: str) -> bool:
    """Whether the name holds the pieces between the stars, in order; linear, whatever the pattern."""
    first, *middle, last = pieces
    at, end = len(first), len(name) - len(last)
    if at > end or not name.startswith(first) or not name.endswith(last):
        return False
    for piece in middle:
        found = name.find(piece, at, end)
        if found < 0:
            return False
        at = found + len(piece)
    return True


@dataclass(frozen=True, slots=True)
class Scope:
    """What may be asked for; None does not restrict, and no names at all allow nothing."""

    models: Names | None = None
    arms: Names | None = None
    policies: Names | None = None


EVERYTHING = Scope()


@dataclass(frozen=True, slots=True)
class Key:
    """A caller's key, never its secret.

    ``scopes`` and ``accounts`` are its own and its team's, and all of them bind. ``policy`` decides
    for ``model: auto``: its own, else its team's, else None for the one that ponder.yaml names.
    ``may_override`` lets hints loosen limits as well, and names of stored things of unknown owners pass.
    ``role`` is None for those who only call models.
    """

    id: str
    name: str
    team_id: str | None = None
    team_name: str | None = None
    role: Role | None = None
    may_override: bool = False
    scopes: tuple[Scope, ...] = ()
    accounts: tuple[Account, ...] = ()
    priority: Priority = Priority.INTERACTIVE
    expires_at: float | None = None
    is_active: bool = True
    policy: str | None = None


def has_expired(key: Key, now: float) -> bool:
    """Whether the key's time is over; it is at the very moment of its expiry."""
    return key.expires_at is not None and now >= key.expires_at


def may_use(key: Key, model: str) -> bool:
    """Whether the key may ask for this model."""
    for scope in key.scopes:  # noqa: SIM110 - a loop takes half the time of all(), on every request
        if scope.models is not None and model not in scope.models:
            return False
    return True


def may_take(key: Key, arm: str) -> bool:
    """Whether the key's requests may be answered by this arm."""
    return all(scope.arms is None or arm in scope.arms for scope in key.scopes)


def may_follow(key: Key, policy: str) -> bool:
    """Whether the key may ask for this policy."""
    return all(scope.policies is None or policy in scope.policies for scope in key.scopes)
