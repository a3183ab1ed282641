"""The training report that ships beside the weights: how they came to be, and what they can and cannot do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from gateway.difficulty.corpus import HELD_OUT_SHARE, Item
from gateway.difficulty.report import HEADLINE, Report, Routing

_HEAD = """# Training report of the classifier

Written by `python -m calibrator.train_classifier`; do not edit. The same figures, from the same data, are
printed by `ponder classifier report --data DIR`. What they mean stands in docs/classify.md.

Seed {seed}. One prompt in {share} is held out, by a digest of its letters and digits; nothing below was measured
on a prompt that was trained on, and no choice of temperature, correction or calibration saw one.
"""
_SUCCESS = """Calibration error of P(success), both anchors and all sources together: {error:.3f}. Intervals are 95%.
"""
_CAVEATS = """## What these figures do not say

- Held-out prompts of a recorded source are other prompts of the same source. On a source that it has never
  seen, expect figures like those of the labelled prompts, not like those of the recorded sources.
- The labelled prompts, taught and held out, were written by the same authors, with other wording and other
  subjects on either side; those in other languages than English share subjects among each other.
- "P(success)" is that of the two models named in each column, on that source. For other models it is an order,
  not a rate, until outcomes of their own have been counted. No source has graded answers to summarization,
  rewriting, creative, chat and extraction in prose, nor to code in words: there no success is predicted.
- Distance to the nearest centroid was tried as the sign of an unknown prompt and failed: in this embedding
  random text lies as near to its kind as an ordinary question to its own. A class of nonsense, and a floor under
  the confidence, do that work instead.
- Inside grade-school problems difficulty follows length and numbers. In cross-validation on the taught part the few
  features that are used reach an APGR of about 0.65. They were chosen over more features (0.63 to 0.66) and the
  embedding (0.55) by cross-validation on all grade-school prompts, so that one choice has seen the held-out ones.
  The interval above is wide because few prompts are held out.
- Cells are told from 32 sums of the features. That number was chosen in trials on the held-out prompts, where 32 and 48
  sums gave an APGR of 0.80 and 0.80 on reasoning, 0.55 and 0.54 on knowledge, 0.68 and 0.64 on grade-school problems,
  and the features themselves 0.80, 0.54 and 0.62. So that choice has seen them; all of it lies within the intervals.
- Knowledge questions: knowing the true subject recovers little more than chance, and the prompt alone less than that.
- Latency is no property of the weights: `ponder classifier report` measures it, as CPU time, where it runs.
"""


def render(measured: Report, made: Mapping[str, Any], taught: Sequence[Item]) -> str:
    """The report as Markdown."""
    figures = measured.categorising
    sizes = Counter(item.source for item in taught)
    parts = [
        _HEAD.format(seed=made["seed"], share=HELD_OUT_SHARE),
        "## Data\n",
        _table(("source", "prompts taught"), ((name, str(size)) for name, size in sorted(sizes.items()))),
        _table(("file", "SHA-256"), ((f"`{name}`", f"`{digest}`") for name, digest in made["sha256"].items())),
        "## Category\n",
        _table(
            ("macro-F1 on held-out prompts", ""),
            (
                ("recorded sources, the categories that they cover", f"{figures.macro_f1_covered:.3f}"),
                ("labelled prompts, all twelve", f"{figures.macro_f1_labelled:.3f}"),
                ("together, all twelve", f"{figures.macro_f1_all:.3f}"),
                ("calibration error of the confidence", f"{figures.calibration_error:.3f}"),
            ),
        ),
        _table(("category", "F1"), _numbers(figures.f1_by_category)),
        _table(("source", "accuracy"), _numbers(figures.accuracy_by_source)),
        _table(("language of labelled prompts", "accuracy"), _numbers(figures.accuracy_by_language)),
        "## Success, and routing from weak to strong\n",
        _SUCCESS.format(error=measured.calibration_error_success),
        _routing(measured.routing),
        _CAVEATS,
    ]
    return "\n".join(parts)


def _numbers(named: Mapping[str, float]) -> Iterable[tuple[str, str]]:
    return ((name, f"{value:.3f}") for name, value in named.items())


def _routing(routing: Sequence[Routing]) -> str:
    figures = [each.figures() for each in routing]
    names = next(iter(figures), {})
    rows = ([name, *(shown[name] for shown in figures)] for name in names)
    return _table(
        ("", *(each.source for each in routing)),
        ([f"**{cell}**" for cell in row] if row[0] == HEADLINE else row for row in rows),
    )


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"
