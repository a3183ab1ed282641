"""How well the classifier does on prompts that its training never saw, beside what costs nothing to do.

Only held-out items are judged. Every figure of routing stands beside the mean of the source's own
category (taken from the items trained on), the same number of strong calls at random, and the oracle.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import numpy as np

from gateway.difficulty.classifier import Learned
from gateway.difficulty.corpus import ANCHORS, Item, read_corpus, read_labelled
from gateway.difficulty.metrics import Numbers, area_under_roc, calibration_error, f1, gap_recovered, macro_f1
from gateway.domain.excerpt import excerpt
from gateway.domain.prediction import Anchor, Category, Prediction, Prompt

HELD_OUT_PROMPTS = Path(str(files("gateway.difficulty").joinpath("held_out.jsonl")))
"""Labelled prompts for the categories that the sources lack, in twelve languages, none of them trained on."""
HEADLINE = "APGR by predicted gain"
"""The figure that the others stand beside to be compared with."""
_RESAMPLES = 200
_SEED = 1
_HALF = 0.5
"""An answer scored above this is right."""
_ENOUGH = 5
"""Languages and sources with fewer prompts are not shown apart."""


@dataclass(frozen=True, slots=True)
class Categorising:
    """Category against label; where several labels are right, any of them counts."""

    prompts: int
    macro_f1_covered: float
    """On the recorded sources, over the categories that they cover."""
    macro_f1_all: float
    """On the sources and the labelled prompts together, over all twelve."""
    macro_f1_labelled: float
    """On the labelled prompts alone, over all twelve."""
    calibration_error: float
    """Of ``confidence``, on everything."""
    f1_by_category: Mapping[str, float]
    accuracy_by_source: Mapping[str, float]
    accuracy_by_language: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Routing:
    """One source whose answers are on record: predicted success, and routing from weak to strong by predicted gain."""

    source: str
    weak: str
    strong: str
    prompts: int
    predicted: int
    """For how many a success was predicted; the others are ranked as no gain."""
    calibration_error_weak: float
    calibration_error_strong: float
    auc_weak: float
    """Of the predicted success of the weak one, against its answers."""
    auc_gain: float
    """Of the predicted gain, against the prompts that only the strong one gets right."""
    apgr: float
    apgr_95: tuple[float, float]
    """Bootstrap interval over the prompts."""
    apgr_category_mean: float
    apgr_cell_mean: float
    """Knowing each prompt's true cell (task and level): what a perfect recogniser would reach."""
    apgr_shuffled: float
    apgr_shuffled_95: tuple[float, float]
    apgr_oracle: float

    def figures(self) -> dict[str, str]:
        """Each figure by its name, in the words of every table that shows them."""
        return {
            "weak": self.weak,
            "strong": self.strong,
            "prompts": str(self.prompts),
            "with a predicted success": str(self.predicted),
            "calibration error, weak": f"{self.calibration_error_weak:.3f}",
            "calibration error, strong": f"{self.calibration_error_strong:.3f}",
            "AUC, weak is right": f"{self.auc_weak:.3f}",
            "AUC, only strong is right": f"{self.auc_gain:.3f}",
            HEADLINE: f"{self.apgr:.3f} {_span(self.apgr_95)}",
            "APGR by the category's mean": f"{self.apgr_category_mean:.3f}",
            "APGR knowing the true cell": f"{self.apgr_cell_mean:.3f}",
            "APGR shuffled, same cost": f"{self.apgr_shuffled:.3f} {_span(self.apgr_shuffled_95)}",
            "APGR of the oracle": f"{self.apgr_oracle:.3f}",
        }


@dataclass(frozen=True, slots=True)
class Report:
    """All figures of one classifier on one folder of data."""

    categorising: Categorising
    calibration_error_success: float
    """Of P(success) by both anchors, over all prompts whose answers are on record."""
    routing: tuple[Routing, ...]
    latency_ms_p50: float
    latency_ms_p99: float
    is_same_data: bool
    """Whether the folder holds the very files that the weights were trained on (their part of them)."""


def report(learned: Learned, folder: Path, clock: Callable[[], float] = time.thread_time) -> Report:
    """Judge the held-out part of a folder; ``clock`` tells seconds that one core worked."""
    corpus = read_corpus(folder)
    held = [item for item in corpus.items if item.is_held_out] + read_labelled(HELD_OUT_PROMPTS, is_held_out=True)
    seen = [item for item in corpus.items if not item.is_held_out]
    learned.classify(Prompt(held[0].text))
    predictions, spent = [], []
    for item in held:
        prompt = Prompt(excerpt(item.text))
        begun = clock()
        predictions.append(learned.classify(prompt))
        spent.append((clock() - begun) * 1000)
    return Report(
        categorising=_categorising(held, predictions),
        calibration_error_success=_calibration_error(held, predictions),
        routing=tuple(_routing(source, held, predictions, seen) for source in ANCHORS if _has_gap(source, held)),
        latency_ms_p50=float(np.percentile(spent, 50)),
        latency_ms_p99=float(np.percentile(spent, 99)),
        is_same_data=dict(corpus.digests) == dict(learned.weights.made.get("sha256", {})),
    )


def _categorising(items: Sequence[Item], predictions: Sequence[Prediction]) -> Categorising:
    predicted = [prediction.category for prediction in predictions]
    truth = [guess if guess in item.labels else item.labels[0] for guess, item in zip(predicted, items, strict=True)]

    def on(rows: Sequence[int]) -> float:
        labels = sorted({items[row].labels[0] for row in rows})
        return macro_f1(labels, [truth[row] for row in rows], [predicted[row] for row in rows])

    labelled = [row for row, item in enumerate(items) if item.source == "labelled"]
    recorded = [row for row, item in enumerate(items) if item.source != "labelled"]
    right = np.array([true == guess for true, guess in zip(truth, predicted, strict=True)], dtype=float)
    confidence = np.array([prediction.confidence for prediction in predictions])
    return Categorising(
        prompts=len(items),
        macro_f1_covered=on(recorded),
        macro_f1_all=on(range(len(items))),
        macro_f1_labelled=on(labelled),
        calibration_error=calibration_error(confidence, right),
        f1_by_category={category.value: f1(category.value, truth, predicted) for category in Category},
        accuracy_by_source=_means(right, [item.source for item in items]),
        accuracy_by_language=_means(right[labelled], [items[row].language for row in labelled]),
    )


def _means(values: Numbers, keys: Sequence[str]) -> dict[str, float]:
    named = np.array(keys)
    return {key: float(values[named == key].mean()) for key in sorted(set(keys)) if (named == key).sum() >= _ENOUGH}


def _is_paired(item: Item) -> bool:
    return item.weak is not None and item.strong is not None


def _calibration_error(items: Sequence[Item], predictions: Sequence[Prediction]) -> float:
    pairs = [
        (prediction.success[anchor], answer)
        for item, prediction in zip(items, predictions, strict=True)
        for anchor, answer in zip(Anchor, (item.weak, item.strong), strict=True)
        if answer is not None and anchor in prediction.success
    ]
    predicted, happened = np.array(pairs, dtype=float).reshape(-1, 2).T
    return calibration_error(predicted, happened)


def _has_gap(source: str, items: Sequence[Item]) -> bool:
    """Whether there is anything to recover: the strong one is right more often than the weak one."""
    paired = [item for item in items if item.source == source and _is_paired(item)]
    return sum((item.strong or 0.0) - (item.weak or 0.0) for item in paired) > 0


def _routing(source: str, held: Sequence[Item], predictions: Sequence[Prediction], seen: Sequence[Item]) -> Routing:
    chosen = [
        (item, prediction)
        for item, prediction in zip(held, predictions, strict=True)
        if item.source == source and _is_paired(item)
    ]
    items = [item for item, _ in chosen]
    known = np.array([bool(prediction.success) for _, prediction in chosen])
    weak, strong = (np.array([getattr(item, anchor) for item in items], dtype=float) for anchor in Anchor)
    hopes = np.array([[prediction.success.get(anchor, 0.0) for anchor in Anchor] for _, prediction in chosen])
    gain = hopes[:, 1] - hopes[:, 0]
    taught = [item for item in seen if item.source == source and _is_paired(item)]
    random_ = np.random.default_rng(_SEED)
    shuffled = [gap_recovered(weak, strong, random_.permutation(gain)) for _ in range(_RESAMPLES)]
    drawn = [random_.integers(len(items), size=len(items)) for _ in range(_RESAMPLES)]
    resampled = [
        gap_recovered(weak[rows], strong[rows], gain[rows]) for rows in drawn if (strong - weak)[rows].sum() > 0
    ]
    return Routing(
        source=source,
        weak=ANCHORS[source].weak,
        strong=ANCHORS[source].strong,
        prompts=len(items),
        predicted=int(known.sum()),
        calibration_error_weak=calibration_error(hopes[known, 0], weak[known]),
        calibration_error_strong=calibration_error(hopes[known, 1], strong[known]),
        auc_weak=area_under_roc(hopes[known, 0], weak[known] > _HALF),
        auc_gain=area_under_roc(gain, strong - weak > _HALF),
        apgr=gap_recovered(weak, strong, gain),
        apgr_95=_interval(resampled),
        apgr_category_mean=gap_recovered(weak, strong, _mean_gains(items, taught, lambda item: item.group)),
        apgr_cell_mean=gap_recovered(weak, strong, _mean_gains(items, taught, lambda item: item.cell)),
        apgr_shuffled=float(np.mean(shuffled)),
        apgr_shuffled_95=_interval(shuffled),
        apgr_oracle=gap_recovered(weak, strong, strong - weak),
    )


def _interval(values: Sequence[float]) -> tuple[float, float]:
    low, high = np.percentile(values, (2.5, 97.5))
    return float(low), float(high)


def _span(interval: tuple[float, float]) -> str:
    return f"({interval[0]:.3f} to {interval[1]:.3f})"


def _mean_gains(items: Sequence[Item], taught: Sequence[Item], key: Callable[[Item], str]) -> Numbers:
    """For each item the mean gain of the items trained on that share its key."""
    gains: dict[str, list[float]] = {}
    for item in taught:
        gains.setdefault(key(item), []).append((item.strong or 0.0) - (item.weak or 0.0))
    return np.array([float(np.mean(gains.get(key(item), [0.0]))) for item in items])
