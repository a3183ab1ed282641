"""Teams and keys to be stored in tests."""

from __future__ import annotations

from decimal import Decimal
from hashlib import sha256

from gateway.domain.key import Names, Priority, Role, Scope
from gateway.domain.limits import Budget, Limits, Period
from gateway.domain.money import usd
from gateway.domain.tenancy import Author, KeyTerms, TeamTerms
from gateway.store.keys import NewSecret
from tests.store.records import NOON

ADMIN = Author("admin", Role.ADMIN, NOON)
OPERATOR = Author("key_operator", Role.OPERATOR, NOON + 1)

FULL_TEAM = TeamTerms(
    "red",
    Scope(models=Names(("gpt-*",)), arms=Names(()), policies=Names(("thrift", "default"))),
    Limits(
        600, 1_000_000, 8, (Budget(usd("10"), Period.DAY, Decimal("0.8")), Budget(usd("0.000000001"), Period.TOTAL))
    ),
    policy="careful",
)
"""A team with every field set."""

FULL_KEY = KeyTerms(
    "search",
    role=Role.VIEWER,
    priority=Priority.BACKGROUND,
    may_override=True,
    scope=Scope(models=Names(("gpt-*", "claude-opus")), arms=Names(("fast",)), policies=Names(())),
    limits=Limits(60, 2**53 - 1, 2, (Budget(usd("9000000000"), Period.MONTH, Decimal("1")),)),
    expires_at=NOON + 0.123456,
    policy="thrift",
)
"""A key with every field set, but no team."""


def secret(number: int) -> NewSecret:
    """The digest of the secret with this number."""
    return NewSecret(sha256(str(number).encode()).digest(), f"…{number:04}")
