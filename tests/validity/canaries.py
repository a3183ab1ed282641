"""Canaries of which every request is labelled, simulated by counts and judged by the guard's own code."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from calibrator.guard import Action, Trial, judge
from calibrator.guarding.contrast import Contrast, Tally
from calibrator.guarding.evidence import Evidence, Terms, begin_evidence

TERMS = Terms(
    margin=0.02,
    risk=0.05,
    timeout_s=7 * 86_400,
    min_outcomes=50,
    cost_at_most=None,
    latency_at_most=None,
    errors_at_most=None,
)
"""What a policy has that says nothing, of quality alone."""
SHARES = (0.01, 0.05, 0.25, 1.0)
REQUESTS = 100_000
LOOK = 1_000
"""Requests between two looks."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of ask: its share of the traffic, and how often each version is right. ``is_same``: by the same arm."""

    part: float
    old: float
    new: float
    is_same: bool = False


@dataclass(frozen=True, slots=True)
class Ended:
    """How a canary ended, after how many requests, and the share that it had."""

    action: Action
    requests: int
    share: float


def tallies(random: np.random.Generator, kinds: Sequence[Kind], share: float, count: int) -> list[Tally]:
    """What so many requests come to."""
    made = []
    parts = random.multinomial(count, [kind.part for kind in kinds])
    for number, (kind, asked) in enumerate(zip(kinds, parts.tolist(), strict=True)):
        drawn = int(random.binomial(asked, share))
        for is_new, size, accuracy in ((True, drawn, kind.new), (False, asked - drawn, kind.old)):
            right = int(random.binomial(size, accuracy))
            for value, times in ((1.0, right), (0.0, size - right)):
                if times:
                    made.append(Tally(f"kind {number}", share, is_new, value, is_same=kind.is_same, count=times))
    return made


def seen(evidence: Evidence, made: Sequence[Tally]) -> Evidence:
    """The evidence after these, as ``Evidence.with_labels`` counts them one by one."""
    labelled = Counter(dict(evidence.labelled))
    for each in made:
        if each.is_new and not each.is_same:
            labelled[each.share] += each.count
    return replace(evidence, quality=evidence.quality.extended(made), labelled=dict(labelled))


def run(random: np.random.Generator, kinds: Sequence[Kind], terms: Terms = TERMS) -> Ended:
    """One canary, looked at after every thousand requests, until the guard ends it or the requests do."""
    trial, evidence = Trial(SHARES[0], 0.0, SHARES), begin_evidence(terms)
    for requests in range(LOOK, REQUESTS + 1, LOOK):
        evidence = seen(evidence, tallies(random, kinds, trial.share, LOOK))
        verdict = judge(trial, evidence, 0.0)
        if verdict.action in (Action.PROMOTE, Action.WITHDRAW):
            return Ended(verdict.action, requests, trial.share)
        if verdict.action is Action.WIDEN:
            trial = replace(trial, share=trial.following)
    return Ended(Action.WAIT, REQUESTS, trial.share)


def ever_shown(
    random: np.random.Generator,
    fresh: Contrast,
    kinds: Sequence[Kind],
    risk: float,
    *,
    looks: Sequence[tuple[float, int]],
) -> tuple[bool, ...]:
    """Whether each claim is shown at any of these looks, each a share and a number of requests; nothing ends it."""
    found = fresh
    for share, count in looks:
        found = found.extended(tallies(random, kinds, share, count))
    return tuple(found.shown(number, risk) for number in range(len(found.claims)))
