"""Ends a run: chooses from what was measured, writes the reports, publishes a version and begins to try it.

Safe to repeat after a crash anywhere in it: a version that this run has published already is taken up where it is.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from calibrator.experiment import RulePlan, RunPlan
from calibrator.publish import profile, rule_profile
from calibrator.report.page import basis_text, page
from calibrator.run_document import in_words, rule_document
from calibrator.sequence import Ending, Nothing
from calibrator.standing import standing_of
from calibrator.truths import Known
from gateway.domain.experiment import ExperimentClaim, ExperimentState
from gateway.domain.key import Role
from gateway.domain.profile_document import ProfileDocument, PublishedProfile, RuleProfile
from gateway.domain.rollout import Rollout
from gateway.domain.tenancy import Author
from gateway.policy.document import CANARY, EXPIRES_AFTER_S
from gateway.store.changes import Changes
from gateway.store.experiments import Experiments
from gateway.store.profiles import Profiles
from gateway.store.rollouts import Rollouts

ALL: Final = 1.0
"""The share of a canary that is none."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """A rule's end, and what is said of it."""

    rule: RulePlan
    ending: Ending
    said: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Conclusion:
    """How a run ended: in words, by rule as JSON, with the version it published and the share that gets it."""

    run_id: str
    state: ExperimentState
    note: str
    rules: tuple[Mapping[str, Any], ...]
    reports: tuple[Path, ...]
    number: int | None = None
    share: float | None = None


@dataclass(frozen=True, slots=True)
class Desk:
    """What ending a run takes: the stores, the folder for reports, and whether to put the result in force at once."""

    experiments: Experiments
    changes: Changes
    reports: Path
    activates: bool


async def conclude(
    desk: Desk, plan: RunPlan, claim: ExperimentClaim, known: Known, *, is_over: bool, by: Author
) -> Conclusion:
    """Choose, report, and publish what is certified; ``is_over`` where the money ended the run before its trials."""
    run_id = claim.standing.experiment.id
    rules = standing_of(plan, known, is_over=is_over).rules
    chosen = [
        Chosen(each.rule, each.trial, rule_document(run_id, plan, each, each.trial, known))
        for each in rules
        if isinstance(each.trial, Ending)
    ]
    reports = _write_reports(desk.reports, run_id, chosen)
    said = tuple(each.said for each in chosen)
    words = ". ".join(
        [*(in_words(each) for each in said), *(each.trial.reason for each in rules if isinstance(each.trial, Nothing))]
    )
    certified = [each for each in chosen if each.ending.choice.is_certified]
    if not certified:
        await desk.experiments.finish(claim, ExperimentState.UNCHANGED, note=words, now=by.at)
        return Conclusion(run_id, ExperimentState.UNCHANGED, words, said, reports)
    published, share = await _publish(desk, plan, certified, run_id=run_id, report=reports[0], by=by)
    note = f"version {published.number}, for {share:.0%}. {words}"
    await desk.experiments.finish(claim, ExperimentState.PUBLISHED, note=note, now=by.at)
    return Conclusion(run_id, ExperimentState.PUBLISHED, words, said, reports, published.number, share)


def _write_reports(folder: Path, run_id: str, chosen: Sequence[Chosen]) -> tuple[Path, ...]:
    """A page for each rule."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    files: list[Path] = []
    for number, each in enumerate(chosen, 1):
        files.append(folder / (f"{run_id}.html" if len(chosen) == 1 else f"{run_id}-{number}.html"))
        ending = each.ending
        files[-1].write_text(page(ending.question, ending.drawn, ending.choice, each.said), "utf-8")
    return tuple(files)


async def _publish(
    desk: Desk, plan: RunPlan, certified: Sequence[Chosen], *, run_id: str, report: Path, by: Author
) -> tuple[PublishedProfile, float]:
    profiles, rollouts = Profiles(desk.changes), Rollouts(desk.changes)
    standing = await rollouts.find(plan.name)
    before = None if standing.number is None else await profiles.find(plan.name, standing.number)
    document, expires_at = _document(plan, certified, before, by.at)
    latest = await profiles.versions(plan.name, limit=1)
    mine = next((each for each in latest if each.experiment_id == run_id), None)
    published = mine or await profiles.publish(
        document,
        number=latest[0].number + 1 if latest else 1,
        expires_at=expires_at,
        by=by,
        experiment_id=run_id,
        report=str(report),
    )
    is_the_same = before is not None and _arms(before.document) == _arms(published.document)
    share = ALL if desk.activates or is_the_same else _first_share(plan)
    reason = f"calibrated by {run_id}" + (", the same arms as before" if is_the_same else "")
    await _bring_out(rollouts, standing, published.number, share=share, reason=reason, by=by)
    return published, share


async def _bring_out(
    rollouts: Rollouts, standing: Rollout, number: int, *, share: float, reason: str, by: Author
) -> None:
    """Put a version in force, or begin to try it; an older one that is being tried makes way."""
    if number in (standing.number, standing.canary and standing.canary.number):
        return
    if share >= ALL:
        await rollouts.activate(standing.policy, number, reason=reason, by=by)
        return
    if standing.canary is not None:
        await rollouts.withdraw_canary(standing.canary, reason=f"version {number} follows it", by=by)
    await rollouts.begin_canary(standing.policy, number, share=share, by=by)


def _document(
    plan: RunPlan, certified: Sequence[Chosen], before: PublishedProfile | None, now: float
) -> tuple[ProfileDocument, float]:
    """What is published, and until when: rules that were not certified anew keep what is in force of them."""
    of = plan.policy.read.document.calibrate
    expires_at = now + (EXPIRES_AFTER_S if of is None else of.expires_after)
    rules = {each.rule.bound.rule.name: _rule(each) for each in certified}
    if before is not None:
        current = {bound.rule.name: bound.rule.certificate_digest for bound in plan.policy.rules}
        kept = {
            name: rule
            for name, rule in before.document.rules.items()
            if name not in rules and rule.rule_digest == current.get(name) and before.expires_at > now
        }
        if kept:
            rules |= kept
            expires_at = min(expires_at, before.expires_at)
    digests = [each.ending.question.table.digest for each in certified]
    digest = digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()
    return profile(plan.name, plan.policy.read.digest, digest, plan.seed, rules), expires_at


def _rule(each: Chosen) -> RuleProfile:
    bound, ending = each.rule.bound, each.ending
    return rule_profile(
        ending.choice,
        bound.target,
        rule_digest=bound.rule.certificate_digest,
        reference=bound.reference,
        among=bound.rule.among,
        labels=int(ending.drawn.labels.cells.size),
        basis=None if each.said["agreement"] is None else basis_text(each.said["agreement"]),
    )


def _arms(document: ProfileDocument) -> Mapping[str, Mapping[tuple[str, str | None], str]]:
    """By rule and cell; what the certificate says of its evidence is left out."""
    return {
        name: {(cell.category, cell.difficulty): cell.arm for cell in rule.cells}
        for name, rule in document.rules.items()
    }


def _first_share(plan: RunPlan) -> float:
    of = plan.policy.read.document.calibrate
    return (CANARY if of is None else of.canary)[0]


def author(actor: str, now: float) -> Author:
    """Who publishes, for the audit log."""
    return Author(actor, Role.ADMIN, now)
