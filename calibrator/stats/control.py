"""A control for a policy that chooses between arms: the same arms as often, dealt out as evenly as a log can tell."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import ArrayLike

from calibrator.stats.results import Floats

_TURNS: Final = 10_000
_CLOSE: Final = 1e-9


def shuffled(chances: ArrayLike, counts: ArrayLike) -> Floats:
    """Chances under which every arm is drawn as often as before, and as little by what is asked as can be.

    ``chances`` has a row for each kind of request and a column per arm, ``counts`` how many requests are of each
    kind. Only arms that a kind had a chance of get one, so that a log of the old chances reaches all that the new
    ones do; where every kind had every arm, each row becomes the arms' shares. Of all such tables it is the one
    nearest to an even one in relative entropy (Csiszár 1975), found by iterative proportional fitting (Deming and
    Stephan 1940); the old chances are such a table too, so there always is one.
    """
    old, count = np.asarray(chances, np.float64), np.asarray(counts, np.float64)
    if old.ndim != 2 or count.shape != old.shape[:1]:  # noqa: PLR2004 - rows and columns
        raise ValueError(f"every row of chances has a count; there are {old.shape} and {count.shape}")
    totals = count @ old
    new: Floats = (old > 0).astype(np.float64)
    for _ in range(_TURNS):
        new /= new.sum(axis=1, keepdims=True)
        found = count @ new
        if np.abs(found - totals).max() <= _CLOSE * max(count.sum(), 1.0):
            break
        new *= np.divide(totals, found, out=np.zeros_like(totals), where=found > 0)
    new /= new.sum(axis=1, keepdims=True)
    return new
