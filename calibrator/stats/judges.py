"""Success rates as a fallible judge sees them, set right by how often it errs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from scipy.special import ndtri

from calibrator.stats.results import FIXED_SIZE, INDEPENDENT, Interval, checked_confidence

LEAST_SKILL: Final = 0.4
"""The sensitivity and specificity less 1 below which a judge is refused."""


@dataclass(frozen=True, slots=True)
class JudgeRecord:
    """How a judge did on answers of one arm whose truth is known."""

    right: int
    right_accepted: int
    wrong: int
    wrong_refused: int

    def __post_init__(self) -> None:
        if not (0 <= self.right_accepted <= self.right and 0 <= self.wrong_refused <= self.wrong):
            raise ValueError("a judge accepts at most the right answers there are, and refuses at most the wrong ones")

    @property
    def sensitivity(self) -> float:
        """The share of right answers that it accepts, with one of either kind added to what was seen."""
        return (self.right_accepted + 1) / (self.right + 2)

    @property
    def specificity(self) -> float:
        """The share of wrong answers that it refuses, with one of either kind added to what was seen."""
        return (self.wrong_refused + 1) / (self.wrong + 2)

    @property
    def skill(self) -> float:
        """Youden's index: 1 for a judge that never errs, 0 for one that guesses."""
        return self.sensitivity + self.specificity - 1


def correct_for_judge(accepted: int, judged: int, record: JudgeRecord, confidence: float) -> Interval:
    """The share of right answers of an arm, from the share that a judge accepts and its errors on that arm.

    Rogan and Gladen (1978, Am. J. Epidemiol. 107:71), with the delta-method interval of Lang and Reiczigel
    (2014, Prev. Vet. Med. 113:13), which adds the uncertainty of the record to that of the judged answers;
    for judges that are language models, Lee et al. 2025 (arXiv 2511.21140). Guarantee: asymptotic, in the
    judged answers and in both kinds of known ones; some thirty of each are needed. The record must be of
    the arm itself: a judge that favours long answers errs otherwise on another's. It fails after a change
    of the judge, its prompt or the mix of tasks, and it is for one look. Raises ValueError for a judge
    whose skill is below ``LEAST_SKILL``: dividing by so little magnifies every error of the record.
    """
    if not 0 <= accepted <= judged or not judged:
        raise ValueError(f"a judge cannot have accepted {accepted} of {judged} answers")
    if record.skill < LEAST_SKILL:
        raise ValueError(
            f"this judge's sensitivity and specificity exceed chance by {record.skill:.2f}; at least {LEAST_SKILL} is "
            "needed to correct for its errors"
        )
    deviate = float(ndtri((1 + checked_confidence(confidence)) / 2))
    seen = (accepted + deviate**2 / 2) / (judged + deviate**2)
    sensitivity, specificity, skill = record.sensitivity, record.specificity, record.skill
    raw = (accepted / judged + specificity - 1) / skill
    centre = (seen + specificity - 1) / skill
    variance = (
        seen * (1 - seen) / (judged + deviate**2)
        + centre**2 * sensitivity * (1 - sensitivity) / (record.right + 2)
        + (1 - centre) ** 2 * specificity * (1 - specificity) / (record.wrong + 2)
    ) / skill**2
    shift = (
        2
        * deviate**2
        * (
            centre * sensitivity * (1 - sensitivity) / (record.right + 2)
            - (1 - centre) * specificity * (1 - specificity) / (record.wrong + 2)
        )
    )
    middle, reach = centre + shift, deviate * variance**0.5
    return Interval(
        min(max(raw, 0.0), 1.0),
        max(0.0, min(middle - reach, 1.0)),
        min(1.0, max(middle + reach, 0.0)),
        confidence,
        judged,
        (INDEPENDENT, FIXED_SIZE, "the record is of this arm and this judge, on tasks like the judged ones"),
    )
