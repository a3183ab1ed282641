"""The policies that are shipped: valid, tested by their cases, and of use whatever is configured."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from gateway.domain.arm import Strategy
from gateway.domain.model import Model
from gateway.domain.pricing import FREE
from gateway.policy.cases import CASE_DEFAULTS, CasesDocument, prepared, read_cases, run_cases
from gateway.policy.check import check
from gateway.policy.reading import Policy, read_policy
from gateway.policy.ready import compile_policy
from gateway.policy.schema import json_schema
from tests.policy.world import ask, plan, predicted

FOLDER = Path(__file__).parents[2] / "policies"
NAMES = ("careful", "default", "thrift")


def _policy(name: str) -> Policy:
    return read_policy(name, (FOLDER / name / "policy.yaml").read_text("utf-8"))


def _cases(name: str) -> CasesDocument:
    return read_cases(name, (FOLDER / name / "cases.yaml").read_text("utf-8"))


RULES = [(name, index) for name in NAMES for index in range(len(_policy(name).document.rules))]


def test_nothing_else_is_shipped() -> None:
    """Every folder of policies is tested here."""
    assert sorted(file.parent.name for file in FOLDER.glob("*/policy.yaml")) == list(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_every_case_comes_out_as_expected(name: str) -> None:
    """The policy answers its own cases."""
    assert [result for result in run_cases(_policy(name), _cases(name)) if not result.has_passed] == []


@pytest.mark.parametrize(("name", "index"), RULES)
def test_every_rule_has_a_case_that_fails_without_it(name: str, index: int) -> None:
    """A rule that could be taken out unnoticed is not tested."""
    policy = _policy(name)
    rules = policy.document.rules
    mutant = replace(policy, document=policy.document.model_copy(update={"rules": rules[:index] + rules[index + 1 :]}))
    assert not all(result.has_passed for result in run_cases(mutant, _cases(name)))


def _narrower(when: Any) -> list[dict[str, Any]]:
    """The conditions of a rule, each time without one of them."""
    said = when.model_dump(by_alias=True, exclude_defaults=True)
    return [{name: value for name, value in said.items() if name != left_out} for left_out in said]


@pytest.mark.parametrize(("name", "index"), RULES)
def test_every_condition_of_a_rule_is_tested(name: str, index: int) -> None:
    """Without any one of its conditions a rule takes asks that some case says it does not."""
    policy = _policy(name)
    rules = policy.document.rules
    for fewer in _narrower(rules[index].when):
        rule = rules[index].model_copy(update={"when": type(rules[index].when).model_validate(fewer)})
        changed = policy.document.model_copy(update={"rules": (*rules[:index], rule, *rules[index + 1 :])})
        assert not all(result.has_passed for result in run_cases(replace(policy, document=changed), _cases(name))), (
            fewer
        )


@pytest.mark.parametrize("runnable", [{Strategy.GREEDY}, set(Strategy)], ids=["greedy", "all"])
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("category", ["math", "chat", "extraction", "other"])
def test_it_works_with_the_embedded_model_alone(name: str, category: str, runnable: set[Strategy]) -> None:
    """On a machine without any key the local model answers everything in one draw, and stands in as the reference."""
    local = Model("local", "embedded", "local", FREE)
    ready = compile_policy(_policy(name), {"local": local}, CASE_DEFAULTS, runnable, {})
    decided = plan(ready, ask(predicted(category)))
    assert (decided.arm.name, decided.arm.model, ready.reference) == ("fast", "local", "fast")


@pytest.mark.parametrize("runnable", [{Strategy.GREEDY}, set(Strategy)], ids=["greedy", "all"])
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("models", [("claude-haiku-5-5", "claude-sonnet-5-5"), ("gpt-6-luna", "gpt-6-sol")])
def test_it_works_with_one_providers_key(name: str, models: tuple[str, str], runnable: set[Strategy]) -> None:
    """The names that a key in the environment brings are among those of the arms."""
    offered = {each: Model(each, "hosted", each, FREE) for each in models}
    ready = compile_policy(_policy(name), offered, CASE_DEFAULTS, runnable, {})
    assert plan(ready, ask(predicted("math"))).arm.model == models[1]
    assert ready.arms["fast"].arm.model == models[0]


@pytest.mark.parametrize("name", NAMES)
def test_its_check_finds_nothing_to_mend(name: str) -> None:
    """With all of its models and strategies there, there is no finding at all."""
    cases = _cases(name)
    models = {each: made.model(each) for each, made in cases.models.items()}
    assert check(_policy(name), prepared(_policy(name), cases), models, cases) == ()


def test_the_schema_for_editors_is_fresh() -> None:
    """`ponder policy schema > policies/policy.schema.json` writes it anew."""
    assert (FOLDER / "policy.schema.json").read_text("utf-8") == json_schema()


@pytest.mark.parametrize("name", NAMES)
def test_the_schema_takes_what_is_shipped(name: str) -> None:
    """An editor shows no fault in a valid policy."""
    jsonschema.validate(yaml.safe_load(_policy(name).text), json.loads(json_schema()))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("mode",), "watch"),
        (("arms", "fast", "effort"), "higher"),
        (("arms", "fast", "efort"), "high"),
        (("rules", 0, "when"), {"deadline_s": {"belo": 2}}),
        (("rules", 1, "when"), {"category": "chatting"}),
        (("calibrate", "every"), "daily"),
        (("calibrate", "explore"), 0.5),
    ],
)
def test_the_schema_refuses_what_is_not_valid(path: tuple[str | int, ...], value: Any) -> None:
    """An editor marks it while it is written."""
    document = yaml.safe_load(_policy("default").text)
    inner = document
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = value
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(document, json.loads(json_schema()))
