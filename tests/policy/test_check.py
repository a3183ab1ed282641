"""What a check of a policy finds, each time with the line and a remedy; and what it leaves alone."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.domain.model import Model
from gateway.policy.cases import read_cases
from gateway.policy.check import Finding, Severity, check, idle_rules
from gateway.policy.conditions import Conditions
from gateway.policy.overlap import covers
from gateway.policy.reading import Policy
from tests.policy.world import HAIKU, MODELS, TEXT, policy_of, ready, simple

CASES = read_cases(
    "work",
    """\
models:
  haiku: {input_per_mtok: 1, output_per_mtok: 5}
  sonnet: {input_per_mtok: 3, output_per_mtok: 15}
  local: {input_per_mtok: 0.1, output_per_mtok: 0.2}
cases:
  - {name: hurry, facts: {category: math, deadline_s: 1}, expect: {arm: fast}}
  - {name: talk, facts: {category: chat}, expect: {arm: fast}}
  - {name: sums, facts: {category: math}, expect: {arm: think-hard}}
""",
)


def _found(policy: Policy, models: dict[str, Model] | None = None, **changes: Any) -> list[Finding]:
    offered = dict(MODELS) if models is None else models
    return list(check(policy, ready(policy, offered), offered, changes.get("cases", CASES)))


def _line(text: str, beginning: str) -> int:
    return next(number for number, line in enumerate(text.splitlines(), 1) if line.strip().startswith(beginning))


def test_a_sound_policy_has_one_finding_for_its_unused_arm() -> None:
    """The cascade that nothing names is told, at its line; all else is in order."""
    (finding,) = _found(policy_of())
    assert (finding.severity, finding.line) == (Severity.WARNING, _line(TEXT, "step-up"))
    assert (finding.place, finding.message) == ("arms.step-up", "is named by no rule, default, fallback or cascade")
    assert finding.remedy


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("model: haiku", "model: gone", "drops out: model gone is not configured"),
        ("reference: think-hard", "reference: vast", "vast cannot be used; think-hard, the dearest that can, is the"),
        ("{category: [math, code]}", "{category: chat}", "rule 'checkable' is never reached: 'talk' takes all"),
        ("{category: [math, code]}", "{category: logic}", "rule 'checkable' changes the answer of no case"),
        ("max_cost_usd: 0.25", "max_cost_usd: 0.001", "never fits under max_cost_usd: its shortest answers may cost"),
    ],
)
def test_what_is_not_as_it_seems_is_told(old: str, new: str, message: str) -> None:
    """Each finding of a changed policy, beside the one that it has anyway."""
    text = TEXT.replace("  fast:", "  vast: {model: vast}\n  fast:", 1).replace(old, new)
    assert any(message in finding.message for finding in _found(policy_of(text)))


def test_an_arm_that_is_dearer_than_a_later_one_is_dominated() -> None:
    """Arms stand cheapest first; equal prices are no finding, as thinking costs tokens and not rates."""
    text = TEXT.replace("model: haiku", "model: sonnet").replace(
        "think-hard: {model: sonnet", "think-hard: {model: haiku"
    )
    dominated = [finding for finding in _found(policy_of(text)) if "dominated" in finding.message]
    assert [finding.place for finding in dominated] == ["arms.fast", "arms.think"]
    assert dominated[0].message == (
        "is dominated in price: think-hard, which stands after it, costs less "
        "($0.006 against $0.018 for 1,000 tokens in and out)"
    )


def test_a_search_never_fits_only_where_not_even_one_draw_does() -> None:
    """256 tokens of the local model cost $0.0000512, and four times that with all of its draws."""
    fits, too_dear = (policy_of(TEXT.replace("0.25", ceiling)) for ceiling in ("0.0000512", "0.0000511"))
    never = "arms.vote", "never fits under max_cost_usd: its shortest answers may cost $0.0000512"
    assert never not in {(finding.place, finding.message) for finding in _found(fits)}
    assert never in {(finding.place, finding.message) for finding in _found(too_dear)}


def test_a_search_among_fallbacks_is_told() -> None:
    """In the policy's own and in a rule's: nobody falls back to one."""
    fallbacks = TEXT.replace("fallbacks: [think, fast]", "fallbacks: [think, vote]").replace(
        "    arm: fast\n  - name: talk", "    arm: fast\n    fallbacks: [step-up]\n  - name: talk"
    )
    told = [finding for finding in _found(policy_of(fallbacks)) if "is a search" in finding.message]
    assert [finding.place for finding in told] == ["defaults.fallbacks.1", "rules.0.fallbacks.0"]
    assert told[0].message.startswith("vote is a search, which is not asked once a call has failed")


def test_a_policy_that_can_answer_nothing_is_an_error() -> None:
    """Not only a warning: every request would be refused."""
    errors = [each for each in _found(policy_of(), {}) if each.severity is Severity.ERROR]
    assert [error.message for error in errors] == ["no arm can be used, so every request is refused"]
    assert not [each for each in _found(policy_of(), {"haiku": HAIKU}) if each.severity is Severity.ERROR]


def test_a_policy_with_rules_and_no_cases_is_told_so() -> None:
    """Rules are code; a policy of defaults alone needs none."""
    assert any("has no cases" in finding.message for finding in _found(policy_of(), cases=None))
    assert not any("has no cases" in finding.message for finding in _found(simple(), cases=None))


def test_gain_needs_arms_that_are_like_an_anchor() -> None:
    """Nothing is predicted of an arm that is like nobody."""
    rules = "[{name: g, gain: {among: [fast, step-up], loss_at_most: 0.1}}]"
    assert any("nothing is predicted of step-up" in finding.message for finding in _found(simple(rules)))
    until = policy_of(
        TEXT.replace("until_certified: think-hard", "until_certified: gain").replace(", like: weak", "", 1)
    )
    assert any("nothing is predicted of fast" in finding.message for finding in _found(until))


def test_a_judge_that_is_not_configured_is_told() -> None:
    """The learned classifier alone would decide."""
    judge = "{chain: [learned, llm], llm: {model: gone, deadline_s: 1, max_cost_usd: 0.001}}"
    assert any("none of gone is configured" in each.message for each in _found(simple(classify=judge)))
    either = simple(classify=judge.replace("gone", "[gone, haiku]"))
    assert not any("learned" in each.message for each in _found(either))


def test_only_the_rules_that_change_no_answer_are_idle() -> None:
    """Each is left out by itself: its neighbours' cases say nothing of it."""
    rules = "{name: %s, when: {category: %s}, arm: %s}"
    three = [rules % each for each in (("a", "chat", "fast"), ("b", "logic", "fast"), ("c", "math", "think-hard"))]
    cases = CASES.model_copy(update={"cases": CASES.cases[1:]})
    assert idle_rules(simple(f"[{', '.join(three)}]"), cases) == (1,)


@pytest.mark.parametrize(
    ("earlier", "later", "is_covered"),
    [
        ({}, {"category": "math"}, True),
        ({"category": "math"}, {}, False),
        ({"category": ["math", "code"]}, {"category": "code/python", "tools": True}, True),
        ({"category": "code/python"}, {"category": "code"}, False),
        ({"category": "math"}, {"category": ["math", "code"]}, False),
        ({"tokens": {"at_least": 10}}, {"tokens": {"at_least": 20, "below": 30}}, True),
        ({"tokens": {"below": 30}}, {"tokens": {"below": 31}}, False),
        ({"turns": [1, 2]}, {"turns": 2}, True),
        ({"turns": {"below": 3}}, {"turns": [1, 2]}, True),
        ({"turns": [1, 2]}, {"turns": {"below": 3}}, False),
        ({"hour": {"at_least": 22, "below": 6}}, {"hour": {"at_least": 23, "below": 24}}, False),
        ({"hour": {"at_least": 22, "below": 6}}, {"hour": {"at_least": 22, "below": 6}}, True),
        ({"tools": True}, {"tools": False}, False),
        ({"key": "batch-*"}, {"key": ["batch-1", "batch-2"]}, True),
        ({"key": "batch-1"}, {"key": "batch-*"}, False),
        ({"tag": {"app": ["a", "b"]}}, {"tag": {"app": "a", "tier": "gold"}}, True),
        ({"tag": {"app": "a", "tier": "gold"}}, {"tag": {"app": "a"}}, False),
        ({"difficulty": ["easy", "hard"]}, {"difficulty": "easy"}, True),
        ({"difficulty": "easy"}, {"difficulty": "easy"}, True),
        ({"difficulty": "easy"}, {"difficulty": ["easy", "hard"]}, False),
        ({"key": "batch-1"}, {"key": ["batch-1", "batch-2"]}, False),
        ({"turns": {"below": 2}}, {"turns": [1, 2]}, False),
        ({"tokens": {"at_least": 10}}, {"tokens": {"at_least": 10}}, True),
        ({"tokens": {"below": 10}}, {"tokens": {"below": 10}}, True),
        ({"tokens": {"at_least": 10}}, {"tokens": {"at_least": 9, "below": 20}}, False),
        ({"tag": {"app": "a"}}, {"tag": {"app": "a"}}, True),
        ({"category": "math"}, {"category": "math", "confidence": {"below": 0.5}}, False),
        ({"tools": True}, {"tools": True, "confidence": {"below": 0.5}}, True),
    ],
)
def test_a_rule_is_unreachable_only_when_every_ask_of_it_is_taken(
    earlier: dict[str, Any], later: dict[str, Any], is_covered: bool
) -> None:
    """Narrower conditions are covered by wider ones, never the other way round."""
    assert covers(Conditions.model_validate(earlier), Conditions.model_validate(later)) is is_covered


VERIFIED = "calibrate: {every: 1d, spend_at_most_usd: 5, verify: {share: 0.05, by: judge, spend_at_most_usd: 1}}\n"


@pytest.mark.parametrize(
    ("stored", "keeps_text", "verifiers", "told"),
    [
        ("store_text: true\n", False, {"judge"}, []),
        ("", True, {"judge"}, []),
        ("", False, {"judge"}, ["no text of answers is kept, so there is nothing to verify"]),
        ("store_text: true\n", False, {"prm"}, ["there is no verifier 'judge', so nothing is verified"]),
    ],
)
def test_verification_needs_its_verifier_and_texts(
    stored: str, keeps_text: bool, verifiers: set[str], told: list[str]
) -> None:
    """A policy that is to be verified, and cannot be, is told why, at the line that says so."""
    policy = policy_of(TEXT + VERIFIED + stored)
    found = check(policy, ready(policy, MODELS), MODELS, CASES, verifiers=verifiers, keeps_text=keeps_text)
    lines = {_line(policy.text, "calibrate:")}
    assert [each.message for each in found if each.line in lines] == told
