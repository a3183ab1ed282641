"""Charts as small SVG files, drawn without a library: accuracy against compute, on a logarithmic axis.

Their colours are legible on light and on dark pages.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

from tests.bench_search.figures import Estimate

_WIDTH: Final = 720
_HEIGHT: Final = 400
_LEFT: Final = 56
_RIGHT: Final = 16
_TOP: Final = 36
_BOTTOM: Final = 52
_INK: Final = "#7d8590"
_COLOURS: Final = ("#2f81f7", "#d29922", "#3fb950", "#db61a2", "#a371f7", "#f0883e")
_LABEL_GAP: Final = 11
_STEPS: Final = (1, 2, 5)


@dataclass(frozen=True, slots=True)
class Point:
    """One arm: what it computes, beside another, and how often it is right."""

    label: str
    compute: float
    accuracy: Estimate
    family: str


def chart(title: str, points: Sequence[Point]) -> str:
    """A chart of these points, with their intervals."""
    low, high = min(point.compute for point in points), max(point.compute for point in points)
    left, right = math.log(low / 1.15), math.log(high * 1.6)
    bottom = max(0.0, math.floor(10 * min(point.accuracy.low for point in points)) / 10)

    def place_x(compute: float) -> float:
        return _LEFT + (math.log(compute) - left) / (right - left) * (_WIDTH - _LEFT - _RIGHT)

    def place_y(accuracy: float) -> float:
        return _HEIGHT - _BOTTOM - (accuracy - bottom) / (1 - bottom) * (_HEIGHT - _TOP - _BOTTOM)

    families = list(dict.fromkeys(point.family for point in points))
    drawn = [
        _text(_WIDTH / 2, 20, title, "middle", size=14),
        _text(_WIDTH / 2, _HEIGHT - 10, "compute, as a multiple of greedy (logarithmic)", "middle"),
    ]
    for share in _shares(bottom):
        y = place_y(share)
        drawn.append(f'<path d="M{_LEFT} {y:.1f}H{_WIDTH - _RIGHT}" stroke="{_INK}" stroke-opacity=".25"/>')
        drawn.append(_text(_LEFT - 6, y + 4, f"{share:.0%}", "end"))
    for multiple in _multiples(low / 1.15, high * 1.6):
        x = place_x(multiple)
        drawn.append(f'<path d="M{x:.1f} {_TOP}V{_HEIGHT - _BOTTOM}" stroke="{_INK}" stroke-opacity=".25"/>')
        drawn.append(_text(x, _HEIGHT - _BOTTOM + 16, f"{multiple:g}×", "middle"))
    heights = _spread([place_y(point.accuracy.value) for point in points])
    for point, height in zip(points, heights, strict=True):
        colour = _COLOURS[families.index(point.family) % len(_COLOURS)]
        x, y = place_x(point.compute), place_y(point.accuracy.value)
        ends = f"M{x:.1f} {place_y(point.accuracy.high):.1f}V{place_y(point.accuracy.low):.1f}"
        drawn.append(f'<path d="{ends}" stroke="{colour}" stroke-opacity=".5"/>')
        drawn.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{colour}"/>')
        drawn.append(_text(x + 7, height + 4, point.label, "start", colour=colour))
    body = "\n".join(drawn)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" font-family="sans-serif" '
        f'role="img" aria-label="{escape(title)}">\n{body}\n</svg>\n'
    )


def _text(x: float, y: float, said: str, anchor: str, *, colour: str = _INK, size: int = 11) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}" font-size="{size}">{escape(said)}</text>'
    )


def _shares(bottom: float) -> list[float]:
    return [number / 10 for number in range(round(bottom * 10), 11)]


def _multiples(low: float, high: float) -> list[float]:
    """1, 2, 5, 10, 20, … within bounds."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    return [step * 10**power for power in powers for step in _STEPS if low <= step * 10**power <= high]


def _spread(heights: Sequence[float]) -> list[float]:
    """Heights of labels, moved down where two would stand in one another."""
    spread = list(heights)
    last = -math.inf
    for place in sorted(range(len(heights)), key=heights.__getitem__):
        last = spread[place] = max(heights[place], last + _LABEL_GAP)
    return spread
