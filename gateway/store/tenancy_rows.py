"""Teams and keys as rows, and rows as teams and keys."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from sqlalchemy import ColumnElement, RowMapping, Select, delete, insert, literal, select
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.domain.key import Names, Priority, Role, Scope
from gateway.domain.limits import Budget, Limits, Period
from gateway.domain.money import from_nanos, to_nanos
from gateway.domain.tenancy import (
    IssuedKey,
    IssuedSecret,
    KeyTerms,
    Team,
    TeamTerms,
    key_account,
    team_account,
)
from gateway.store.tables import budgets, key_secrets, keys, teams

_PERIODS = list(Period)


def key_values(terms: KeyTerms) -> dict[str, Any]:
    """A key's terms as the columns of its row; its budgets are rows of their own."""
    return {
        "name": terms.name,
        "team_id": terms.team_id,
        "role": None if terms.role is None else terms.role.value,
        "priority": terms.priority.value,
        "may_override": terms.may_override,
        "expires_at": terms.expires_at,
        **_shared_values(terms),
    }


def team_values(terms: TeamTerms) -> dict[str, Any]:
    """A team's terms as the columns of its row; its budgets are rows of their own."""
    return {"name": terms.name, **_shared_values(terms)}


def _shared_values(terms: KeyTerms | TeamTerms) -> dict[str, Any]:
    scope, limits = terms.scope, terms.limits
    return {
        "models": _patterns(scope.models),
        "arms": _patterns(scope.arms),
        "policies": _patterns(scope.policies),
        "policy": terms.policy,
        "requests_per_minute": limits.requests_per_minute,
        "tokens_per_minute": limits.tokens_per_minute,
        "concurrency": limits.concurrency,
    }


def _patterns(names: Names | None) -> list[str] | None:
    return None if names is None else list(names.patterns)


async def write_budgets(connection: AsyncConnection, account: str, chosen: Iterable[Budget]) -> None:
    """Make these the account's budgets."""
    await connection.execute(delete(budgets).where(budgets.c.account == account))
    rows = [
        {
            "account": account,
            "period": budget.period.value,
            "amount_nanos": to_nanos(budget.amount),
            "soft_share": None if budget.soft_share is None else str(budget.soft_share),
        }
        for budget in chosen
    ]
    if rows:
        await connection.execute(insert(budgets), rows)


async def read_keys(connection: AsyncConnection, chosen: Select[Any]) -> list[IssuedKey]:
    """The keys whose ids ``chosen`` selects, in the order of their ids."""
    # As a sub-select three times, not as a list of ids: databases bound the number of parameters.
    rows = (await connection.execute(select(keys).where(keys.c.id.in_(chosen)).order_by(keys.c.id))).mappings().all()
    secrets: dict[str, list[IssuedSecret]] = defaultdict(list)
    found = select(key_secrets).where(key_secrets.c.key_id.in_(chosen)).order_by(key_secrets.c.created_at)
    for row in (await connection.execute(found)).mappings():
        secret = IssuedSecret(bytes(row["digest"]), row["hint"], row["created_at"], row["expires_at"])
        secrets[row["key_id"]].append(secret)
    owned = await _read_budgets(connection, budgets.c.account.in_(_accounts("key:", chosen)))
    return [_key(row, owned[key_account(row["id"])], tuple(secrets[row["id"]])) for row in rows]


async def read_teams(connection: AsyncConnection, chosen: Select[Any]) -> list[Team]:
    """The teams whose ids ``chosen`` selects, in the order of their ids."""
    rows = (await connection.execute(select(teams).where(teams.c.id.in_(chosen)).order_by(teams.c.id))).mappings().all()
    owned = await _read_budgets(connection, budgets.c.account.in_(_accounts("team:", chosen)))
    return [_team(row, owned[team_account(row["id"])]) for row in rows]


def _accounts(prefix: str, chosen: Select[Any]) -> Select[Any]:
    ids = chosen.subquery()
    return select(literal(prefix).concat(ids.c.id))


async def _read_budgets(connection: AsyncConnection, condition: ColumnElement[bool]) -> dict[str, list[Budget]]:
    owned: dict[str, list[Budget]] = defaultdict(list)
    for row in (await connection.execute(select(budgets).where(condition))).mappings():
        share = None if row["soft_share"] is None else Decimal(row["soft_share"])
        owned[row["account"]].append(Budget(from_nanos(row["amount_nanos"]), Period(row["period"]), share))
    for each in owned.values():
        each.sort(key=lambda budget: _PERIODS.index(budget.period))
    return owned


def _key(row: RowMapping, owned: list[Budget], secrets: tuple[IssuedSecret, ...]) -> IssuedKey:
    terms = KeyTerms(
        name=row["name"],
        team_id=row["team_id"],
        role=None if row["role"] is None else Role(row["role"]),
        priority=Priority(row["priority"]),
        may_override=row["may_override"],
        scope=_scope(row),
        limits=_limits(row, owned),
        expires_at=row["expires_at"],
        policy=row["policy"],
    )
    return IssuedKey(row["id"], terms, row["created_at"], row["revoked_at"], secrets)


def _team(row: RowMapping, owned: list[Budget]) -> Team:
    terms = TeamTerms(row["name"], _scope(row), _limits(row, owned), row["policy"])
    return Team(row["id"], terms, row["created_at"], row["deleted_at"])


def _scope(row: RowMapping) -> Scope:
    return Scope(models=_names(row["models"]), arms=_names(row["arms"]), policies=_names(row["policies"]))


def _names(patterns: list[str] | None) -> Names | None:
    return None if patterns is None else Names(tuple(patterns))


def _limits(row: RowMapping, owned: list[Budget]) -> Limits:
    return Limits(row["requests_per_minute"], row["tokens_per_minute"], row["concurrency"], tuple(owned))
