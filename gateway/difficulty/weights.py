"""What the classifier has learned: arrays with names, and how they came to be."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gateway.difficulty.features import FEATURES
from gateway.errors import ConfigurationError

Floats = NDArray[np.float32]
FORMAT = 2


@dataclass(frozen=True, slots=True)
class Weights:
    """Linear maps over one vector: the hand features, standardised, then the embedding.

    The last row of ``category_map`` belongs to no category: it stands for texts that ask for nothing known.
    Cells are the finest kinds of work that sources name. Cells of one source are a family; family 0
    holds those without recorded answers.
    """

    mean: Floats
    scale: Floats
    category_map: Floats
    category_bias: Floats
    directions: Floats
    """The few sums of the vector's beginning that cells are told from; ``cell_map`` is over them."""
    cell_map: Floats
    cell_bias: Floats
    rates: Floats
    """(cell, anchor): empirical-Bayes success rates, zero in family 0."""
    family_of_cell: NDArray[np.int32]
    experts: Floats
    """(family, anchor): slope on the logit of the cells' rate, offset, then one weight for each of ``DIFFICULTY``."""
    categories: tuple[str, ...]
    cells: tuple[str, ...]
    families: tuple[str, ...]
    made: Mapping[str, Any]
    """How the weights were trained: seed, digests of the data, the split."""


_TEXTS = ("categories", "cells", "families", "made")
ARRAYS = tuple(field.name for field in fields(Weights) if field.name not in _TEXTS)


def read_weights(path: Path) -> Weights:
    """The weights in a file; raises :class:`ConfigurationError` for one that is not of this version."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            head = json.loads(stored["head"].tobytes())
            arrays: dict[str, Any] = {name: _widened(stored[name]) for name in ARRAYS}
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as fault:
        raise ConfigurationError(f"{path} does not hold a classifier's weights ({type(fault).__name__})") from fault
    if head.get("format") != FORMAT or tuple(head.get("features", ())) != FEATURES:
        raise ConfigurationError(
            f"{path} was trained for another version of Ponder; train it anew, see docs/classify.md"
        )
    texts: dict[str, Any] = {name: tuple(head[name]) for name in ("categories", "cells", "families")}
    return Weights(**arrays, **texts, made=head["made"])


def _widened(array: NDArray[Any]) -> NDArray[Any]:
    """Numbers are stored at half precision and computed with at single."""
    return np.ascontiguousarray(array, dtype=np.float32 if array.dtype.kind == "f" else array.dtype)


def head_of(weights: Weights) -> bytes:
    """The part of a weights file that is text, as JSON."""
    head = {
        "format": FORMAT,
        "features": FEATURES,
        "categories": weights.categories,
        "cells": weights.cells,
        "families": weights.families,
        "made": dict(weights.made),
    }
    return json.dumps(head, ensure_ascii=False, sort_keys=True).encode()
