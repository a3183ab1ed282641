"""``ponder calibrate plan``: how many labels a promise takes, before any is paid for."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, Final

import click

from calibrator.binding import Bound, bound_rules
from calibrator.choose import Target
from calibrator.commands.options import needed, promise_options, table, table_options
from calibrator.commands.shown import show_forecasts
from calibrator.planning import Forecast, Seen, forecast
from calibrator.trial import Question, draw
from gateway.commands.output import json_option, print_json, print_rows
from gateway.domain.bound import as_usd
from gateway.domain.money import show

_TARGETS: Final = (0.005, 0.01, 0.02, 0.03, 0.05)
_SIZES: Final = (200, 400, 1_000, 2_000, 4_000, 10_000)


@click.command("plan")
@table_options
@promise_options
@click.option(
    "--loss-at-most", "losses", type=click.FloatRange(0, 1, min_open=True, max_open=True), multiple=True,
    help="May be repeated; several usual ones if not said.",
)  # fmt: skip
@click.option("--policy", help="Without outcomes: forecast for the calibrated rules of this policy.")
@click.option(
    "--disagreement", type=click.FloatRange(0, 1, min_open=True), default=0.2, show_default=True,
    help="With --policy: the share of items on which an arm and the reference are not both right or both wrong.",
)  # fmt: skip
@json_option
def plan(*, policy: str | None, losses: tuple[float, ...], disagreement: float, as_json: bool, **given: Any) -> None:
    """Forecast how many labels a certified loss takes, and what their answers cost.

    With outcomes, from what they say of the arms; with --policy alone, from an assumed disagreement. A
    forecast by the normal approximation, and no promise.
    """
    if policy is not None:
        if given["files"] or given["run"]:
            raise click.UsageError("give either outcomes, or --policy")
        _of_policy(bound_rules(policy), losses, disagreement, as_json=as_json)
        return
    found = table(given)
    reference = found.arm(needed(given["reference"], "--reference"))
    confidence = needed(given["confidence"], "--confidence")
    targets = losses or _TARGETS
    question = Question(found, reference, Target(targets[0], confidence), len(found.items), 0.0, is_graded=True)
    drawn = draw(question, 0)
    costs = [drawn.ground.relative_cost(rule) for rule in drawn.path]
    forecasts = [
        forecast(drawn.labels, drawn.path, costs, target=target, confidence=confidence, sizes=_SIZES)
        for target in targets
    ]
    each = float(found.costs.sum(axis=1).mean())
    if as_json:
        print_json({"items": len(found.items), "cost_per_label": each, "forecasts": list(map(_document, forecasts))})
    else:
        show_forecasts(forecasts, each)


def _document(found: Forecast) -> dict[str, Any]:
    expected = [{"labels": size, "relative_cost": round(cost, 4)} for size, cost in found.expected]
    return {**asdict(found), "in_reach": round(found.in_reach, 4), "expected": expected}


def _of_policy(rules: tuple[Bound, ...], losses: tuple[float, ...], disagreement: float, *, as_json: bool) -> None:
    """By rule: labels for one change of everything that truly loses nothing."""
    rows: list[dict[str, object]] = []
    for bound in rules:
        each = sum(bound.policy.arms[name].typical_bound for name in bound.arms)
        for target in losses or (bound.rule.loss_at_most,):
            labels = Seen(1.0, 0.0, disagreement).labels_for(target, bound.confidence) or 0
            rows.append(
                {
                    "rule": bound.rule.name,
                    "loss_at_most": target,
                    "confidence": bound.confidence,
                    "arms": list(bound.arms),
                    "labels": labels,
                    "cost_usd_at_most": show(as_usd(labels * each)),
                }
            )
    if as_json:
        print_json({"disagreement": disagreement, "rules": rows})
        return
    shown = [
        {key: ", ".join(value) if isinstance(value, list) else str(value) for key, value in row.items()} for row in rows
    ]
    print_rows(("rule", "loss_at_most", "confidence", "labels", "cost_usd_at_most", "arms"), shown)
    click.echo(
        f"\nLabels for a change of all traffic that truly loses nothing, where {disagreement:.0%} of the items are "
        "answered rightly by only one of the two. All arms answer each. A forecast, no promise."
    )
