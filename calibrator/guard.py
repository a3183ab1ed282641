"""What becomes of a canary: it waits, goes to its next stage, is promoted or withdrawn. Pure, and in plain words."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from calibrator.guarding.contrast import Contrast
from calibrator.guarding.evidence import HARM, NO_WORSE, SLOW_SHARE, Evidence


class Action(StrEnum):
    """What is to be done with a canary."""

    WAIT = "wait"
    WIDEN = "widen"
    PROMOTE = "promote"
    WITHDRAW = "withdraw"


@dataclass(frozen=True, slots=True)
class Trial:
    """Where a canary stands, and when it began in Unix seconds. ``shares`` are those of all stages."""

    share: float
    began_at: float
    shares: tuple[float, ...]

    @property
    def following(self) -> float:
        """The share of the next stage; 1 is everybody."""
        return next((share for share in self.shares if share > self.share), 1.0)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is to be done, and why. ``share`` is that of the next stage, where it is to be widened."""

    action: Action
    reason: str
    share: float | None = None


HARM_PART: Final = 1 / 2
"""The part of the risk that a withdrawal for worse answers may be mistaken; errors, time and cost share the rest."""
LIMIT_PART: Final = 1 / 6


def judge(trial: Trial, evidence: Evidence, now: float) -> Verdict:
    """What is to be done with a canary, by all that is known of it.

    Guarantee: a version that is not worse, and within the limits on cost, time and errors, is withdrawn
    for one of these with a chance of at most ``risk``; one that is worse by the margin or more is promoted
    with a chance of at most ``risk``. Both hold however often this is asked, on the assumptions of
    :class:`calibrator.guarding.contrast.Contrast`. It promises nothing for a version between the two: the
    more it is worse, the likelier it is withdrawn, for harm or as its time is over.
    """
    terms = evidence.terms
    if trial.share >= 1:
        return Verdict(Action.PROMOTE, "it is tried on everybody already, so nothing is left to compare it with")
    harmful = harm(evidence)
    if harmful is not None:
        return Verdict(Action.WITHDRAW, harmful)
    seen, labelled = quality_words(evidence), evidence.labelled.get(trial.share, 0)
    is_enough = labelled >= terms.min_outcomes
    if trial.following < 1 and is_enough:
        reason = f"no harm was seen with {labelled:,} labelled conversations at {trial.share:.0%}: {seen}"
        return _in_time(trial, evidence, now) or Verdict(Action.WIDEN, reason, trial.following)
    is_shown = evidence.quality.shown(NO_WORSE, terms.risk)
    if is_shown and is_enough and trial.following >= 1:
        return Verdict(Action.PROMOTE, f"it is shown not to be worse by {_points(terms.margin)} or more: {seen}")
    late = _in_time(trial, evidence, now)
    if late is not None:
        return late
    if not is_enough:
        missing = terms.min_outcomes - labelled
        return Verdict(
            Action.WAIT, f"{missing:,} more labelled conversations of its own are needed at this stage: {seen}"
        )
    return Verdict(Action.WAIT, f"that it is not worse by {_points(terms.margin)} or more is not shown yet: {seen}")


def harm(evidence: Evidence) -> str | None:
    """What speaks against a canary, in words; None where nothing is shown."""
    terms = evidence.terms
    if evidence.quality.shown(HARM, terms.risk * HARM_PART):
        return f"its answers are worse: {quality_words(evidence)}"
    risk = terms.risk * LIMIT_PART
    if evidence.errors is not None and evidence.errors.shown(0, risk):
        return f"more than {_points(terms.errors_at_most or 0.0)} more of its answers fail: {_means(evidence.errors)}"
    if evidence.slowness is not None and evidence.slowness.shown(0, risk):
        return (
            f"more than {_points(SLOW_SHARE)} more of its answers take longer than {terms.latency_at_most:g} times the "
            f"others' 95th percentile: {_means(evidence.slowness)}"
        )
    if evidence.cost is not None and evidence.cost.shown(0, risk):
        return f"its answers cost more than {terms.cost_at_most:g} times those of the others: {cost_words(evidence)}"
    return None


def _in_time(trial: Trial, evidence: Evidence, now: float) -> Verdict | None:
    """The withdrawal of a canary whose time is over; None while it has time."""
    terms = evidence.terms
    if now - trial.began_at < terms.timeout_s:
        return None
    days = round(terms.timeout_s / _DAY_S, 6)
    reason = (
        f"its time of {days:g} {'day' if days == 1 else 'days'} is over, and that it is not worse by "
        f"{_points(terms.margin)} or more is not shown: {quality_words(evidence)}"
    )
    return Verdict(Action.WITHDRAW, reason)


_DAY_S: Final = 86_400


def quality_words(evidence: Evidence) -> str:
    """What is known of the difference in quality, for people."""
    quality = evidence.quality
    if quality.new.mean is None or quality.old.mean is None:
        return f"{quality.count:,} labelled conversations, too few to compare"
    found = quality.interval(1 - evidence.terms.risk)
    lowest, highest = max(found.lower, -1.0), min(found.upper, 1.0)
    return (
        f"{quality.new.mean:.1%} right beside {quality.old.mean:.1%}, a difference of {100 * found.estimate:+.2f} "
        f"points ({100 * lowest:+.2f} to {100 * highest:+.2f}) over {quality.count:,} labelled conversations"
    )


def cost_words(evidence: Evidence) -> str:
    """What is known of the cost, for people."""
    scale, cost = evidence.baseline.largest_cost, evidence.cost
    if cost is None or scale is None or cost.new.mean is None or cost.old.mean is None:
        return "too few answers to compare"
    return (
        f"${cost.new.mean * scale:.6f} an answer beside ${cost.old.mean * scale:.6f}, of "
        f"{cost.new.count:,} and {cost.old.count:,}"
    )


def _means(found: Contrast) -> str:
    new, old = found.new, found.old
    return f"{new.mean or 0.0:.1%} of {new.count:,} beside {old.mean or 0.0:.1%} of {old.count:,}"


def _points(share: float) -> str:
    points = round(100 * share, 6)
    return f"{points:g} point" if points == 1 else f"{points:g} points"


def findings(evidence: Evidence) -> dict[str, str]:
    """What is known of a canary, by what it is about, for people."""
    words = {"quality": quality_words(evidence)}
    if evidence.errors is not None:
        words["errors"] = f"{_means(evidence.errors)} answers failed"
    if evidence.slowness is not None:
        words["time"] = (
            f"{_means(evidence.slowness)} answers took more than {evidence.terms.latency_at_most:g} times the others' "
            "95th percentile"
        )
    if evidence.cost is not None:
        words["cost"] = cost_words(evidence)
    return words
