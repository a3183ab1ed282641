"""Tests of calibrator/stats/noninferiority.py."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom, multinomial, norm

from calibrator.stats.noninferiority import PairedCounts, bound_loss, refute_loss


@pytest.mark.parametrize(
    ("items", "losses", "gains", "margin"),
    [(12, 1, 2, 0.2), (12, 0, 0, 0.1), (20, 3, 1, 0.3), (20, 2, 6, 0.05), (25, 0, 4, 0.0), (15, 1, 6, -0.1)],
)
def test_p_value_is_the_largest_chance_over_the_nuisance(items: int, losses: int, gains: int, margin: float) -> None:
    """On small samples it is, to a thousandth or two, what enumerating every result gives."""
    brute = _largest_chance_by_enumeration(items, losses, gains, margin)
    ours = refute_loss(PairedCounts(items, losses, gains), margin)
    assert brute - 1e-9 <= ours.p_value <= brute + 0.0021
    assert (ours.estimate, ours.null, ours.sample_size) == ((losses - gains) / items, margin, items)


def test_without_disagreement_the_chance_is_that_of_no_loss() -> None:
    """Where nothing was lost or gained, the p-value is the chance of that at the margin, and the thousandth spent."""
    ours = refute_loss(PairedCounts(300, 0, 0), 0.01)
    assert ours.p_value == pytest.approx(binom.pmf(0, 300, 0.01) + 0.001, abs=6e-4)


def test_it_comes_to_the_normal_test_as_items_grow() -> None:
    """With twenty thousand items the p-value is near that of the score test."""
    ours = refute_loss(PairedCounts(20_000, 1_000, 900), 0.008)
    variance = 1_900 / 20_000 - (100 / 20_000) ** 2
    assert ours.p_value == pytest.approx(norm.cdf((0.005 - 0.008) / (variance / 20_000) ** 0.5), abs=0.004)


def test_fewer_losses_and_more_gains_never_speak_less_clearly() -> None:
    """Turning a loss into agreement, or agreement into a gain, never raises the p-value beyond its precision."""
    for losses in range(1, 12, 2):
        for gains in range(0, 12, 3):
            p_value = refute_loss(PairedCounts(150, losses, gains), 0.03).p_value
            assert refute_loss(PairedCounts(150, losses - 1, gains), 0.03).p_value <= p_value + 0.0016
            assert refute_loss(PairedCounts(150, losses, gains + 1), 0.03).p_value <= p_value + 0.0016


@pytest.mark.parametrize("counts", [PairedCounts(400, 20, 18), PairedCounts(100, 0, 0), PairedCounts(60, 5, 30)])
def test_all_margins_from_the_bound_on_are_refuted(counts: PairedCounts) -> None:
    """The bound and a range of margins above it are refuted, and one a little below is not."""
    bound = bound_loss(counts, 0.9)
    spread = (counts.losses + counts.gains + 1) ** 0.5 / counts.items
    above = bound.upper + spread * np.linspace(0, 1, 9)
    assert all(refute_loss(counts, float(margin)).p_value <= 0.1 for margin in above)
    below = bound.upper - 0.01 * spread * np.linspace(0.2, 1, 5)
    assert any(refute_loss(counts, float(margin)).p_value > 0.1 for margin in below)
    assert (bound.lower, bound.estimate) == (-1, counts.loss)


def test_bounds_reach_the_ends_of_the_range() -> None:
    """Where every item was lost the bound is 1, and where every one was gained it is near -1."""
    assert bound_loss(PairedCounts(5, 5, 0), 0.9).upper == 1
    assert -1 < bound_loss(PairedCounts(200, 0, 200), 0.9).upper < -0.95
    assert bound_loss(PairedCounts(40, 0, 0), 0.2).upper < bound_loss(PairedCounts(40, 0, 0), 0.9).upper


def test_impossible_counts_and_margins_are_refused() -> None:
    """More disagreements than items, no items, and margins beyond the range raise ValueError."""
    for items, losses, gains in ((0, 0, 0), (5, 3, 3), (5, -1, 0)):
        with pytest.raises(ValueError, match="cannot be"):
            PairedCounts(items, losses, gains)
    for margin in (-1.0, 1.0):
        with pytest.raises(ValueError, match="between -1 and 1"):
            refute_loss(PairedCounts(5, 0, 0), margin)


def _largest_chance_by_enumeration(items: int, losses: int, gains: int, margin: float) -> float:
    """The p-value as defined: all results as extreme, over a fine grid of the chance of a gain, plus 0.001."""
    lost, gained = (part.ravel() for part in np.mgrid[0 : items + 1, 0 : items + 1])
    lost, gained = lost[lost + gained <= items], gained[lost + gained <= items]
    scores = np.array([_score(items, int(a), int(b), margin) for a, b in zip(lost, gained, strict=True)])
    extreme = scores <= _score(items, losses, gains, margin) + 1e-9
    results = np.stack((lost, gained, items - lost - gained), axis=1)[extreme]
    low = _lower_limit(gains, items, 0.0005)
    high = 1 - _lower_limit(items - gains, items, 0.0005)
    least, most = max(0.0, -margin), (1 - margin) / 2
    grid = np.linspace(min(max(low, least), most), max(min(high, most), least), 801)
    chances = [multinomial(items, (g + margin, g, 1 - 2 * g - margin)).pmf(results).sum() for g in grid]
    return float(min(1.0, max(chances) + 0.001))


def _lower_limit(successes: int, trials: int, risk: float) -> float:
    """The lower limit of Clopper and Pearson, by halving."""
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if binom.sf(successes - 1, trials, middle) < risk else (low, middle)
    return low if successes else 0.0


def _score(items: int, losses: int, gains: int, margin: float) -> float:
    """Nam's score, its restricted estimate found by searching the likelihood rather than in closed form."""
    grid = np.linspace(max(0.0, -margin), (1 - margin) / 2, 20_001)
    with np.errstate(divide="ignore", invalid="ignore"):
        likelihood = sum(
            np.where(count > 0, count * np.log(np.maximum(chance, 0)), 0.0)
            for count, chance in (
                (losses, grid + margin),
                (gains, grid),
                (items - losses - gains, 1 - 2 * grid - margin),
            )
        )
    gain = grid[int(np.argmax(likelihood))]
    variance = items * (2 * gain + margin - margin * margin)
    distance = losses - gains - items * margin
    return float(distance / variance**0.5) if variance > 1e-12 else float(np.sign(distance) * 1e9)
