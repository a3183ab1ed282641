"""The learned classifier: from a prompt to its category and to who is likely to succeed at it.

Two linear maps over the same vector. The first gives the category. The second gives the cell, the
finest kind of work in the training data, by way of a few sums that cells are told from; the
empirical-Bayes success rates of the cells that a prompt may belong to, averaged, are corrected by a few
features inside the family of cells, where difficulty depends on more than the kind of work. Cells carry
nearly all that is known of success, text features little more (measured in training_report.md).

What is asked in a prompt is never obeyed here: its text ends in closed labels and numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from math import exp, log
from pathlib import Path
from typing import Self

import numpy as np

from gateway.difficulty.embedding import DIMENSIONS, StaticEmbedding
from gateway.difficulty.features import DIFFICULTY, FEATURES, measure
from gateway.difficulty.weights import Floats, Weights, read_weights
from gateway.domain.excerpt import excerpt
from gateway.domain.prediction import Anchor, Category, Prediction, Prompt, Source

SHIPPED = Path(str(files("gateway.difficulty").joinpath("weights.npz")))
FURTHEST = 5.0
"""Standardised features are cut here: a prompt of a thousand lines is not a thousand times as much anything."""
HAND_SCALE = 0.3
EMBEDDING_SCALE = 2.0
"""These two make regularisation weigh hand features and the embedding alike."""
LEAST_CONFIDENCE = 0.2
"""Below this no category is named: the prompt is ``other``."""
LEAST_KNOWN = 0.5
"""Success is predicted where at least this much of a prompt's probability lies in cells with recorded answers."""
RATE_MARGIN = 0.01
"""Rates are kept this far from 0 and 1 before their logit is taken."""
_REMEMBERED = 2048
"""Texts; some 4 MB when full, of 1,500 characters each."""
_NEGLIGIBLE = 1e-6
"""A family that a prompt belongs to no more than this is left out."""
CELL_FEATURES = len(FEATURES) + DIMENSIONS
"""Cells are told from the hand features and the whole text; where the instruction stands says nothing of them."""
_DIFFICULTY = [FEATURES.index(name) for name in DIFFICULTY]
_ANCHORS = tuple(Anchor)
_ONE = np.ones(1, dtype=np.float32)
_NOTHING_ASKED = Prediction(category=Category.OTHER, confidence=0.0, source=Source.LEARNED)


@dataclass(frozen=True, slots=True)
class Judgement:
    """All that the model computes of one prompt, for training and for reports."""

    categories: Floats
    """By category; the last belongs to none."""
    cells: Floats
    success: Floats | None
    """By anchor, in the order of :class:`Anchor`; None where too little is known."""


class Learned:
    """The learned classifier; immutable, so any thread may use it, and the same prompt always gives the same answer."""

    def __init__(self, weights: Weights, embedding: StaticEmbedding) -> None:
        self.weights = weights
        self._embedding = embedding
        self._other = weights.categories.index(Category.OTHER)
        self._remembering = lru_cache(maxsize=_REMEMBERED)(self._classify)
        members = _family_members(weights)
        anchors = (members * weights.rates[:, number] for number in range(len(_ANCHORS)))
        self._family_map = np.concatenate((members, *anchors))
        """(share, then rate by anchor; of each family) by cell."""
        self._slopes = weights.experts[..., 0].reshape(-1).tolist()
        self._offsets = weights.experts[..., 1].reshape(-1).tolist()
        # A step over arrays costs more than most sums in it. So all maps over what cells are told from are one, over
        # hand features as measured, a one for the bias, and the text: how features are standardised and scaled is in
        # the map already, and only the far ones are left to be cut.
        self._least = weights.mean - np.float32(FURTHEST) * weights.scale
        self._most = weights.mean + np.float32(FURTHEST) * weights.scale
        self._first_category = len(weights.directions)
        self._first_expert = self._first_category + len(weights.category_bias)
        experts = np.zeros((len(weights.families) * len(_ANCHORS), CELL_FEATURES), dtype=np.float32)
        experts[:, _DIFFICULTY] = weights.experts[..., 2:].reshape(-1, len(DIFFICULTY)) / np.float32(HAND_SCALE)
        maps = np.concatenate((weights.directions, weights.category_map[:, :CELL_FEATURES], experts))
        bias = np.zeros(len(maps), dtype=np.float32)
        bias[self._first_category : self._first_expert] = weights.category_bias
        hand_map = maps[:, : len(FEATURES)] * (np.float32(HAND_SCALE) / weights.scale)
        text_map = maps[:, len(FEATURES) :] * np.float32(EMBEDDING_SCALE)
        self._map = np.column_stack((hand_map, bias - hand_map @ weights.mean, text_map))
        self._ends_map = np.ascontiguousarray(weights.category_map[:, CELL_FEATURES:] * np.float32(EMBEDDING_SCALE))

    @classmethod
    def load(cls, path: Path = SHIPPED) -> Self:
        """From a file of weights; raises :class:`gateway.errors.ConfigurationError` if it cannot be used."""
        return cls(read_weights(path), StaticEmbedding.load())

    def classify(self, prompt: Prompt) -> Prediction:
        """The category of a prompt, how sure that is, and P(success) by anchor where answers are on record.

        The latest texts are remembered: through the tool calls of an agent the last ask in words stays the same.
        """
        return self._remembering(excerpt(prompt.text))

    def _classify(self, text: str) -> Prediction:
        if not text.strip():
            return _NOTHING_ASKED
        shares, _, success = self._computed(text)
        confidence = max(shares)
        best = shares.index(confidence)
        if best == len(self.weights.categories) or confidence < LEAST_CONFIDENCE:
            return Prediction(Category.OTHER, shares[self._other], Source.LEARNED)
        by_anchor: dict[str, float] = {} if success is None else dict(zip(_ANCHORS, success, strict=True))
        return Prediction(self.weights.categories[best], confidence, Source.LEARNED, by_anchor)

    def judge(self, text: str) -> Judgement:
        """What the model computes of a text."""
        categories, cells, success = self._computed(excerpt(text))
        return Judgement(
            categories=np.array(categories, dtype=np.float32),
            cells=cells / cells.sum(),
            success=None if success is None else np.array(success, dtype=np.float32),
        )

    def _computed(self, text: str) -> tuple[list[float], Floats, list[float] | None]:
        """By category; in proportion by cell; and success by anchor."""
        embedded = self._embedding.embed(text)
        hand = np.maximum(np.minimum(measure(text), self._most), self._least)
        found = self._map @ np.concatenate((hand, _ONE, embedded[:DIMENSIONS]))
        first, behind = self._first_category, self._first_expert
        cells = self.weights.cell_map @ found[:first]
        cells += self.weights.cell_bias
        cells -= np.maximum.reduce(cells)
        np.exp(cells, out=cells)
        categories = softmax((found[first:behind] + self._ends_map @ embedded[DIMENSIONS:]).tolist())
        return categories, cells, self._success(cells, found[behind:].tolist())

    def _success(self, cells: Floats, corrections: list[float]) -> list[float] | None:
        """Success by anchor: what each family's expert makes of its cells' rate, as much as the prompt belongs there.

        In plain numbers: there are few of them, and each step over an array costs as much as all of them.
        """
        families = len(self.weights.families)
        sums = (self._family_map @ cells).tolist()
        shares = sums[:families]
        known = sum(shares[1:])  # the first family is that of cells without recorded answers
        if known < LEAST_KNOWN * (known + shares[0]):
            return None
        negligible = _NEGLIGIBLE * known
        success = [0.0] * len(_ANCHORS)
        for family in range(1, families):
            share = shares[family]
            if share < negligible:
                continue
            for anchor in range(len(_ANCHORS)):
                rate = sums[(anchor + 1) * families + family] / share
                rate = min(max(rate, RATE_MARGIN), 1 - RATE_MARGIN)
                place = family * len(_ANCHORS) + anchor
                logit = self._slopes[place] * log(rate / (1 - rate)) + self._offsets[place] + corrections[place]
                success[anchor] += share / (1 + exp(-logit))
        return [each / known for each in success]


def _family_members(weights: Weights) -> Floats:
    """(family, cell): 1 where a cell belongs to a family."""
    members = np.zeros((len(weights.families), len(weights.cells)), dtype=np.float32)
    members[weights.family_of_cell, np.arange(len(weights.cells))] = 1
    return members


def softmax(logits: Sequence[float]) -> list[float]:
    """Probabilities in proportion to the exponentials of a few ``logits``."""
    most = max(logits)
    exponentials = [exp(each - most) for each in logits]
    total = sum(exponentials)
    return [each / total for each in exponentials]
