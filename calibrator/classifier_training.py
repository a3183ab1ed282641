"""Fitting the learned classifier: from a corpus to its weights, the same weights from the same seed.

Only items outside the held-out part are looked at, for anything. Temperature, correction and calibration
are fitted on predictions for folds that the maps did not see.
"""

from __future__ import annotations

import itertools
import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from calibrator.augmentation import nonsense, varied
from gateway.difficulty.classifier import CELL_FEATURES, EMBEDDING_SCALE, FURTHEST, HAND_SCALE, RATE_MARGIN
from gateway.difficulty.corpus import ANCHORS, Item
from gateway.difficulty.embedding import StaticEmbedding
from gateway.difficulty.features import DIFFICULTY, FEATURES, measure
from gateway.difficulty.weights import Floats, Weights
from gateway.domain.excerpt import excerpt
from gateway.domain.prediction import Anchor, Category

_CATEGORIES = tuple(category.value for category in Category)
_NOTHING = "nothing"
"""The class of texts that ask for nothing known; it stands behind the categories."""
_NONSENSE = 400
_COPIES = {
    "reasoning": 1.0,
    "knowledge": 0.3,
    "grade_school": 0.5,
    "math": 1.0,
    "real_user": 2.0,
    "chat_two_turn": 3.0,
    "labelled": 2.0,
}
"""Variations of each prompt that are trained on beside it: more where a source is small."""
_OPTIONS = 0.35
"""The share of questions that are also shown with the answers to choose from."""
_IMPORTANCE = {"labelled": 8.0, "real_user": 12.0, "chat_two_turn": 4.0}
"""Prompts that people wrote for a purpose weigh more than those that a benchmark generated."""
_COPY_IMPORTANCE = 0.5
_FOREIGN_IMPORTANCE = 2.0
"""Prompts that are not English, of which there are few."""
_CELL_POWER, _CATEGORY_POWER = -0.6, -0.5
"""How far large cells and large categories are kept from drowning small ones: 0 not at all, -1 fully."""
_RECORDED = frozenset(("math", "logic", "knowledge", "constraint", "planning"))
"""Categories in which every prompt is given the success of the recorded cells that it resembles most."""
_CATEGORY_C, _CELL_C, _EXPERT_C = 0.3, 4.0, 0.3
_DIRECTIONS = 32
_LEAST_SPREAD = 1e-6
"""Added to the variance of each feature, some of which hardly vary."""
_FOLDS = 5
_ITERATIONS = 60
"""Stopping early regularises too."""
_PRIOR = 4.0
"""Empirical Bayes: a cell's rate counts this many answers at its family's rate."""
_TEMPERATURES = np.linspace(0.6, 3.0, 49)
_TINY = 1e-9
_FURTHEST, _HAND_SCALE, _EMBEDDING_SCALE = map(np.float32, (FURTHEST, HAND_SCALE, EMBEDDING_SCALE))


@dataclass(frozen=True, slots=True)
class _Set:
    """Items with what is measured of them; behind the items given stand variations of them."""

    items: Sequence[Item]
    origin: NDArray[np.int64]
    """The item that each is a variation of; an item given is its own, and nonsense is nobody's."""
    hand: Floats
    embedded: Floats

    @property
    def is_given(self) -> NDArray[np.bool_]:
        """Whether an item is as its source has it."""
        own: NDArray[np.bool_] = self.origin == np.arange(len(self.origin))
        return own


def fit(items: Sequence[Item], embedding: StaticEmbedding, *, seed: int, made: Mapping[str, Any]) -> Weights:
    """Weights from the items given, all of which are trained on."""
    data = _measured(items, embedding, random.Random(seed))  # noqa: S311 - reproducible on purpose
    mean = data.hand.mean(0)
    scale = data.hand.std(0) + np.float32(1e-3)
    x = _combined(_standardised(data.hand, mean, scale), data.embedded)
    category_map, category_bias = _fit_categories(x, data, seed)
    taught = np.array([item.source in ANCHORS or item.labels[0] not in _RECORDED for item in data.items])
    cells, of_taught = np.unique([item.cell for item in itertools.compress(data.items, taught)], return_inverse=True)
    of_item = np.full(len(taught), -1)
    of_item[taught] = of_taught
    plain = x[:, :CELL_FEATURES]
    directions, cell_map, cell_bias = _fit_cells(plain[taught], of_taught, len(cells), _cell_importance(data)[taught])
    families = ("", *sorted(ANCHORS))
    family_of_cell, rates = _rates(data, of_item, len(cells), families)
    weights = Weights(
        mean=mean,
        scale=scale,
        category_map=category_map,
        category_bias=category_bias,
        directions=directions,
        cell_map=cell_map,
        cell_bias=cell_bias,
        rates=rates,
        family_of_cell=family_of_cell,
        experts=np.zeros((len(families), len(Anchor), 2 + len(DIFFICULTY)), dtype=np.float32),
        categories=_CATEGORIES,
        cells=tuple(map(str, cells)),
        families=families,
        made=made,
    )
    return replace(weights, experts=_experts(weights, data, _unseen_cells(plain, of_item, data, len(cells), seed)))


def _measured(items: Sequence[Item], embedding: StaticEmbedding, random_: random.Random) -> _Set:
    variations = list(_variations(items, random_))
    every = [*items, *(item for _, item in variations)]
    origin = np.array([*range(len(items)), *(number for number, _ in variations)])
    texts = [excerpt(item.text) for item in every]
    hand = np.stack([measure(text) for text in texts])
    return _Set(every, origin, hand, np.stack([embedding.embed(text) for text in texts]))


def _standardised(hand: Floats, mean: Floats, scale: Floats) -> Floats:
    """Hand features in standard deviations from their mean, the far ones cut."""
    far: Floats = np.clip((hand - mean) / scale, -_FURTHEST, _FURTHEST)
    return far


def _combined(hand: Floats, embedded: Floats) -> Floats:
    """The vectors, one a row, that the maps are over."""
    joined: Floats = np.concatenate((hand * _HAND_SCALE, embedded * _EMBEDDING_SCALE), axis=-1)
    return joined


def _softmax(logits: Floats) -> Floats:
    """Probabilities in proportion to the exponentials of ``logits``."""
    shares: Floats = np.exp(logits - logits.max())
    shares /= shares.sum()
    return shares


def _variations(items: Sequence[Item], random_: random.Random) -> Iterator[tuple[int, Item]]:
    for number, item in enumerate(items):
        if item.with_options and random_.random() < _OPTIONS:
            yield number, replace(item, text=item.with_options)
        copies = _COPIES[item.source]
        for _ in range(int(copies) + (random_.random() < copies % 1)):
            yield number, replace(item, text=varied(item.text, random_))
    words = sorted({word for item in items if item.source == "labelled" for word in item.text.split()})
    for text in nonsense(_NONSENSE, words, random_):
        yield -1, Item(source=_NOTHING, text=text, labels=(_NOTHING,), cell=_NOTHING, is_held_out=False)


def _linear(x: Floats, labels: NDArray[Any], classes: int, weights: Floats, strength: float) -> tuple[Floats, Floats]:
    fitted = LogisticRegression(C=strength, max_iter=_ITERATIONS, tol=1e-3).fit(x, labels, sample_weight=weights)
    coefficients = np.zeros((classes, x.shape[1]), dtype=np.float32)
    bias = np.full(classes, -30.0, dtype=np.float32)  # a class without items in this fold is never predicted
    coefficients[fitted.classes_], bias[fitted.classes_] = fitted.coef_, fitted.intercept_
    return coefficients, bias


def _folds(keys: Sequence[str], data: _Set, seed: int) -> NDArray[np.int64]:
    """A fold for each item. Equal keys share one, and so do an item and its variations; nonsense is in none."""
    distinct = sorted(set(keys))
    shuffled = np.random.default_rng(seed).permutation(len(distinct)) % _FOLDS
    fold_of = dict(zip(distinct, shuffled, strict=True))
    folds = np.array([fold_of[key] for key in keys])[data.origin]
    return np.where(data.origin < 0, -1, folds)


def _fit_categories(x: Floats, data: _Set, seed: int) -> tuple[Floats, Floats]:
    """The category map, divided by the temperature that makes its probabilities true on kinds that it has not seen."""
    names = (*_CATEGORIES, _NOTHING)
    labels = np.array([names.index(item.labels[0]) for item in data.items])
    weights = _category_importance(data)
    logits = np.zeros((len(labels), len(names)), dtype=np.float32)
    folds = _folds([item.cell if item.source == "reasoning" else item.text for item in data.items], data, seed)
    for fold in range(_FOLDS):
        seen = folds != fold
        coefficients, bias = _linear(x[seen], labels[seen], len(names), weights[seen], _CATEGORY_C)
        logits[~seen] = x[~seen] @ coefficients.T + bias
    given = data.is_given
    right = np.array([[name in item.labels for name in names] for item in data.items])
    temperature = np.float32(_temperature(logits[given], right[given], weights[given]))
    coefficients, bias = _linear(x, labels, len(names), weights, _CATEGORY_C)
    return coefficients / temperature, bias / temperature


def _temperature(logits: Floats, right: NDArray[np.bool_], weights: Floats) -> float:
    """The one under which the labels, any of those that are right, are likeliest."""

    def loss(temperature: float) -> float:
        raised = np.exp((logits - logits.max(1, keepdims=True)) / temperature)
        likelihoods = np.log((raised * right).sum(1) / raised.sum(1) + _TINY)
        return -float((weights * likelihoods).sum())

    return float(min(_TEMPERATURES, key=loss))


def _category_importance(data: _Set) -> Floats:
    sizes = Counter(item.cell for item in data.items)
    raw = np.array([sizes[item.cell] ** _CELL_POWER * _IMPORTANCE.get(item.source, 1.0) for item in data.items])
    raw *= np.where(data.is_given, 1.0, _COPY_IMPORTANCE)
    raw *= np.array([1.0 if item.language == "en" else _FOREIGN_IMPORTANCE for item in data.items])
    totals: dict[str, float] = {}
    for item, weight in zip(data.items, raw, strict=True):
        totals[item.labels[0]] = totals.get(item.labels[0], 0.0) + float(weight)
    raw *= np.array([totals[item.labels[0]] ** _CATEGORY_POWER for item in data.items])
    balanced: Floats = (raw / raw.mean()).astype(np.float32)
    return balanced


def _cell_importance(data: _Set) -> Floats:
    return np.where(data.is_given, 1.0, _COPY_IMPORTANCE).astype(np.float32)


def _fit_cells(x: Floats, labels: NDArray[Any], cells: int, weights: Floats) -> tuple[Floats, Floats, Floats]:
    """The few directions that tell the cells apart best, and the map and bias of the cells over those alone.

    A map of every cell over every feature is larger than what a core keeps at hand, and reading it is most of its
    cost. The directions are those in which such a map, fitted first, says most of these texts.
    """
    whole, _ = _linear(x, labels, cells, weights, _CELL_C)
    mean = x.mean(0)
    centred = (x - mean).astype(np.float64)
    spread = np.linalg.cholesky(centred.T @ centred / len(x) + _LEAST_SPREAD * np.eye(x.shape[1]))
    _, sizes, ways = np.linalg.svd((whole - whole.mean(0)) @ spread, full_matrices=False)
    said = ways[:_DIRECTIONS] * np.sqrt(sizes[:_DIRECTIONS, np.newaxis])
    directions = np.linalg.solve(spread.T, said.T).T.astype(np.float32)
    cell_map, bias = _linear((x - mean) @ directions.T, labels, cells, weights, _CELL_C)
    return directions, cell_map, bias - cell_map @ (directions @ mean)


def _unseen_cells(x: Floats, of_item: NDArray[Any], data: _Set, cells: int, seed: int) -> Floats:
    """The cells' probabilities for the items given, from maps that saw neither them nor any variation."""
    folds = _folds([item.text for item in data.items], data, seed)
    importance = _cell_importance(data)
    found = np.zeros((len(x), cells), dtype=np.float32)
    for fold in range(_FOLDS):
        ours = (folds == fold) & data.is_given
        seen = (folds != fold) & (of_item >= 0) & data.is_given
        directions, cell_map, bias = _fit_cells(x[seen], of_item[seen], cells, importance[seen])
        found[ours] = np.stack([_softmax(row) for row in x[ours] @ directions.T @ cell_map.T + bias])
    return found


def _answers(item: Item) -> tuple[float | None, float | None]:
    return item.weak, item.strong


def _rates(
    data: _Set, of_item: NDArray[Any], cells: int, families: tuple[str, ...]
) -> tuple[NDArray[np.int32], Floats]:
    """The family of each cell, and its success rates by anchor, shrunk towards the family's."""
    family_of_cell = np.zeros(cells, dtype=np.int32)
    right = np.zeros((cells, len(Anchor)))
    count = np.zeros((cells, len(Anchor)))
    for item, cell, is_given in zip(data.items, of_item, data.is_given, strict=True):
        if item.source in ANCHORS:
            family_of_cell[cell] = families.index(item.source)
        for anchor, answer in enumerate(_answers(item)):
            if answer is not None and is_given:
                right[cell, anchor] += answer
                count[cell, anchor] += 1
    rates = np.zeros((cells, len(Anchor)), dtype=np.float32)
    for family in range(1, len(families)):
        ours = family_of_cell == family
        parent = right[ours].sum(0) / np.maximum(count[ours].sum(0), 1)
        rates[ours] = (right[ours] + _PRIOR * parent) / (count[ours] + _PRIOR)
    return family_of_cell, rates


def _experts(weights: Weights, data: _Set, unseen: Floats) -> Floats:
    """By family and anchor: a logistic regression on the logit of the cells' rate and on what tells difficulty."""
    experts = np.zeros_like(weights.experts)
    experts[:, :, 0] = 1
    chosen = [FEATURES.index(name) for name in DIFFICULTY]
    difficulty = _standardised(data.hand, weights.mean, weights.scale)[:, chosen]
    for family, source in enumerate(weights.families):
        members = weights.family_of_cell == family
        mine = np.array([item.source == source for item in data.items]) & data.is_given
        for anchor in range(len(Anchor)):
            answers = np.array([np.nan if (of := _answers(item)[anchor]) is None else of for item in data.items])
            rows = mine & ~np.isnan(answers)
            if not rows.any():
                continue
            shares = unseen[rows][:, members]
            rates = shares @ weights.rates[members, anchor] / np.maximum(shares.sum(1), np.float32(1e-9))
            rates = np.clip(rates, RATE_MARGIN, 1 - RATE_MARGIN)
            inputs = np.column_stack((np.log(rates / (1 - rates)), difficulty[rows]))
            experts[family, anchor] = _expert(inputs, answers[rows])
    return experts


def _expert(inputs: NDArray[Any], answers: NDArray[Any]) -> Floats:
    """Slope, offset and weights; an answer that is half right counts half as right and half as wrong."""
    x = np.vstack((inputs, inputs))
    right = np.repeat([1, 0], len(answers))
    weights = np.concatenate((answers, 1 - answers))
    fitted = LogisticRegression(C=_EXPERT_C, max_iter=1_000).fit(x, right, sample_weight=weights)
    slope, *others = fitted.coef_[0]
    return np.array([slope, fitted.intercept_[0], *others], dtype=np.float32)
