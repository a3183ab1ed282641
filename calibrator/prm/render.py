"""The report of a process reward model, in Markdown and as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

from calibrator.prm.quality import Estimate, Quality, Ranking

_HEAD = """# Report of the process reward model {name}

Measured on {chains} chains of {problems} problems, {steps} steps. Intervals are 95%, by a bootstrap of the problems.
"""
_BEST = """`aggregation: {way}` is the way to write in `ponder.yaml`: the chain that it scores best is most often right.
It was chosen on these chains; the figure of the best of four is a little high for that.
"""


def document(quality: Quality) -> dict[str, Any]:
    """All figures, as JSON holds them."""
    return {
        **asdict(quality),
        "best": quality.best.value,
        "by_draws": {str(draws): share for draws, share in quality.by_draws.items()},
    }


def markdown(quality: Quality, name: str) -> str:
    """All figures, in tables."""
    parts = [
        _HEAD.format(name=name, chains=quality.chains, problems=quality.problems, steps=quality.steps),
        "## Which aggregation\n",
        _table(
            ("aggregation", "AUC within a problem", "AUC pooled", "best of all, accuracy"),
            (_ranking(each) for each in quality.rankings),
        ),
        _BEST.format(way=quality.best.value),
        "## What choosing buys\n",
        _table(
            (
                "difficulty",
                "problems",
                "chains each",
                "one chain",
                "majority",
                "best scored",
                "weighted vote",
                "oracle",
                "best scored over majority",
            ),
            (
                (
                    each.difficulty or "not said",
                    str(each.problems),
                    f"{each.chains:.1f}",
                    *map(_share, (each.one, each.majority, each.chosen, each.weighted, each.oracle)),
                    f"{100 * each.gain.value:+.1f} points ({100 * each.gain.low:+.1f} to {100 * each.gain.high:+.1f})",
                )
                for each in quality.slices
            ),
        ),
        _table(
            ("chains drawn", "accuracy of the best scored"),
            ((str(draws), f"{share:.1%}") for draws, share in quality.by_draws.items()),
        ),
        *_calibration(quality),
    ]
    return "\n".join(parts)


def _calibration(quality: Quality) -> list[str]:
    if quality.calibration_error is None:
        return []
    rows = (
        (f"{each.low:.1f} to {each.high:.1f}", str(each.steps), f"{each.mean_score:.3f}", f"{each.mean_value:.3f}")
        for each in quality.bins
    )
    return [
        "## Calibration of steps\n",
        _table(("score", "steps", "mean score", "mean label"), rows),
        f"Expected calibration error: {quality.calibration_error:.3f}\n",
    ]


def _ranking(each: Ranking) -> tuple[str, ...]:
    within = "no problem has both right and wrong chains" if each.auc_within is None else _figure(each.auc_within)
    pooled = "" if each.auc_pooled is None else f"{each.auc_pooled:.3f}"
    return (f"`{each.way.value}`", within, pooled, _share(each.best_of_all))


def _share(each: Estimate) -> str:
    return f"{each.value:.1%} ({each.low:.1%} to {each.high:.1%})"


def _figure(each: Estimate) -> str:
    return f"{each.value:.3f} ({each.low:.3f} to {each.high:.3f}), {each.problems} problems"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"
