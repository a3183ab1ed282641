"""A decision as a tree of lines: everything that is recorded of it, and nothing else."""

from __future__ import annotations

from dataclasses import replace

from gateway.domain.arm import Arm, Strategy
from gateway.domain.plan import Ceilings, Plan
from gateway.policy.explain import describe_arm, explain
from tests.policy.world import NOW, ask, plan, policy_of, simple


def test_the_tree_tells_the_whole_decision() -> None:
    """The ask, the rule, the reasons, what was not taken, what is next and the ceilings."""
    decided = plan(simple("[{name: r, arm: vote}]"), ask(has_tools=True), replace(NOW, sticky_arm="gone"))
    digest = simple("[{name: r, arm: vote}]").digest[:12]
    assert explain(decided) == (
        "think: sonnet, effort medium",
        f"├─ policy work ({digest})",
        "├─ facts",
        "│  ├─ category: math",
        "│  ├─ confidence: 0.9",
        "│  ├─ source: learned",
        "│  ├─ tokens: 100",
        "│  ├─ tokens_at_most: 400",
        "│  ├─ turns: 1",
        "│  ├─ key: key-1",
        "│  ├─ key_name: tests",
        "│  ├─ hour: 12",
        "│  ├─ success: weak 0.4, strong 0.8",
        "│  ├─ sticky_arm: gone",
        "│  └─ tools: yes",
        "├─ rule: r",
        "├─ because",
        "│  ├─ math with confidence 0.90 (learned), hard",
        "│  ├─ rule 'r' names it",
        "│  ├─ vote cannot be used, and think is next",
        "│  └─ at most 16586 output tokens fit under $0.25",
        "├─ not taken",
        "│  └─ vote: a search ends in one text and cannot call tools",
        "├─ if it fails",
        "│  ├─ fast: haiku, effort none",
        "│  └─ think-hard: sonnet, effort high",
        "└─ ceilings",
        "   ├─ cost: $0.25",
        "   ├─ output: 16586 tokens",
        "   └─ deadline: 60 s",
    )


def test_what_could_have_been_drawn_is_told_where_there_was_a_draw() -> None:
    """A certain choice has no probabilities to tell."""
    exploring = policy_of(policy_of().text + "calibrate: {every: 1d, spend_at_most_usd: 1, explore: 0.1}\n")
    lines = explain(plan(exploring))
    place = lines.index("├─ drawn with probability")
    assert lines[place + 1 : place + 3] == ("│  ├─ think: 0.1", "│  └─ think-hard: 0.9")
    assert not any("probability" in line for line in explain(plan()))


def test_arms_are_described_by_what_they_do() -> None:
    """Model, effort, search with its parameters, verifier; for a cascade its steps."""
    tree = Arm("tree", "local", strategy=Strategy.DVTS, parameters={"beams": 16, "groups": 4}, verifier="prm")
    assert describe_arm(tree) == "local, dvts (beams 16, groups 4), verified by prm"
    assert describe_arm(Arm("a", "m", thinking_tokens=2000)) == "m, 2000 thinking tokens"
    steps = Arm("up", strategy=Strategy.CASCADE, cascade=("a", "b"), escalate_below=0.7)
    assert describe_arm(steps) == "a → b, stepping up where an answer is less sure than 0.7"
    carrying = replace(steps, parameters={"carries": True})
    assert describe_arm(carrying) == "a → b, stepping up where an answer is less sure than 0.7, carrying it along"
    tagged = {"step": {"tag": "</step>", "tokens": 64}, "weighted": True}
    picked = Arm("n", "m", strategy=Strategy.BEST_OF_N, parameters=tagged)
    assert describe_arm(picked) == "m, best_of_n (step tag </step>, tokens 64, weighted yes)"


def test_the_ceilings_of_a_search_are_those_of_its_draws() -> None:
    """The cost is that of all together, the output that of each."""
    lines = explain(plan(simple("[{name: r, arm: vote, max_cost_usd: 0.0004495}]")))
    assert lines[-3:] == (
        "   ├─ cost: $0.0004495, all draws together: none begins that might cost more than is left",
        "   ├─ output: 2047 tokens a draw",
        "   └─ deadline: 60 s",
    )


def test_a_plan_without_a_policy_is_told_as_well() -> None:
    """A request that named its model has reasons and ceilings, and no rule."""
    pinned = Plan(Arm("gpt", "gpt"), Ceilings(None, None, 60), ("the request names a configured model",))
    assert explain(pinned) == (
        "gpt: gpt",
        "├─ because",
        "│  └─ the request names a configured model",
        "└─ ceilings",
        "   ├─ output: the model decides",
        "   └─ deadline: 60 s",
    )
