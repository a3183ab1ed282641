"""Charts as inline SVG, drawn without a library, in the colours of the page they stand in: light or dark."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

_WIDTH: Final = 380
_HEIGHT: Final = 250
_LEFT: Final = 44
_RIGHT: Final = 12
_TOP: Final = 28
_BOTTOM: Final = 40
_LABEL_GAP: Final = 12
_LEAST: Final = 0.002
"""The share of the reference's cost at which cheaper arms are drawn as well."""
_TICKS: Final = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)


@dataclass(frozen=True, slots=True)
class Point:
    """An arm in a cell: what it costs beside the reference, how often it is right, and between which bounds."""

    label: str
    relative_cost: float
    accuracy: float
    lower: float
    upper: float
    is_chosen: bool
    is_reference: bool


def accuracy_by_cost(title: str, points: Sequence[Point], *, is_curve: bool = True) -> str:
    """Accuracy against relative cost, on a logarithmic axis, with the band of the intervals and the chosen point.

    Points that are no curve are not joined.
    """
    ordered = sorted(points, key=lambda point: (point.relative_cost, point.label))
    costs = [max(point.relative_cost, _LEAST) for point in ordered]
    left, right = math.log(min(costs) / 1.3), math.log(max(costs) * 1.9)
    bottom = math.floor(10 * min(point.lower for point in ordered)) / 10
    top = max(math.ceil(10 * max(point.upper for point in ordered)) / 10, bottom + 0.1)

    def x(cost: float) -> float:
        return _LEFT + (math.log(max(cost, _LEAST)) - left) / (right - left) * (_WIDTH - _LEFT - _RIGHT)

    def y(accuracy: float) -> float:
        return _HEIGHT - _BOTTOM - (accuracy - bottom) / (top - bottom) * (_HEIGHT - _TOP - _BOTTOM)

    drawn = [_text(_LEFT, 16, title, "start", kind="title")]
    drawn.append(_text((_LEFT + _WIDTH) / 2, _HEIGHT - 6, "cost, as a share of the reference's", "middle"))
    for level in _levels(bottom, top):
        drawn.append(f'<path class="grid" d="M{_LEFT} {y(level):.1f}H{_WIDTH - _RIGHT}"/>')
        drawn.append(_text(_LEFT - 5, y(level) + 4, f"{level:.0%}", "end"))
    for tick in (each for each in _TICKS if left <= math.log(each) <= right):
        drawn.append(f'<path class="grid" d="M{x(tick):.1f} {_TOP}V{_HEIGHT - _BOTTOM}"/>')
        drawn.append(_text(x(tick), _HEIGHT - _BOTTOM + 15, f"{tick:g}", "middle"))
    drawn += _curve(ordered, x, y) if is_curve else []
    heights = _spread([y(point.accuracy) for point in ordered])
    for point, height in zip(ordered, heights, strict=True):
        drawn += _point(point, x(point.relative_cost), height, y)
    return framed(_WIDTH, _HEIGHT, title, drawn)


_Scale = Callable[[float], float]


def _curve(ordered: Sequence[Point], x: _Scale, y: _Scale) -> list[str]:
    upper = [f"{x(point.relative_cost):.1f} {y(point.upper):.1f}" for point in ordered]
    lower = [f"{x(point.relative_cost):.1f} {y(point.lower):.1f}" for point in reversed(ordered)]
    along = [f"{x(point.relative_cost):.1f} {y(point.accuracy):.1f}" for point in ordered]
    band = f'<path class="band" d="M{"L".join(upper + lower)}Z"/>'
    return [band, f'<path class="line" d="M{"L".join(along)}"/>']


def _point(point: Point, at: float, height: float, y: _Scale) -> list[str]:
    level = y(point.accuracy)
    is_right = at > (_WIDTH + _LEFT) / 2
    drawn = [
        f'<path class="whisker" d="M{at:.1f} {y(point.lower):.1f}V{y(point.upper):.1f}"/>',
        f'<circle class="{_kind(point)}" cx="{at:.1f}" cy="{level:.1f}" r="4"/>',
        _text(at + (-11 if is_right else 11), height + 4, point.label, "end" if is_right else "start"),
    ]
    return [*drawn, f'<circle class="ring" cx="{at:.1f}" cy="{level:.1f}" r="8"/>'] if point.is_chosen else drawn


def _kind(point: Point) -> str:
    return "chosen" if point.is_chosen else "reference" if point.is_reference else "arm"


@dataclass(frozen=True, slots=True)
class Bar:
    """A named value with the bounds around it, if there are any."""

    label: str
    value: float
    lower: float | None = None
    upper: float | None = None


def bars(title: str, rows: Sequence[Bar], *, mark: float | None = None, unit: str = "") -> str:
    """Values as bars from zero, with a line at ``mark``."""
    ends = [0.0, *(each.value for each in rows), *(each.upper or 0.0 for each in rows), *([mark] if mark else [])]
    low, high = min(ends), max(*ends, 1e-9)
    name_width, step = 250, 22
    width, height = 760, _TOP + step * len(rows) + 24

    def x(value: float) -> float:
        return name_width + (value - low) / (high - low) * (width - name_width - 70)

    drawn = [_text(0, 16, title, "start", kind="title")]
    for number, row in enumerate(rows):
        top = _TOP + 4 + number * step
        begin, end = sorted((x(0.0), x(row.value)))
        drawn.append(_text(name_width - 8, top + 12, row.label, "end"))
        drawn.append(f'<rect class="bar" x="{begin:.1f}" y="{top}" width="{max(end - begin, 1):.1f}" height="14"/>')
        reach = end
        if row.lower is not None and row.upper is not None:
            drawn.append(f'<path class="whisker" d="M{x(row.lower):.1f} {top + 7}H{x(row.upper):.1f}"/>')
            reach = max(reach, x(row.upper))
        drawn.append(_text(reach + 6, top + 12, f"{row.value:.3g}{unit}", "start"))
    if mark is not None:
        drawn.append(f'<path class="mark" d="M{x(mark):.1f} {_TOP}V{height - 20}"/>')
        drawn.append(_text(x(mark), height - 6, f"target {mark:g}{unit}", "middle"))
    return framed(width, height, title, drawn)


def framed(width: float, height: float, title: str, drawn: Sequence[str]) -> str:
    """The SVG of what was drawn."""
    body = "\n".join(drawn)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" role="img" '
        f'aria-label="{escape(title)}">\n{body}\n</svg>\n'
    )


STYLE: Final = """text{fill:var(--soft);font:11px system-ui,sans-serif}
.title{fill:var(--ink);font-weight:600;font-size:13px}
.grid{stroke:var(--rule);fill:none}.line{stroke:var(--soft);fill:none}.band{fill:var(--accent);opacity:.13}
.whisker{stroke:var(--soft);fill:none;stroke-width:1.5}.arm{fill:var(--soft)}.reference{fill:var(--ink)}
.chosen{fill:var(--accent)}.ring{fill:none;stroke:var(--accent);stroke-width:2}.bar{fill:var(--accent)}
.mark{stroke:var(--warn);fill:none;stroke-dasharray:4 3}"""
"""Of every chart, in terms of the page's colours."""


def standalone(chart: str) -> str:
    """A chart as a file of its own, which brings its colours along for light and dark pages."""
    start = chart.index(">") + 1
    return f"{chart[:start]}<style>{COLOURS}{STYLE}</style>{chart[start:]}"


COLOURS: Final = (
    ":root{--paper:#fff;--ink:#1f2328;--soft:#59636e;--rule:#d1d9e0;--accent:#0969da;--warn:#bc4c00}\n"
    "@media(prefers-color-scheme:dark){:root{--paper:#0d1117;--ink:#f0f6fc;--soft:#9198a1;--rule:#3d444d;"
    "--accent:#4493f8;--warn:#f0883e}}\n"
)
"""Of pages and charts, by light and dark."""


def _text(x: float, y: float, said: str, anchor: str, *, kind: str = "") -> str:
    named = f' class="{kind}"' if kind else ""
    return f'<text{named} x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(said)}</text>'


def _levels(bottom: float, top: float) -> list[float]:
    step = 0.1 if top - bottom <= 0.5 else 0.2  # noqa: PLR2004 - five lines or fewer
    count = round((top - bottom) / step)
    return [bottom + step * number for number in range(count + 1) if bottom + step * number <= top + 1e-9]


def _spread(heights: Sequence[float]) -> list[float]:
    """Heights of labels, moved down where two would stand in one another."""
    spread = list(heights)
    last = -math.inf
    for place in sorted(range(len(heights)), key=heights.__getitem__):
        last = spread[place] = max(heights[place], last + _LABEL_GAP)
    return spread
