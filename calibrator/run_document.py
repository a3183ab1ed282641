"""What a run came to, as JSON and in words: the choice of each rule, what it rests on, and what is missing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from calibrator.choice_document import document
from calibrator.experiment import RulePlan
from calibrator.report.page import shortage_text
from calibrator.sequence import Ending, Look

DOLLARS: Final = "dollars"
TOKENS: Final = "output tokens"


def rule_document(run_id: str, seed: int, rule: RulePlan, ending: Ending) -> dict[str, Any]:
    """A rule's choice, as ``choose --json`` says it, and how the run came to it."""
    said = document(ending.question, ending.drawn, ending.choice, seed, None, risk=ending.risk)
    return {
        **said,
        # What was measured is all that is known: there are no other items to try the choice on.
        "true_loss": {"left_over": None, "full": None},
        "run": run_id,
        "rule": rule.bound.rule.name,
        "cost_unit": TOKENS if rule.is_free else DOLLARS,
        "ended": ending.reason,
        "looks": [_look(each) for each in ending.looks],
        "arms_on_the_pilot": _pilot(ending),
    }


def in_words(said: Mapping[str, Any]) -> str:
    """What became of a rule, in a sentence or two."""
    name = f"rule {said['rule']!r}"
    if said["certified"]:
        return (
            f"{name}: {1 - said['relative_cost']:.0%} cheaper than {said['reference']}, losing at most "
            f"{100 * said['loss_at_most']:g} points at confidence {said['confidence']:g}, by {said['labels']} items"
        )
    missing = (
        f"; the first step would take {shortage_text(said['shortage'], said['cost_unit'])}" if said["shortage"] else ""
    )
    return f"{name}: nothing is certified after {said['labels']} items: {said['ended']}{missing}"


def _look(look: Look) -> dict[str, Any]:
    return {
        "labels": look.labels,
        "confidence": round(look.confidence, 6),
        "certified": look.choice.is_certified,
        "relative_cost": round(look.choice.relative_cost, 6),
    }


def _pilot(ending: Ending) -> list[dict[str, Any]]:
    """How every arm did on the first items, which are asked of all of them."""
    table = ending.question.table
    rows = np.arange(ending.pilot_size)
    return [
        {
            "arm": name,
            "items": int(rows.size),
            "mean_score": round(float(table.scores[rows, arm].mean()), 6),
            "mean_cost": float(f"{float(table.costs[rows, arm].mean()):.6g}"),
        }
        for arm, name in enumerate(table.arms)
    ]
