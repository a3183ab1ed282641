"""Reading policies: every fault is told with its line and its remedy, and the digest is of what is said."""

from __future__ import annotations

import pytest

from gateway.errors import ConfigurationError
from gateway.policy.reading import read_policy
from tests.policy.world import TEXT, policy_of

LINES = TEXT.splitlines()
TIERS = ("easy", "medium", "hard", "very_hard", "unknown")


def _line(beginning: str) -> int:
    return next(number for number, line in enumerate(LINES, 1) if line.strip().startswith(beginning))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("rules:", "rule:", f"work/policy.yaml:{_line('rules')}: rule: unknown key; did you mean 'rules'?"),
        ("effort: none", "efort: none", f":{_line('fast')}: arms.fast.efort: unknown key; did you mean 'effort'?"),
        ("{below: 2}", "{belo: 2}", "rules.0.when.deadline_s.belo: unknown key; did you mean 'below'?"),
        (
            "when: {category: [math",
            "when: {categry: [math",
            f":{_line('when: {category: [math')}: rules.2.when.categry",
        ),
        ("loss_at_most", "loss_atmost", "did you mean 'loss_at_most'?"),
        (
            "arm: think,",
            "arm: thnk,",
            f":{_line('defaults')}: defaults.arm: there is no arm 'thnk'; did you mean 'think'?",
        ),
        ("[vote, think]", "[vote, thin]", "arms.step-up.cascade.1: there is no arm 'thin'; did you mean 'think'?"),
        ("until_certified: think-hard", "until_certified: hard", "until_certified.easy: there is no arm 'hard'"),
        ("[think, fast]", "[think, slow]", "defaults.fallbacks.1: there is no arm 'slow'"),
        ("name: talk", "name: hurried", "2 rules are called 'hurried'"),
        (
            "policy: work",
            "policy: play",
            "work/policy.yaml:1: policy: the policy is called 'play' and its folder 'work'",
        ),
        ("cascade: [vote, think]", "cascade: [step-up, think]", "leads back to itself: step-up → step-up"),
        ("max_samples: 4", "step: {tagg: x}", "arms.vote.step.tagg: unknown key; did you mean 'tag'?"),
        ("effort: high", "effort: higher", "effort is one of none, minimal, low, medium, high, xhigh, max"),
        ("effort: high", "effort: high, thinking_tokens: 9", "either an effort or thinking_tokens"),
        (
            "strategy: vote",
            "strategy: mcts",
            "strategy mcts does not take max_samples, which belongs to vote, best_of_n; valid are",
        ),
        ("strategy: vote, max_samples: 4", "strategy: beam", "strategy beam needs a verifier"),
        ("model: haiku", "cascade: [vote, think], model: haiku", "either a model or a cascade"),
        (", escalate_below: 0.7", "", "a cascade needs escalate_below"),
        ("{deadline_s: {below: 2}}", "{deadline_s: {below: 2, at_least: 5}}", "below must be the greater"),
        ("{deadline_s: {below: 2}}", "{hour: 25}", "hours are whole numbers from 0 to 23"),
        ("[chat, creative]", "[chatting]", "a category is one of math, code"),
        ("max_cost_usd: 0.25, ", "", "defaults.max_cost_usd: Field required"),
        ("    arm: fast\n  - name: talk", "  - name: talk", "a rule has exactly one of arm, calibrated and gain"),
        ("among: [fast, vote,", "among: [fast, fast,", "an arm stands here twice"),
        ("  fast: {model", "  gain: {model", "'gain' is a word of until_certified"),
        ("rules:", "mode: watch\nrules:", "Input should be 'enforce' or 'observe'"),
        ("rules:", "difficulty: {easy: 0.5, medium: 0.6}\nrules:", "cut points descend"),
        ("rules:", "classify: {chain: [llm]}\nrules:", "llm stands both in chain and as a mapping"),
        ("rules:", "calibrate: {every: daily, spend_at_most_usd: 1}\nrules:", "a duration is a number and a unit"),
        ("rules:", "calibrate: {every: 1d, spend_at_most_usd: 1, canary: [0.5]}\nrules:", "ascend and end with 1"),
        ("rules:", "policy: work\nrules:", "the key 'policy' stands in line 1 too"),
    ],
)
def test_a_fault_is_told_with_its_place_and_remedy(old: str, new: str, message: str) -> None:
    """Whoever broke the policy is told where, and what would be valid."""
    assert old in TEXT
    with pytest.raises(ConfigurationError) as caught:
        policy_of(TEXT.replace(old, new))
    assert message in caught.value.message


@pytest.mark.parametrize(
    ("written", "seconds"), [("30m", 1_800), ("6h", 21_600), ("1d", 86_400), ("2w", 1_209_600), ("90", 90)]
)
def test_durations_have_a_unit(written: str, seconds: float) -> None:
    """Minutes, hours, days and weeks; a bare number is in seconds."""
    policy = policy_of(f"{TEXT}calibrate: {{every: {written}, spend_at_most_usd: 1}}\n")
    assert policy.document.calibrate is not None
    assert policy.document.calibrate.every == seconds


def test_all_faults_are_told_at_once() -> None:
    """Nobody has to mend a policy one error at a time."""
    with pytest.raises(ConfigurationError) as caught:
        policy_of(TEXT.replace("arm: fast", "arm: fasst").replace("[think, fast]", "[tink]"))
    assert len(caught.value.message.splitlines()) == 3


@pytest.mark.parametrize("text", ["", "- a", "fast"])
def test_what_is_no_mapping_is_refused(text: str) -> None:
    """A policy without any key, or that is no mapping, is told which keys there are."""
    with pytest.raises(ConfigurationError, match="must hold a mapping with keys such as policy"):
        read_policy("work", text)


def test_a_cascade_of_cascades_may_not_be_circular() -> None:
    """A circle through several cascades is told with its whole way."""
    text = TEXT.replace("cascade: [vote, think]", "cascade: [vote, second]").replace(
        "  step-up:", "  second: {cascade: [think, step-up], escalate_below: 0.5}\n  step-up:"
    )
    with pytest.raises(ConfigurationError, match="step-up → second → step-up"):
        policy_of(text)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("policy: work", "# a comment\npolicy: 'work'"),
        ("effort: none", "effort: none, strategy: greedy"),
        ("category: [chat, creative]", "category: ['chat', creative]"),
        ("until_certified: think-hard", f"until_certified: {{{', '.join(f'{tier}: think-hard' for tier in TIERS)}}}"),
    ],
)
def test_the_digest_is_of_what_is_said(old: str, new: str) -> None:
    """Comments, quotes and defaults written out change nothing."""
    assert policy_of(TEXT.replace(old, new)).digest == policy_of().digest


@pytest.mark.parametrize(
    ("old", "new"),
    [("effort: none", "effort: low"), ("0.03", "0.02"), ("0.25", "0.26")],
)
def test_the_digest_changes_with_what_is_said(old: str, new: str) -> None:
    """Any change that could change a decision changes the digest."""
    assert policy_of(TEXT.replace(old, new)).digest != policy_of().digest


def test_the_order_of_arms_and_rules_is_part_of_what_is_said() -> None:
    """Arms stand cheapest first and the first rule wins, so their order counts."""
    lines = TEXT.splitlines()
    fast, vote = lines.index(next(each for each in lines if "fast:" in each)), _line("vote") - 1
    lines[fast], lines[vote] = lines[vote], lines[fast]
    assert policy_of("\n".join(lines)).digest != policy_of().digest
