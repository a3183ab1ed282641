"""What a run came to, as JSON and in words: the choice of each rule, what it rests on, and what is missing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from calibrator.choice_document import document
from calibrator.experiment import RunPlan
from calibrator.items.item import Agreement
from calibrator.report.page import basis_text, shortage_text
from calibrator.sequence import Ending, Look
from calibrator.standing import RuleStanding
from calibrator.truths import Known

DOLLARS: Final = "dollars"
TOKENS: Final = "output tokens"


def rule_document(run_id: str, plan: RunPlan, standing: RuleStanding, ending: Ending, known: Known) -> dict[str, Any]:
    """A rule's choice, as ``choose --json`` says it, and how the run came to it."""
    rule = standing.rule
    said = document(ending.question, ending.drawn, ending.choice, plan.seed, None, risk=ending.risk)
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
        "agreement": _agreement(plan, standing),
        "answers_in_batches": _batched(standing, known),
    }


def in_words(said: Mapping[str, Any]) -> str:
    """What became of a rule, in a sentence or two."""
    name = f"rule {said['rule']!r}"
    if said["certified"]:
        return (
            f"{name}: {1 - said['relative_cost']:.0%} cheaper than {said['reference']}, losing at most "
            f"{100 * said['loss_at_most']:g} points at confidence {said['confidence']:g}, by {said['labels']} items"
            + ("" if said["agreement"] is None else f"; {basis_text(said['agreement'])}")
        )
    missing = (
        f"; the first step would take {shortage_text(said['shortage'], said['cost_unit'])}" if said["shortage"] else ""
    )
    return f"{name}: nothing is certified after {said['labels']} items: {said['ended']}{missing}"


def _batched(standing: RuleStanding, known: Known) -> int:
    """How many of the answers came in batches: they have no latency."""
    items = {item.id for item in standing.rule.items}
    return sum(item in items and not each.latency_s for (item, _), each in known.items())


def _agreement(plan: RunPlan, standing: RuleStanding) -> dict[str, Any] | None:
    """How many of the items have no other truth than what the reference mostly says; None where all have one."""
    scored, truths, sample = standing.rule.items, standing.truths, plan.sample
    draws = {item.check.draws for item in scored if isinstance(item.check, Agreement)}
    if not draws or sample is None:
        return None
    return {
        "items": sum(isinstance(item.check, Agreement) for item in scored),
        "of_items": len(scored),
        "draws": max(draws),
        "without_majority": truths.without_majority,
        "not_asked": truths.not_asked,
        "sample": {**sample.document, "requests": len(sample.requests)},
    }


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
