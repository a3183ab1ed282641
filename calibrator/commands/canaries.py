"""``ponder calibrate canaries``: which versions are tried on whom, what is known of them, and the guard's verdict."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import click

from calibrator.commands.stored import database, day, run
from calibrator.guard import findings
from calibrator.guarding.contrast import Contrast
from calibrator.guarding.document import FORM, read_terms, taken_up
from calibrator.guarding.evidence import HARM, NO_WORSE, Evidence
from gateway.commands.output import json_option, print_json
from gateway.domain.rollout import CanaryStanding
from gateway.store.canary_evidence import CanaryEvidence, CanaryProgress
from gateway.store.profiles import Profiles
from gateway.store.rollouts import Rollouts
from gateway.store.session import session


@dataclass(frozen=True, slots=True)
class Shown:
    """A canary with what was seen of it; nothing was yet where the progress is None."""

    canary: CanaryStanding
    progress: CanaryProgress | None

    @property
    def evidence(self) -> Evidence | None:
        """The evidence; None where there is none, or another release gathered it."""
        document = None if self.progress is None else self.progress.document
        if document is None or document["form"] != FORM:
            return None
        return taken_up(document, read_terms(document))


@click.command("canaries")
@click.option("--policy", help="Of this policy alone.")
@click.option("--last", type=click.IntRange(1, 1_000), default=5, show_default=True, help="Of each policy.")
@json_option
def canaries(*, policy: str | None, last: int, as_json: bool) -> None:
    """List versions that are or were tried on a share of conversations, the newest first, and how they compare."""
    found = run(_recent(policy, last))
    if as_json:
        print_json([_document(each) for each in found])
        return
    if not found:
        click.echo("No version of a profile has been tried yet.")
    for each in found:
        _show(each)


async def _recent(policy: str | None, last: int) -> list[Shown]:
    async with session(database(), most=1) as (changes, connections):
        names = await Profiles(changes).policies() if policy is None else (policy,)
        rollouts = Rollouts(changes)
        tried = [canary for name in names for canary in await rollouts.canaries(name, limit=last)]
        seen = await CanaryEvidence(connections).find([canary.id for canary in tried])
    return [Shown(each, seen.get(each.id)) for each in sorted(tried, key=lambda canary: -canary.id)]


def _show(shown: Shown) -> None:
    canary, progress, evidence = shown.canary, shown.progress, shown.evidence
    over = "none" if canary.over is None else f"version {canary.over}"
    until = "" if canary.ended_at is None else f" until {day(canary.ended_at)}"
    click.echo(
        f"{canary.policy}: version {canary.number} over {over}, on {canary.share:.0%} of conversations, "
        f"{canary.state} since {day(canary.began_at)}{until}"
    )
    words = {} if evidence is None else findings(evidence)
    said = canary.reason or (None if progress is None else progress.verdict)
    for name, line in (*words.items(), ("verdict", said or "not looked at yet")):
        click.echo(f"  {name:<8} {line}")


def _document(shown: Shown) -> dict[str, Any]:
    canary, progress, evidence = shown.canary, shown.progress, shown.evidence
    return {
        "policy": canary.policy,
        "version": canary.number,
        "over": canary.over,
        "stage": canary.stage,
        "share": canary.share,
        "state": canary.state.value,
        "reason": canary.reason,
        "began_at": canary.began_at,
        "stage_began_at": canary.stage_began_at,
        "ended_at": canary.ended_at,
        "verdict": None if progress is None else progress.verdict,
        "judged_at": None if progress is None else progress.judged_at,
        "evidence": None if evidence is None else _figures(evidence),
    }


def _figures(evidence: Evidence) -> Mapping[str, Any]:
    quality, terms = evidence.quality, evidence.terms
    return {
        "margin": terms.margin,
        "risk": terms.risk,
        "labelled": [{"share": share, "conversations": count} for share, count in sorted(evidence.labelled.items())],
        "quality": {
            **_groups(quality),
            **_difference(quality, 1 - terms.risk),
            "p_harm": quality.processes[HARM].p_value,
            "p_no_worse": quality.processes[NO_WORSE].p_value,
        },
        "errors": _limit(evidence.errors),
        "time": _limit(evidence.slowness),
        "cost": _limit(evidence.cost, evidence.baseline.largest_cost or 0.0),
    }


def _difference(found: Contrast, confidence: float) -> dict[str, Any]:
    if not found.count:
        return {"difference": None, "lower": None, "upper": None, "confidence": confidence}
    interval = found.interval(confidence)
    return {
        "difference": interval.estimate,
        "lower": interval.lower,
        "upper": interval.upper,
        "confidence": confidence,
    }


def _groups(found: Contrast, scale: float = 1.0) -> dict[str, Any]:
    means = {"new": found.new.mean, "old": found.old.mean}
    return {
        **{name: None if mean is None else mean * scale for name, mean in means.items()},
        "new_conversations": found.new.count,
        "old_conversations": found.old.count,
    }


def _limit(found: Contrast | None, scale: float = 1.0) -> dict[str, Any] | None:
    return None if found is None else {**_groups(found, scale), "p_broken": found.processes[0].p_value}
