"""Keys and teams as they are kept and administered: their terms, and who may change them.

The documents made here are what the admin API answers and the audit log keeps. They hold no secret
and no digest.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from gateway.domain.key import EVERYTHING, Key, Names, Priority, Role, Scope
from gateway.domain.limits import Account, Limits
from gateway.domain.money import show
from gateway.errors import Forbidden

UNLIMITED = Limits()


@dataclass(frozen=True, slots=True)
class TeamTerms:
    """What is agreed with a team. Its limits are shared by all its keys, its policy by those that name none."""

    name: str
    scope: Scope = EVERYTHING
    limits: Limits = UNLIMITED
    policy: str | None = None


@dataclass(frozen=True, slots=True)
class Team:
    """A team as stored; one that is deleted stays for the records that name it."""

    id: str
    terms: TeamTerms
    created_at: float
    deleted_at: float | None = None


@dataclass(frozen=True, slots=True)
class KeyTerms:
    """What is agreed with a key. Its team is the same for life, so that spending stays attributed."""

    name: str
    team_id: str | None = None
    role: Role | None = None
    priority: Priority = Priority.INTERACTIVE
    may_override: bool = False
    scope: Scope = EVERYTHING
    limits: Limits = UNLIMITED
    expires_at: float | None = None
    policy: str | None = None


@dataclass(frozen=True, slots=True)
class IssuedSecret:
    """One of a key's secrets: its digest, and what people know it by. A rotated one ends at ``expires_at``."""

    digest: bytes = field(repr=False)
    hint: str
    created_at: float
    expires_at: float | None = None


@dataclass(frozen=True, slots=True)
class IssuedKey:
    """A key as stored; one that is revoked stays for the records that name it."""

    id: str
    terms: KeyTerms
    created_at: float
    revoked_at: float | None = None
    secrets: tuple[IssuedSecret, ...] = ()


@dataclass(frozen=True, slots=True)
class Author:
    """Who changes something, and when (Unix seconds)."""

    id: str
    role: Role
    at: float

    def check_may_change(self, key: IssuedKey) -> None:
        """Raises Forbidden: keys that administer are changed by admins alone, or operators could rise."""
        if key.terms.role is not None and self.role is not Role.ADMIN:
            raise Forbidden(f"key {key.id} has the role {key.terms.role}; only an admin may change it")


def key_account(key_id: str) -> str:
    """The id of a key's account."""
    return f"key:{key_id}"


def team_account(team_id: str) -> str:
    """The id of a team's account."""
    return f"team:{team_id}"


def to_key(issued: IssuedKey, team: Team | None, secret: IssuedSecret) -> Key:
    """The key that a request with this secret meets."""
    terms = issued.terms
    scopes = [terms.scope]
    accounts = [Account(key_account(issued.id), terms.limits)]
    policy = terms.policy
    if team is not None:
        scopes.append(team.terms.scope)
        accounts.append(Account(team_account(team.id), team.terms.limits))
        policy = policy or team.terms.policy
    ends = [end for end in (terms.expires_at, secret.expires_at) if end is not None]
    return Key(
        id=issued.id,
        name=terms.name,
        team_id=terms.team_id,
        team_name=None if team is None else team.terms.name,
        role=terms.role,
        may_override=terms.may_override,
        scopes=tuple(scope for scope in scopes if scope != EVERYTHING),
        accounts=tuple(accounts),
        priority=terms.priority,
        expires_at=min(ends, default=None),
        is_active=issued.revoked_at is None,
        policy=policy,
    )


def key_document(key: IssuedKey) -> dict[str, Any]:
    """A key as JSON."""
    terms = key.terms
    return {
        "id": key.id,
        "name": terms.name,
        "team_id": terms.team_id,
        "role": terms.role,
        "priority": terms.priority.value,
        "may_override": terms.may_override,
        "policy": terms.policy,
        **_scope_document(terms.scope),
        **_limits_document(terms.limits),
        "created_at": _time(key.created_at),
        "expires_at": _time(terms.expires_at),
        "revoked_at": _time(key.revoked_at),
        "secrets": [
            {"hint": secret.hint, "created_at": _time(secret.created_at), "expires_at": _time(secret.expires_at)}
            for secret in key.secrets
        ],
    }


def team_document(team: Team) -> dict[str, Any]:
    """A team as JSON."""
    return {
        "id": team.id,
        "name": team.terms.name,
        "policy": team.terms.policy,
        **_scope_document(team.terms.scope),
        **_limits_document(team.terms.limits),
        "created_at": _time(team.created_at),
        "deleted_at": _time(team.deleted_at),
    }


def _scope_document(scope: Scope) -> dict[str, Any]:
    return {"models": _patterns(scope.models), "arms": _patterns(scope.arms), "policies": _patterns(scope.policies)}


def _patterns(names: Names | None) -> list[str] | None:
    return None if names is None else list(names.patterns)


def _limits_document(limits: Limits) -> dict[str, Any]:
    return {
        "limits": {
            "requests_per_minute": limits.requests_per_minute,
            "tokens_per_minute": limits.tokens_per_minute,
            "concurrency": limits.concurrency,
        },
        "budgets": [
            {
                "period": budget.period.value,
                "amount_usd": show(budget.amount),
                "soft_share": None if budget.soft_share is None else str(budget.soft_share),
            }
            for budget in limits.budgets
        ],
    }


def _time(seconds: float | None) -> str | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
