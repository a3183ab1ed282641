"""How far verifiers can be believed on each arm: how often they err, and what follows for the arm's success.

A verdict is a yes from a score of one half on. What is known comes from outcomes of those who may speak of
anybody's requests: audits, graders with a truth. A verdict that they split on, one half exactly, tells nothing.
"""

from __future__ import annotations

from array import array
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from calibrator.stats.intervals import wilson
from calibrator.stats.judges import LEAST_SKILL, JudgeRecord, correct_for_judge
from calibrator.stats.prediction_powered import PredictionPowered, predict_mean
from calibrator.stats.results import Interval
from gateway.store.judgements import Judgement

LEAST_KNOWN: Final = 30
"""Right answers that a record needs, and wrong ones: its guarantee is asymptotic in both."""
_YES: Final = 0.5


@dataclass(frozen=True, slots=True)
class JudgeOnArm:
    """A verifier on one arm: how often it errs there, and the arm's success by it.

    ``corrected`` is from its verdicts on answers that are not known, set right by its errors on those that are;
    ``powered`` from what is known, helped by its verdicts. Either is None where there is too little to say.
    """

    verifier: str
    arm: str
    judged: int
    accepted: int
    record: JudgeRecord
    sensitivity: Interval
    specificity: Interval
    corrected: Interval | None
    powered: PredictionPowered | None

    @property
    def refusal(self) -> str | None:
        """Why its verdicts may not stand for outcomes; None where they may, once corrected."""
        return refusal(self.record)


def refusal(record: JudgeRecord) -> str | None:
    """Why a judge with this record is not to be used; None where it may be."""
    if min(record.right, record.wrong) < LEAST_KNOWN:
        return f"{record.right} right and {record.wrong} wrong answers are known, and {LEAST_KNOWN} of each are needed"
    if record.skill < LEAST_SKILL:
        return f"it exceeds chance by {record.skill:.2f}, and at least {LEAST_SKILL} is needed"
    return None


@dataclass(slots=True)
class _Verdicts:
    """Of one verifier on one arm. Plain numbers, as there may be a million."""

    truths: array[float] = field(default_factory=lambda: array("d"))
    scores: array[float] = field(default_factory=lambda: array("d"))
    """Of the answers whose truth is known, in the same order."""
    others: array[float] = field(default_factory=lambda: array("d"))

    def add(self, judgement: Judgement) -> None:
        if judgement.truth is None or judgement.truth == _YES:
            self.others.append(judgement.score)
        else:
            self.truths.append(judgement.truth)
            self.scores.append(judgement.score)


class JudgeBook:
    """Judgements as they are read, gathered by verifier and arm."""

    def __init__(self) -> None:
        self._verdicts: defaultdict[tuple[str, str], _Verdicts] = defaultdict(_Verdicts)

    def add(self, judgements: Iterable[Judgement]) -> None:
        """Take these in."""
        for each in judgements:
            self._verdicts[each.verifier, each.arm].add(each)

    def judges(self, confidence: float) -> tuple[JudgeOnArm, ...]:
        """Every verifier on every arm that it judged, by their names."""
        return tuple(
            _judged(verifier, arm, verdicts, confidence) for (verifier, arm), verdicts in sorted(self._verdicts.items())
        )


def _judged(verifier: str, arm: str, verdicts: _Verdicts, confidence: float) -> JudgeOnArm:
    is_right = np.asarray(verdicts.truths) > _YES
    is_accepted = np.asarray(verdicts.scores) >= _YES
    record = JudgeRecord(
        right=int(is_right.sum()),
        right_accepted=int((is_right & is_accepted).sum()),
        wrong=int((~is_right).sum()),
        wrong_refused=int((~is_right & ~is_accepted).sum()),
    )
    accepted, others = int((np.asarray(verdicts.others) >= _YES).sum()), len(verdicts.others)
    is_usable = refusal(record) is None and others > 0
    return JudgeOnArm(
        verifier=verifier,
        arm=arm,
        judged=len(verdicts.truths) + others,
        accepted=int(is_accepted.sum()) + accepted,
        record=record,
        sensitivity=wilson(record.right_accepted, record.right, confidence),
        specificity=wilson(record.wrong_refused, record.wrong, confidence),
        corrected=correct_for_judge(accepted, others, record, confidence) if is_usable else None,
        powered=_powered(verdicts, confidence),
    )


def _powered(verdicts: _Verdicts, confidence: float) -> PredictionPowered | None:
    """Useless verdicts do no harm here, so skill is not asked for; only enough truths, and something to predict."""
    if len(verdicts.truths) < LEAST_KNOWN or len(verdicts.others) < LEAST_KNOWN:
        return None
    return predict_mean(verdicts.truths, verdicts.scores, verdicts.others, confidence)
