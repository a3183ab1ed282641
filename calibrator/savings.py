"""What a policy's choices saved, from the log of its decisions and of the arms that were drawn at random.

The reference arm's cost of a request is known where that arm was drawn, and weighed by the chance that it had. Of
requests where it had none the log says nothing, and so do the figures: they are of those within reach.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from calibrator.replay.estimate import Measure, Replayed, replay_log
from calibrator.replay.log import Log
from calibrator.replay.rewards import Rewards, rewards_of
from calibrator.stats.control import shuffled
from calibrator.stats.intervals import wilson
from calibrator.stats.off_policy import effective_size, self_normalised
from calibrator.stats.results import Integers, Interval
from gateway.domain.savings import Accuracy, ArmAnswers, Beside, Bounded, Savings, Scope

CONFIDENCE: Final = 0.95
FEWEST: Final = 30
"""Of fewer judged answers no accuracy is told."""
_Flags = NDArray[np.bool_]


def savings_of(log: Log, reference: str) -> Savings | None:
    """What the log says of a policy whose decisions it holds; None where it holds none.

    Its new chances are those of always answering by ``reference``.
    """
    if not log.cell.size:
        return None
    place = log.arms.index(reference)
    is_reached = log.old[log.old_row, place] > 0
    counts = np.bincount(log.old_row, minlength=len(log.old))
    is_dealt = (log.old > 0).sum(axis=1) > 1
    return Savings(
        reference=reference,
        decisions=int(log.cell.size),
        left_out={why.value: count for why, count in log.left_out.items() if count},
        shares=_shares(log, counts),
        scopes=_scopes(log, is_reached),
        dealt=int(counts[is_dealt].sum()),
        control=_beside(_replayed(log.under(shuffled(log.old, counts)))[0]),
    )


def _shares(log: Log, counts: Integers) -> dict[str, float]:
    """How often each arm is drawn, by the chances on record, the most frequent first."""
    shares = counts @ log.old / log.cell.size
    return {log.arms[place]: float(shares[place]) for place in np.argsort(-shares, kind="stable") if shares[place] > 0}


def _replayed(log: Log) -> tuple[Replayed, ...]:
    return replay_log(log, rewards_of(log, None), CONFIDENCE)


def _scopes(log: Log, is_reached: _Flags) -> tuple[Scope, ...]:
    names, category = log.categories
    within = {each.category: each for each in _replayed(log.among(is_reached))}
    judged = {source: rewards_of(log, source) for source in log.sources}
    counts = np.bincount(category, minlength=len(names))
    chosen: list[tuple[str | None, _Flags]] = [(None, np.ones(log.cell.size, bool))]
    chosen += [(names[place], category == place) for place in np.argsort(-counts, kind="stable")]
    return tuple(
        Scope(
            category=name,
            decisions=int(flags.sum()),
            reached=int((flags & is_reached).sum()),
            cost_usd=_mean_cost(log, flags),
            reference=_beside(within[name]),
            arms=_arms(log, flags, judged),
        )
        for name, flags in chosen
    )


def _mean_cost(log: Log, flags: _Flags) -> float | None:
    costs = log.cost[flags]
    costs = costs[np.isfinite(costs)]
    return float(costs.mean()) if costs.size else None


def _arms(log: Log, flags: _Flags, judged: dict[str, Rewards]) -> tuple[ArmAnswers, ...]:
    """What each arm was given, the most frequent first."""
    counts = np.bincount(log.arm[flags], minlength=len(log.arms))
    found = []
    for place in np.argsort(-counts, kind="stable"):
        if not counts[place]:
            break
        own = flags & (log.arm == place)
        accuracies = [_accuracy(source, rewards, own) for source, rewards in judged.items()]
        found.append(
            ArmAnswers(
                arm=log.arms[place],
                decisions=int(counts[place]),
                cost_usd=_mean_cost(log, own),
                accuracies=tuple(each for each in accuracies if each is not None),
            )
        )
    return tuple(found)


def _accuracy(source: str, rewards: Rewards, own: _Flags) -> Accuracy | None:
    """The share that a source found right, each of its labels for as many requests as it was chosen from."""
    labelled = own & rewards.is_labelled
    labels = int(labelled.sum())
    if labels < FEWEST:
        return None
    reward, weight = rewards.reward[labelled], rewards.stands_for[labelled]
    share = self_normalised(reward, weight, CONFIDENCE).estimate
    # As if there had been as many labels of equal weight, so that it stays within 0 and 1 and has a width at both.
    trials = max(round(effective_size(weight)), 1)
    found = wilson(min(round(share * trials), trials), trials, CONFIDENCE)
    return Accuracy(source, labels, Bounded(share, min(found.lower, share), max(found.upper, share)))


def _beside(found: Replayed) -> Beside:
    """What was logged beside the other way: less its estimate, which is of the other way."""
    cost, accuracy = found.cost_usd, found.accuracy
    return Beside(
        saved=_bounded(_told(cost, cost.saved)),
        gained=_bounded(_told(accuracy, _less(accuracy.change))),
        effective_sample_size=found.effective_sample_size,
        labels=accuracy.known,
        cost_doubts=cost.doubts if cost.saved is not None or cost.doubts else (_FREE,),
        accuracy_doubts=accuracy.doubts,
    )


_FREE: Final = "the other way costs nothing, so that nothing can be saved"


def _told(measure: Measure, found: Interval | None) -> Interval | None:
    """The estimate, where the log can tell."""
    return None if measure.doubts else found


def _less(change: Interval | None) -> Interval | None:
    """The logged policy's gain, by the new one's."""
    if change is None:
        return None
    return replace(change, estimate=-change.estimate, lower=-change.upper, upper=-change.lower)


def _bounded(found: Interval | None) -> Bounded | None:
    return None if found is None else Bounded(found.estimate, found.lower, found.upper)
