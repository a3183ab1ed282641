"""A policy's cases: asks with the answer that the policy must have for them, run without any model or network.

The models that the cases are decided with stand in the file, so that a case means the same everywhere.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Annotated, Any, Final, Literal, TypeAlias

from pydantic import BeforeValidator, Field, ValidationError, model_validator

from gateway import yaml_text
from gateway.domain.arm import Strategy
from gateway.domain.capabilities import Capability, Control
from gateway.domain.model import Model
from gateway.domain.plan import Plan
from gateway.domain.pricing import FREE, per_mtok
from gateway.errors import ConfigurationError, PonderError
from gateway.policy.decide import decide
from gateway.policy.facts import Defaults
from gateway.policy.forms import Strict
from gateway.policy.reading import Policy
from gateway.policy.ready import ReadyPolicy, compile_policy
from gateway.policy.replay import FactsDocument, recalled

_Rate: TypeAlias = Annotated[Decimal, Field(ge=0)]

CASE_DEFAULTS: Final = Defaults(deadline_s=600.0, default_output_tokens=4096, may_serve_unpriced=False)
"""The operator's settings that cases are decided with: those of a ponder.yaml that says nothing."""


class CaseModel(Strict):
    """A model as cases have it; without prices it is free."""

    input_per_mtok: _Rate = Decimal(0)
    output_per_mtok: _Rate = Decimal(0)
    upstream: str = "upstream"
    context_tokens: Annotated[int, Field(ge=1)] | None = None
    max_output_tokens: Annotated[int, Field(ge=1)] | None = None
    tools: bool | None = None
    images: bool | None = None

    def model(self, name: str) -> Model:
        """The model itself."""
        is_free = not (self.input_per_mtok or self.output_per_mtok)
        price = per_mtok(input_per_mtok=self.input_per_mtok, output_per_mtok=self.output_per_mtok)
        capability = Capability("case", Control.PLAIN, takes_tools=self.tools, takes_images=self.images)
        return Model(
            name=name,
            upstream=self.upstream,
            upstream_name=name,
            price=FREE if is_free else price,
            context_tokens=self.context_tokens,
            max_output_tokens=self.max_output_tokens,
            capability=capability,
        )


class Expected(Strict):
    """What must come out; what is left out may be anything. ``refused`` is the code of an error."""

    arm: str | None = None
    model: str | None = None
    rule: str | None = None
    fallbacks: tuple[str, ...] | None = None
    output_tokens: int | None = None
    refused: str | None = None

    @model_validator(mode="after")
    def _expects_something(self) -> Expected:
        if not self.model_fields_set:
            raise ValueError("expect names at least one of arm, model, rule, fallbacks, output_tokens and refused")
        return self


class Case(Strict):
    """One ask and what must come out."""

    name: str = Field(min_length=1)
    facts: FactsDocument = FactsDocument()
    expect: Expected


def _models(value: Any) -> Any:
    return {name: {} if each is None else each for name, each in value.items()} if isinstance(value, dict) else value


class CasesDocument(Strict):
    """The whole of ``cases.yaml``."""

    models: Annotated[dict[str, CaseModel], BeforeValidator(_models)]
    strategies: tuple[Strategy, ...] | Literal["all"] = "all"
    vllm: tuple[str, ...] | Literal["all"] = "all"
    """The upstreams that continue an answer by its tokens."""
    cases: tuple[Case, ...] = ()


@dataclass(frozen=True, slots=True)
class CaseResult:
    """How a case went: what was expected, by name, and what came instead where it differs."""

    name: str
    differences: tuple[str, ...]

    @property
    def has_passed(self) -> bool:
        """Whether all came out as expected."""
        return not self.differences


def read_cases(name: str, text: str) -> CasesDocument:
    """The cases of the policy ``name``. Raises ConfigurationError with every fault and its line."""
    file = f"{name}/cases.yaml"
    data, root = yaml_text.parse(file, text)
    if not isinstance(data, dict):
        raise ConfigurationError(f"{file} must hold a mapping with the keys models and cases")
    try:
        return CasesDocument.model_validate(data)
    except ValidationError as fault:
        raise ConfigurationError(yaml_text.faults(file, root, CasesDocument, fault)) from fault


def prepared(policy: Policy, cases: CasesDocument) -> ReadyPolicy:
    """The policy as its cases have it: with their models."""
    models = {name: each.model(name) for name, each in cases.models.items()}
    runnable = frozenset(Strategy) if cases.strategies == "all" else frozenset(cases.strategies)
    every = frozenset(each.upstream for each in cases.models.values())
    upstreams = every if cases.vllm == "all" else frozenset(cases.vllm)
    return compile_policy(policy, models, replace(CASE_DEFAULTS, vllm_upstreams=upstreams), runnable)


def run_cases(policy: Policy, cases: CasesDocument) -> tuple[CaseResult, ...]:
    """Decide every case, and compare."""
    ready = prepared(policy, cases)
    return tuple(CaseResult(case.name, tuple(_differences(ready, case))) for case in cases.cases)


def _differences(ready: ReadyPolicy, case: Case) -> list[str]:
    found = _outcome(ready, case)
    wanted = case.expect.model_dump(exclude_unset=True)
    return [
        f"{name} is {found.get(name)!r} and not {value!r}" for name, value in wanted.items() if found.get(name) != value
    ]


def _outcome(ready: ReadyPolicy, case: Case) -> dict[str, Any]:
    ask = recalled(case.facts)
    try:
        plan = decide(ready, ask.facts, None, ask.snapshots, ask.u)
    except PonderError as error:
        return {"refused": error.code}
    return _of_plan(plan)


def _of_plan(plan: Plan) -> dict[str, Any]:
    return {
        "arm": plan.arm.name,
        "model": plan.arm.model,
        "rule": plan.rule,
        "fallbacks": tuple(arm.name for arm in plan.fallbacks),
        "output_tokens": plan.ceilings.output_tokens,
    }
