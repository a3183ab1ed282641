"""What the admin API takes and answers. Unknown fields are refused, so that a misspelt limit is never no limit."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Generic, TypeVar

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, SecretStr, StringConstraints, field_validator

from gateway.domain.key import Names, Priority, Role, Scope
from gateway.domain.limits import Budget, Limits, Period
from gateway.domain.money import usd

Item = TypeVar("Item")

_MOST = 2**53 - 1
"""The largest whole number that every JSON reader keeps exact."""

Name = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$"),
    Field(description="Letters, digits, and . _ @ - from the second character on.", examples=["search-team"]),
]
Pattern = Annotated[str, StringConstraints(pattern=r"^[!-~]{1,200}$")]
Patterns = Annotated[
    tuple[Pattern, ...] | None,
    Field(
        max_length=256,
        description="Names that may be asked for; * stands for any characters. null allows all, [] none.",
        examples=[["claude-*", "gpt-5.4"]],
    ),
]
PolicyName = Annotated[
    str | None,
    Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$",
        description="Decides for `model: auto`. null leaves it to the team's, or to the one that ponder.yaml names.",
    ),
]
Rate = Annotated[int | None, Field(strict=True, ge=1, le=_MOST, description="null does not limit.")]
_SENDABLE = re.compile(r"[!-~]+")
_RESERVED = ("default", "admin", "boot")


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    def given(self, *names: str) -> dict[str, Any]:
        """Those of the fields that the caller sent."""
        return {name: getattr(self, name) for name in names if name in self.model_fields_set}


class LimitsBody(_Strict):
    """Rates, and requests at once. A field left out stays as it is."""

    requests_per_minute: Rate = None
    tokens_per_minute: Rate = None
    concurrency: Rate = None


class BudgetBody(_Strict):
    """At most this much per period; from ``soft_share`` of it on, answers carry a warning."""

    amount_usd: Decimal = Field(ge=0, le=10**9, max_digits=19, decimal_places=9, examples=["25.00"])
    soft_share: Decimal | None = Field(default=None, gt=0, le=1, max_digits=5, decimal_places=4, examples=["0.8"])

    def budget(self, period: Period) -> Budget:
        """The budget that this asks for."""
        return Budget(usd(self.amount_usd), period, self.soft_share)


class PeriodBudget(BudgetBody):
    """A budget together with its period."""

    period: Period


class _NewTenant(_Strict):
    name: Name
    models: Patterns = None
    arms: Patterns = None
    policies: Patterns = None
    policy: PolicyName = None
    limits: LimitsBody = LimitsBody()
    budgets: tuple[PeriodBudget, ...] = Field(default=(), max_length=len(Period))

    @field_validator("name")
    @classmethod
    def _is_free(cls, name: str) -> str:
        return _check_reserved(name)

    @field_validator("budgets")
    @classmethod
    def _have_different_periods(cls, budgets: tuple[PeriodBudget, ...]) -> tuple[PeriodBudget, ...]:
        if len({budget.period for budget in budgets}) != len(budgets):
            raise ValueError("takes one budget per period")
        return budgets

    def scope(self) -> Scope:
        """What this allows."""
        return amended_scope(Scope(), self)

    def all_limits(self) -> Limits:
        """Limits and budgets in one."""
        return Limits(**self.limits.model_dump(), budgets=tuple(each.budget(each.period) for each in self.budgets))


class NewTeam(_NewTenant):
    """A team to be made."""


class NewKey(_NewTenant):
    """A key to be issued. ``team`` is an id or a name, and stays for life."""

    team: Name | None = None
    role: Role | None = Field(default=None, description="What it may do under /admin; null for callers of models.")
    priority: Priority = Priority.INTERACTIVE
    may_override: bool = Field(
        default=False, description="Whether hints may loosen limits, and stored things of unknown owners be named."
    )
    expires_at: AwareDatetime | None = None


class _Amendment(_Strict):
    name: Name | None = None
    models: Patterns = None
    arms: Patterns = None
    policies: Patterns = None
    policy: PolicyName = None
    limits: LimitsBody | None = None

    @field_validator("name")
    @classmethod
    def _is_a_name(cls, name: str | None) -> str:
        if name is None:
            raise ValueError("must be a name, or left out")
        return _check_reserved(name)


class TeamAmendment(_Amendment):
    """What is to change of a team. A field left out stays as it is."""


class KeyAmendment(_Amendment):
    """What is to change of a key. A field left out stays as it is."""

    role: Role | None = None
    priority: Priority = Priority.INTERACTIVE
    may_override: bool = False
    expires_at: AwareDatetime | None = None


class Rotation(_Strict):
    """How a key changes its secret."""

    grace_s: int = Field(
        default=0, strict=True, ge=0, le=30 * 86_400, description="How long the secrets before it work on."
    )


class ProviderSecret(_Strict):
    """A provider's key, to be stored."""

    key: SecretStr = Field(
        min_length=1,
        max_length=4096,
        description="Printable ASCII without spaces.",
        json_schema_extra={"pattern": f"^{_SENDABLE.pattern}$"},
    )

    @field_validator("key")
    @classmethod
    def _can_be_sent(cls, key: SecretStr) -> SecretStr:
        if not _SENDABLE.fullmatch(key.get_secret_value()):
            raise ValueError("must be printable ASCII without spaces, as it is sent in a header")
        return key


class LimitsAnswer(BaseModel):
    """Limits as they are."""

    requests_per_minute: int | None
    tokens_per_minute: int | None
    concurrency: int | None


class BudgetAnswer(BaseModel):
    """A budget as it is; amounts are decimal text, so that none is rounded."""

    period: Period
    amount_usd: str
    soft_share: str | None


class TeamAnswer(BaseModel):
    """A team as it is."""

    id: str
    name: str
    policy: str | None
    models: list[str] | None
    arms: list[str] | None
    policies: list[str] | None
    limits: LimitsAnswer
    budgets: list[BudgetAnswer]
    created_at: datetime
    deleted_at: datetime | None


class SecretAnswer(BaseModel):
    """What may be known of a secret."""

    hint: str
    created_at: datetime
    expires_at: datetime | None


class KeyAnswer(BaseModel):
    """A key as it is."""

    id: str
    name: str
    team_id: str | None
    role: Role | None
    priority: Priority
    may_override: bool
    policy: str | None
    models: list[str] | None
    arms: list[str] | None
    policies: list[str] | None
    limits: LimitsAnswer
    budgets: list[BudgetAnswer]
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    secrets: list[SecretAnswer]


class IssuedAnswer(BaseModel):
    """A key with its new secret, which is told this once and never again."""

    key: KeyAnswer
    secret: str


class ProviderKeyAnswer(BaseModel):
    """What may be known of a stored provider key. ``version`` is the number of the change that set it."""

    upstream: str
    version: int
    fingerprint: str
    hint: str
    set_at: datetime


class Page(BaseModel, Generic[Item]):
    """Some of a list. ``next`` goes into the query as ``after`` (``before`` in the audit log); null at the end."""

    data: list[Item]
    next: str | None


def amended_scope(scope: Scope, body: _NewTenant | _Amendment) -> Scope:
    """The scope with what the body says."""
    said = {
        name: None if patterns is None else Names(patterns)
        for name, patterns in body.given("models", "arms", "policies").items()
    }
    return Scope(**{"models": scope.models, "arms": scope.arms, "policies": scope.policies, **said})


def amended_limits(limits: Limits, body: LimitsBody | None) -> Limits:
    """The limits with what the body says; budgets stay."""
    return limits if body is None else replace(limits, **body.model_dump(exclude_unset=True))


def _check_reserved(name: str) -> str:
    if name in _RESERVED or name.startswith(("key_", "team_", "sk-")):
        raise ValueError(
            f"must be none of {', '.join(_RESERVED)}, and not begin with key_ or team_, as ids do, "
            "or with sk-, as secrets do"
        )
    return name
