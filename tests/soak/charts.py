"""A soak as a small SVG file, drawn without a library: latency and memory over its time, with what was done.

Its colours are legible on light and on dark pages.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from html import escape
from typing import Final

from tests.soak.report import Story, quantile_ms

_WIDTH: Final = 900
_LEFT, _RIGHT = 56, 12
_PANEL: Final = 150
_GAP: Final = 40
_TOP: Final = 30
_INK: Final = "#7d8590"
_P50, _P99 = "#2f81f7", "#d29922"
_MEMORY: Final = ("#3fb950", "#a371f7", "#db61a2")
_SLICE_S: Final = 10.0
_LEAST_MS: Final = 1.0


def chart(story: Story) -> str:
    """The run: quantiles of latency in slices of ten seconds, and each gateway's resident memory."""
    length = story.ended - story.began

    def across(at: float) -> float:
        return _LEFT + (at - story.began) / length * (_WIDTH - _LEFT - _RIGHT)

    height = _TOP + 2 * _PANEL + _GAP + 24
    shades = [
        f'<rect x="{across(each.began):.1f}" y="{_TOP}" width="{across(each.ended) - across(each.began):.1f}" '
        f'height="{2 * _PANEL + _GAP}" fill="{_INK}" fill-opacity=".13"><title>{escape(each.name)}</title></rect>'
        for each in story.troubles
    ]
    ticks = [
        _text(across(story.began + 60 * minute), height - 6, f"{minute} min", "middle")
        for minute in range(0, math.floor(length / 60) + 1, max(1, round(length / 600)))
    ]
    title = "Latency (ms, logarithmic: p50 blue, p99 yellow) and resident memory (MiB); shaded: a fault is on"
    parts = [_text(_WIDTH / 2, 16, title, "middle"), *shades, *ticks]
    body = "\n".join([*parts, *_latency(story, across), *_memory(story, across)])
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" font-family="sans-serif" '
        f'role="img" aria-label="{escape(title)}">\n{body}\n</svg>\n'
    )


def _latency(story: Story, across: Callable[[float], float]) -> list[str]:
    slices = range(math.floor((story.ended - story.began) / _SLICE_S))
    starts = [story.began + number * _SLICE_S for number in slices]
    within = [[each for each in story.answers if start <= each.at < start + _SLICE_S] for start in starts]
    series = [[max(_LEAST_MS, quantile_ms(answers, share)) for answers in within] for share in (0.5, 0.99)]
    most = max((value for values in series for value in values), default=_LEAST_MS) * 1.2

    def up(value: float) -> float:
        share = math.log(value / _LEAST_MS) / math.log(most / _LEAST_MS)
        return _TOP + _PANEL * (1 - share)

    marks = [float(f"1e{power}") for power in range(math.floor(math.log10(most)) + 1)]
    drawn = _grid(marks, up)
    for values, colour in zip(series, (_P50, _P99), strict=True):
        drawn.append(_line([(across(at), up(value)) for at, value in zip(starts, values, strict=True)], colour))
    return drawn


def _memory(story: Story, across: Callable[[float], float]) -> list[str]:
    most = 1.15 * max((sample.resident_mib for sample in story.samples), default=1.0)

    def up(value: float) -> float:
        return _TOP + 2 * _PANEL + _GAP - _PANEL * value / most

    step = 10.0 ** math.floor(math.log10(most))
    drawn = _grid([number * step for number in range(math.floor(most / step) + 1)], up)
    for gateway in sorted({sample.gateway for sample in story.samples}):
        points = [
            (across(each.at), up(each.resident_mib))
            for each in story.samples
            if each.gateway == gateway and each.at <= story.ended
        ]
        drawn.append(_line(points, _MEMORY[gateway % len(_MEMORY)]))
    return drawn


def _grid(marks: Sequence[float], up: Callable[[float], float]) -> list[str]:
    lines = [
        f'<path d="M{_LEFT} {up(mark):.1f}H{_WIDTH - _RIGHT}" stroke="{_INK}" stroke-opacity=".25"/>' for mark in marks
    ]
    return lines + [_text(_LEFT - 6, up(mark) + 4, f"{mark:g}", "end") for mark in marks]


def _line(points: Sequence[tuple[float, float]], colour: str) -> str:
    path = "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
    return f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="1.5"/>' if points else ""


def _text(x: float, y: float, said: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{_INK}" font-size="11">{escape(said)}</text>'
