"""Reading the parameters of strategies, and their agreement with what policies know of them."""

from __future__ import annotations

import re
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from gateway.domain.arm import Arm, Strategy
from gateway.domain.search_sizes import NEEDS_VERIFIER, SIZES
from gateway.errors import ConfigurationError
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


@pytest.mark.parametrize("strategy", PARAMETERS)
def test_policies_know_only_parameters_that_there_are(strategy: Strategy) -> None:
    """What an arm may write the strategy takes, and the strategies that need a verifier are the same."""
    known = {field.name for field in fields(entry(strategy).config)}  # type: ignore[arg-type]
    assert PARAMETERS[strategy] <= known
    assert entry(strategy).needs_verifier == (strategy in NEEDS_VERIFIER)


@pytest.mark.parametrize(
    ("strategy", "parameters"),
    [
        *((strategy, {}) for strategy in PARAMETERS),
        (Strategy.VOTE, {"samples": 5}),
        (Strategy.BEST_OF_N, {"max_samples": 20}),
        (Strategy.BEAM, {"beams": 16, "expand": 1, "depth": 3}),
        (Strategy.BEAM, {"beams": 3, "expand": 5, "depth": 2}),
        (Strategy.DVTS, {"beams": 12, "groups": 3, "depth": 2}),
        (Strategy.MCTS, {"simulations": 20, "depth": 5}),
        (Strategy.REVISE, {"rounds": 4}),
        (Strategy.DRAFT, {"depth": 3}),
        (Strategy.DECOMPOSE, {"parts": 6}),
    ],
)
def test_a_policy_bounds_the_calls_that_a_search_makes(strategy: Strategy, parameters: dict[str, Any]) -> None:
    """By the sizes that an arm writes a search makes no more calls than the arm's cost was bounded with."""
    arm = Arm("search", model="local", strategy=strategy, parameters=parameters)
    assert configure(strategy, parameters).calls_at_most <= calls_at_most(arm)


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
