"""Cases: what they say, how they go, and how faults in them are told."""

from __future__ import annotations

import pytest

from gateway.errors import ConfigurationError
from gateway.policy.cases import read_cases, run_cases
from tests.policy.world import policy_of, simple

MODELS = """\
models:
  haiku: {input_per_mtok: 1, output_per_mtok: 5, max_output_tokens: 8000, images: false}
  sonnet: {input_per_mtok: 3, output_per_mtok: 15, max_output_tokens: 64000, upstream: far}
  local:
"""


def _results(facts: str, expect: str, strategies: str = "all") -> tuple[str, ...]:
    text = f"{MODELS}strategies: {strategies}\ncases:\n  - {{name: c, facts: {facts}, expect: {expect}}}\n"
    (result,) = run_cases(policy_of(), read_cases("work", text))
    assert result.has_passed is (not result.differences)
    return result.differences


@pytest.mark.parametrize(
    ("facts", "expect"),
    [
        ("{category: chat}", "{arm: fast, model: haiku, rule: talk, fallbacks: [think, think-hard]}"),
        ("{category: math, deadline_s: 1}", "{rule: hurried}"),
        ("{category: chat, images: true}", "{arm: think}"),
        ("{category: math, unhealthy: [far]}", "{arm: fast, fallbacks: []}"),
        ("{category: math, latency_p95_s: {think-hard: 61}}", "{arm: think}"),
        ("{category: chat, max_cost_usd: 0.0001}", "{refused: budget_exhausted}"),
        ("{category: extraction, tokens: 100}", "{rule: null, output_tokens: 16586}"),
        ("{category: math, sticky_arm: vote}", "{arm: vote}"),
    ],
)
def test_a_case_that_comes_out_as_expected_has_no_differences(facts: str, expect: str) -> None:
    """Only what is expected is compared."""
    assert _results(facts, expect) == ()


def test_what_differs_is_told_with_both_values() -> None:
    """So that nobody has to run it again to see."""
    assert _results("{category: chat}", "{arm: think, rule: talk}") == ("arm is 'fast' and not 'think'",)
    assert _results("{category: chat}", "{refused: unavailable}") == ("refused is None and not 'unavailable'",)


def test_cases_say_which_strategies_can_be_run() -> None:
    """Without a list all of them can."""
    assert _results("{category: math, sticky_arm: vote}", "{arm: think-hard}", "[greedy]") == ()


@pytest.mark.parametrize(("vllm", "arm"), [("all", "tree"), ("[gpu, far]", "tree"), ("[far]", "fast"), ("[]", "fast")])
def test_cases_say_which_upstreams_continue_tokens(vllm: str, arm: str) -> None:
    """Without a list all of them do, so that a case means the same on every machine."""
    text = (
        "policy: work\narms: {fast: {model: haiku}, tree: {model: local, strategy: beam, verifier: prm}}\n"
        "defaults: {arm: tree, reference: fast, max_cost_usd: 1}\n"
    )
    case = f"{{name: c, facts: {{category: math}}, expect: {{arm: {arm}}}}}"
    cases = f"models: {{haiku: , local: {{upstream: gpu}}}}\nvllm: {vllm}\ncases: [{case}]"
    (result,) = run_cases(policy_of(text), read_cases("work", cases))
    assert result.has_passed


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- a", "work/cases.yaml must hold a mapping"),
        (f"{MODELS}case: []", "work/cases.yaml:5: case: unknown key; did you mean 'cases'?"),
        (f"{MODELS}cases: [{{name: a, facts: {{categry: math}}, expect: {{arm: a}}}}]", "did you mean 'category'?"),
        (f"{MODELS}cases: [{{name: a, expect: {{}}}}]", "expect names at least one of"),
        (f"{MODELS}strategies: [guess]", "strategies"),
    ],
)
def test_a_fault_in_cases_is_told_with_its_line(text: str, message: str) -> None:
    """As in the policy itself."""
    with pytest.raises(ConfigurationError) as caught:
        read_cases("work", text)
    assert message in caught.value.message


def test_a_policy_without_rules_runs_its_cases() -> None:
    """Defaults are tested as rules are."""
    cases = read_cases("work", f"{MODELS}cases: [{{name: a, expect: {{arm: think}}}}]")
    assert [result.has_passed for result in run_cases(simple(), cases)] == [True]
