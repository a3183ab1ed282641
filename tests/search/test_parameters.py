"""Reading the parameters of strategies, and their agreement with what policies know of them."""

from __future__ import annotations

import re
from dataclasses import Field, fields, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.arm import Arm, Strategy
from gateway.domain.search_sizes import NEEDS_VERIFIER, SIZES
from gateway.errors import ConfigurationError
from gateway.policy.document import ArmDocument
from gateway.policy.strategies import PARAMETERS, calls_at_most
from gateway.search import STRATEGIES, begin, configure, entry
from gateway.search.vote import Vote
from tests.search.contract import TASK


@pytest.mark.parametrize(
    ("name", "given", "message"),
    [
        ("votes", {}, "there is no strategy 'votes'; did you mean 'vote'?"),
        ("vote", {"sample": 3}, "strategy vote has no parameter 'sample'; did you mean 'samples'?"),
        ("greedy", {"zzz": 3}, "strategy greedy has no parameter 'zzz'; valid are none"),
        ("vote", {"samples": 0}, "strategy vote: samples is a whole number from 1 to 4096, or auto"),
        ("vote", {"samples": True}, "samples is a whole number"),
        ("vote", {"confidence": 1.5}, "confidence is a number from 0 to 1"),
        ("vote", {"schedule": "later"}, "schedule is one of sequential, staged, concurrent"),
        ("vote", {"weighted": 1}, "weighted is true or false"),
        ("beam", {"beams": "auto"}, "beams is a whole number from 1 to 4096"),
        ("vote", {"role": "draft"}, "no parameter 'role'"),
    ],
)
def test_what_is_wrong_is_named_with_what_would_be_right(name: str, given: dict[str, Any], message: str) -> None:
    """Unknown names come with the nearest, values with their range."""
    with pytest.raises(ConfigurationError) as refused:
        configure(name, given)
    assert message in refused.value.message


def test_auto_is_a_number_of_samples() -> None:
    """``samples: auto`` is as good as leaving it out."""
    assert configure("vote", {"samples": "auto"}) == configure("vote", {}) == Vote()


def _fields(strategy: Strategy) -> dict[str, Field[Any]]:
    """The parameters that a strategy declares."""
    config: Any = entry(strategy).config
    return {field.name: field for field in fields(config) if "kind" in field.metadata}


@pytest.mark.parametrize("strategy", PARAMETERS)
def test_an_arm_may_write_every_parameter_that_there_is(strategy: Strategy) -> None:
    """And no other; the strategies that need a verifier are the same."""
    assert PARAMETERS[strategy] == _fields(strategy).keys()
    assert entry(strategy).needs_verifier == (strategy in NEEDS_VERIFIER)


@pytest.mark.parametrize("strategy", PARAMETERS)
def test_an_arm_may_write_the_values_that_a_search_takes(strategy: Strategy) -> None:
    """Ranges and words are the same; ``schedule: auto`` is for whoever runs the search."""
    properties = ArmDocument.model_json_schema()["properties"]
    for name, field in _fields(strategy).items():
        written = [each for each in properties[name]["anyOf"] if each != {"type": "null"}]
        kind = field.metadata["kind"]
        if issubclass(kind, StrEnum):
            assert set(written[0]["enum"]) - {"auto"} == set(kind)
        elif kind is bool:
            assert written == [{"type": "boolean"}]
        else:
            least, most = field.metadata["range"]
            sort = "integer" if kind is int else "number"
            assert written[0] == {"type": sort, "minimum": least, "maximum": most}
            assert (written[1:] == [{"const": "auto", "type": "string"}]) == bool(field.metadata.get("auto"))


def _values(field: Field[Any]) -> st.SearchStrategy[Any]:
    """Any value that a search takes for a parameter, as an arm writes it."""
    kind = field.metadata["kind"]
    if issubclass(kind, StrEnum):
        return st.sampled_from([each.value for each in kind])
    if kind is bool:
        return st.booleans()
    least, most = field.metadata["range"]
    numbers = st.integers(least, most) if kind is int else st.floats(least, most)
    return st.just("auto") | numbers if field.metadata.get("auto") else numbers


@pytest.mark.parametrize("strategy", PARAMETERS)
@given(st.data())
def test_a_policy_counts_the_calls_as_the_search_does(strategy: Strategy, data: st.DataObject) -> None:
    """Whatever an arm writes, its search is told the same, and takes as many calls at most."""
    optional = {name: _values(field) for name, field in _fields(strategy).items()}
    written = data.draw(st.fixed_dictionaries({}, optional=optional))
    if strategy is Strategy.DVTS:
        written["groups"] = min(written.get("groups", 4), written.get("beams", 16))
    beside = {"verifier": "judge"} | ({"draft": "tiny"} if strategy is Strategy.DRAFT else {})
    arm = ArmDocument.model_validate({"model": "local", "strategy": strategy.value, **beside, **written})
    assert arm.parameters == written
    ready = Arm("search", model="local", strategy=strategy, parameters=arm.parameters)
    assert configure(strategy, arm.parameters).calls_at_most == calls_at_most(ready)


def test_sizes_are_the_defaults() -> None:
    """The sizes that policies may read are those that searches run with."""
    for strategy, sizes in SIZES.items():
        config = configure(strategy, {})
        assert {name: getattr(config, name) for name in sizes} == dict(sizes)
    assert set(SIZES) == {Strategy(name) for name in STRATEGIES}


def test_every_strategy_and_parameter_is_documented() -> None:
    """The page on strategies lists exactly those that there are, and their parameters."""
    page = (Path(__file__).parents[2] / "docs" / "search-strategies.md").read_text("utf-8")
    strategies, parameters, _ = page.split("\n## ", 2)
    documented = re.findall(r"^\| `(\w+)` \|", strategies, re.MULTILINE)
    assert documented == list(STRATEGIES)
    named = {
        name for row in re.findall(r"^\| (`[^|]+) \|", parameters, re.MULTILINE) for name in re.findall(r"\w+", row)
    }
    taken = {
        field.name
        for each in STRATEGIES.values()
        for field in fields(each.config)  # type: ignore[arg-type]
        if "kind" in field.metadata
    }
    assert named == taken


def test_a_strategy_that_needs_a_verifier_does_not_begin_without() -> None:
    """It is refused before the first draw."""
    with pytest.raises(ConfigurationError, match="strategy mcts needs a verifier"):
        begin("mcts", replace(TASK, verifier=None), configure("mcts", {}))
