"""Tests of gateway/domain/tenancy.py."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal

import pytest

from gateway.domain.key import Key, Names, Priority, Role, Scope
from gateway.domain.limits import Account, Budget, Limits, Period
from gateway.domain.money import usd
from gateway.domain.tenancy import (
    Author,
    IssuedKey,
    IssuedSecret,
    KeyTerms,
    Team,
    TeamTerms,
    key_document,
    team_document,
    to_key,
)
from gateway.errors import Forbidden

_LIMITS = Limits(requests_per_minute=60, budgets=(Budget(usd("12.5"), Period.DAY, Decimal("0.8")),))
_SECRET = IssuedSecret(b"\x01" * 32, "sk-ponder-…wxyz", 0.0)
_KEY = IssuedKey(
    "key_1",
    KeyTerms(
        "search",
        team_id="team_1",
        role=Role.VIEWER,
        priority=Priority.BACKGROUND,
        may_override=True,
        scope=Scope(models=Names(("m*",))),
        limits=_LIMITS,
        expires_at=200.0,
    ),
    created_at=0.0,
    secrets=(_SECRET,),
)
_TEAM = Team("team_1", TeamTerms("red", Scope(arms=Names(("fast",))), Limits(concurrency=3)), created_at=0.0)


def test_a_key_carries_its_teams_terms() -> None:
    """What a request meets holds both scopes and both accounts, and the rest of the key's own terms."""
    assert to_key(_KEY, _TEAM, _SECRET) == Key(
        id="key_1",
        name="search",
        team_id="team_1",
        role=Role.VIEWER,
        may_override=True,
        scopes=(Scope(models=Names(("m*",))), Scope(arms=Names(("fast",)))),
        accounts=(Account("key:key_1", _LIMITS), Account("team:team_1", Limits(concurrency=3))),
        priority=Priority.BACKGROUND,
        expires_at=200.0,
        team_name="red",
    )


@pytest.mark.parametrize(("ends", "expected"), [(None, 200.0), (150.0, 150.0), (250.0, 200.0)])
def test_a_key_ends_with_the_earlier_of_its_own_and_its_secrets_expiry(ends: float | None, expected: float) -> None:
    """A rotated secret ends its use of the key; it does not prolong the key."""
    assert to_key(_KEY, None, IssuedSecret(b"", "", 0.0, ends)).expires_at == expected


def test_a_revoked_key_is_not_active() -> None:
    """Revocation shows in what a request meets."""
    assert not to_key(IssuedKey("k", KeyTerms("k"), 0.0, revoked_at=1.0), None, _SECRET).is_active


def test_documents_are_json_without_digests() -> None:
    """The document of a key says everything but the digest, in JSON; so does a representation."""
    text = json.dumps(key_document(_KEY)) + repr(_KEY)
    assert "\\x01" not in text
    assert "digest" not in text
    document = key_document(_KEY)
    assert document["budgets"] == [{"period": "day", "amount_usd": "12.5", "soft_share": "0.8"}]
    assert document["limits"] == {"requests_per_minute": 60, "tokens_per_minute": None, "concurrency": None}
    assert document["expires_at"] == "1970-01-01T00:03:20.000+00:00"
    assert document["secrets"] == [
        {"hint": "sk-ponder-…wxyz", "created_at": "1970-01-01T00:00:00.000+00:00", "expires_at": None}
    ]
    assert team_document(_TEAM)["arms"] == ["fast"]


@pytest.mark.parametrize("role", [Role.VIEWER, Role.OPERATOR])
def test_keys_with_a_role_are_an_admins_business(role: Role) -> None:
    """Only an admin may change a key that has a role; a key without one is anybody's who may change keys."""
    with pytest.raises(Forbidden, match="only an admin"):
        Author("key_2", role, 0.0).check_may_change(_KEY)
    Author("key_2", Role.ADMIN, 0.0).check_may_change(_KEY)
    Author("key_2", role, 0.0).check_may_change(IssuedKey("k", KeyTerms("k"), 0.0))


def test_a_key_follows_its_own_policy_else_its_teams() -> None:
    """The key's policy goes before its team's; without either, none is named."""
    named = replace(_KEY, terms=replace(_KEY.terms, policy="thrift"))
    team = replace(_TEAM, terms=replace(_TEAM.terms, policy="careful"))
    cases = [(named, team), (named, None), (_KEY, team), (_KEY, _TEAM), (_KEY, None)]
    assert [to_key(key, owner, _SECRET).policy for key, owner in cases] == ["thrift", "thrift", "careful", None, None]
    assert key_document(named)["policy"] == "thrift"
    assert team_document(team)["policy"] == "careful"
