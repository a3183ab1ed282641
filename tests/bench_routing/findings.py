"""From what was measured to the figures of the page: the traffic as it was routed, beside always the reference."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from calibrator.stats.intervals import wilson
from tests.bench_routing.asking import Reply
from tests.bench_routing.policy import CONFIDENCE, LOSS_AT_MOST
from tests.bench_search.figures import Estimate, difference, ratio, share
from tests.bench_search.findings import Verdict, show, signed

TOKENS_AT_MOST = 0.4
"""Of what the reference takes, to be met."""
_OK = 200


@dataclass(frozen=True, slots=True)
class Beside:
    """One way to answer problems, and another way to answer the same ones."""

    problems: int
    arms: Mapping[str, int]
    right: Estimate
    right_of_other: Estimate
    points: Estimate
    tokens: float
    tokens_of_other: float
    token_share: Estimate
    failed: int


def paired(routed: Sequence[Reply], other: Sequence[Reply]) -> tuple[list[Reply], list[Reply]]:
    """What was asked both ways, in the same order: one of them may be further than the other."""
    of_other = {each.question: each for each in other}
    both = [each for each in routed if each.question in of_other]
    return both, [of_other[each.question] for each in both]


def beside(routed: Sequence[Reply], other: Sequence[Reply]) -> Beside:
    """Compare two ways, problem by problem. Raises ValueError where the problems are not the same ones."""
    if [each.question for each in routed] != [each.question for each in other]:
        raise ValueError("both ways have the same problems, in the same order")
    tokens, tokens_of_other = [each.tokens for each in routed], [each.tokens for each in other]
    return Beside(
        problems=len(routed),
        arms=Counter(each.arm for each in routed),
        right=share([each.is_right for each in routed]),
        right_of_other=share([each.is_right for each in other]),
        points=difference([100 * each.is_right for each in routed], [100 * each.is_right for each in other]),
        tokens=fmean(tokens),
        tokens_of_other=fmean(tokens_of_other),
        token_share=ratio(tokens, tokens_of_other),
        failed=sum(each.status != _OK for each in (*routed, *other)),
    )


def by_difficulty(routed: Sequence[Reply], other: Sequence[Reply]) -> dict[str, Beside]:
    """The same for each difficulty that was predicted."""
    found = {}
    for difficulty in dict.fromkeys(each.difficulty for each in routed):
        places = [place for place, each in enumerate(routed) if each.difficulty == difficulty]
        found[difficulty] = beside([routed[place] for place in places], [other[place] for place in places])
    return found


def on_the_pilot(rule: Mapping[str, Any]) -> list[tuple[str, Estimate, float]]:
    """Each arm, its share of right answers to the items that all arms were asked, and its cost there."""
    rows = []
    for each in rule["arms_on_the_pilot"]:
        found = wilson(round(each["mean_score"] * each["items"]), each["items"], 0.95)
        rows.append((each["arm"], Estimate(found.estimate, found.lower, found.upper), each["mean_cost"]))
    return rows


def verdicts(rule: Mapping[str, Any], whole: Beside) -> list[Verdict]:
    """What was asked for, and what came of it."""
    certificate = rule["certificate"]
    points, tokens = whole.points, whole.token_share
    said = "nothing is certified" if certificate is None else f"certified; bound {certificate['bound']:.4f}"
    return [
        Verdict(
            "loss against always dvts, certified before the traffic",
            f"≤ {LOSS_AT_MOST} at confidence {CONFIDENCE}",
            said,
            certificate is not None,
        ),
        Verdict("accuracy beside always dvts, on fresh traffic", "≥ −1 point", f"{signed(points)}", points.value >= -1),
        Verdict(
            "tokens beside always dvts, on fresh traffic",
            f"≤ {TOKENS_AT_MOST:.2f}",
            show(tokens),
            tokens.value <= TOKENS_AT_MOST,
        ),
    ]
