"""Tests of gateway/domain/key.py."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.key import Key, Names, Role, Scope, has_expired, may_follow, may_take, may_use

_TEXT = st.text("ab*.", max_size=8)


@given(pattern=_TEXT, name=st.text("ab.", max_size=12))
def test_a_star_stands_for_anything_and_all_else_for_itself(pattern: str, name: str) -> None:
    """A pattern matches just the names that it would as a regular expression with only its stars special."""
    expected = re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), name, re.DOTALL)
    assert (name in Names((pattern,))) is bool(expected)


def test_any_of_several_patterns_will_do() -> None:
    """A name is allowed by an exact pattern or by one with a star; case counts."""
    names = Names(("gpt-5.4", "claude-*"))
    assert [name in names for name in ("gpt-5.4", "claude-", "Claude-opus", "gpt-5")] == [True, True, False, False]


def test_many_stars_take_no_time_out_of_proportion() -> None:
    """A pattern made to make a backtracking matcher hang is answered at once."""
    assert "a" * 5_000 not in Names(("a*" * 90 + "b",))


@pytest.mark.parametrize(
    ("scopes", "expected"),
    [
        ((), True),
        ((Scope(),), True),
        ((Scope(models=Names(("m*",))), Scope(models=Names(("*1",)))), True),
        ((Scope(models=Names(("m*",))), Scope(models=Names(("*2",)))), False),
        ((Scope(models=Names(())),), False),
        ((Scope(arms=Names(()), policies=Names(())),), True),
    ],
)
def test_every_scope_binds(scopes: tuple[Scope, ...], *, expected: bool) -> None:
    """A model must be allowed by the key and by its team; what is not named does not restrict, nothing allows none."""
    assert may_use(Key("k", "k", scopes=scopes), "m1") is expected


def test_arms_and_policies_are_restricted_apart() -> None:
    """A key restricted in arms may follow any policy, and the other way round."""
    key = Key("k", "k", scopes=(Scope(arms=Names(("fast",))), Scope(policies=Names(("thrift",)))))
    assert (may_take(key, "fast"), may_take(key, "tree")) == (True, False)
    assert (may_follow(key, "thrift"), may_follow(key, "default")) == (True, False)


@pytest.mark.parametrize(("now", "expected"), [(99.999, False), (100.0, True), (101.0, True)])
def test_a_key_ends_at_its_very_expiry(now: float, *, expected: bool) -> None:
    """At the moment of its expiry a key has expired; one without never does."""
    assert has_expired(Key("k", "k", expires_at=100.0), now) is expected
    assert not has_expired(Key("k", "k"), now)


def test_roles_cover_those_before_them() -> None:
    """A role may do what lesser ones may, and nothing more."""
    covered = [(own, needed) for own in Role for needed in Role if own.covers(needed)]
    assert covered == [
        (Role.VIEWER, Role.VIEWER),
        (Role.OPERATOR, Role.VIEWER),
        (Role.OPERATOR, Role.OPERATOR),
        (Role.ADMIN, Role.VIEWER),
        (Role.ADMIN, Role.OPERATOR),
        (Role.ADMIN, Role.ADMIN),
    ]
