"""Drawings of the dashboard as SVG, made on the server; colours come from the page's style sheet, by class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from typing import Final

from markupsafe import Markup

from gateway.http.dashboard.words import count, money
from gateway.store.traffic import HourSum

_WIDTH: Final = 960
_HEIGHT: Final = 150
_BASE: Final = 126
_TOP: Final = 16
_HOUR_S: Final = 3600.0
_DAY_HOURS: Final = 24


@dataclass(frozen=True, slots=True)
class Scale:
    """Values from 0 to ``most`` as heights above the base line."""

    most: float

    def y(self, value: float) -> float:
        """Where a value stands."""
        return _BASE - (_BASE - _TOP) * (value / self.most if self.most else 0.0)


def spend_by_hour(hours: Sequence[HourSum], first: float, number: int) -> Markup:
    """A bar for each of so many hours from ``first`` on: what it cost, and how much traffic it had to the pointer."""
    by_hour = {each.hour: each for each in hours}
    most = max((float(each.cost) for each in hours), default=0.0)
    scale, step = Scale(most), _WIDTH / number
    drawn = [f'<path class="rule" d="M0 {_BASE}.5H{_WIDTH}"/>']
    for place in range(number):
        hour = first + place * _HOUR_S
        begun = datetime.fromtimestamp(hour, UTC)
        if begun.hour == 0 and number > _DAY_HOURS:
            drawn.append(f'<path class="rule" d="M{place * step:.1f} {_TOP}V{_BASE + 6}"/>')
            drawn.append(_text(place * step + 4, _BASE + 18, f"{begun:%a %d %b}"))
        known = by_hour.get(hour)
        if known is None:
            continue
        top = min(scale.y(float(known.cost)), _BASE - 1.0)
        told = f"{begun:%a %d %b %H:%M}: {money(known.cost)}, {count(known.count)} requests"
        broken = f", {count(known.broken)} broken" if known.broken else ""
        drawn.append(
            f'<rect class="bar" x="{place * step + 0.5:.1f}" y="{top:.1f}" width="{max(step - 1, 1):.1f}" '
            f'height="{_BASE - top:.1f}"><title>{escape(told + broken)}</title></rect>'
        )
    drawn.append(_text(4, 11, f"most in an hour: {money(max((each.cost for each in hours), default=None))}"))
    label = f"spending by the hour over {number // _DAY_HOURS} days"
    return framed(_WIDTH, _HEIGHT, label, drawn)


def framed(width: float, height: float, label: str, drawn: Sequence[str], *, is_tree: bool = False) -> Markup:
    """The SVG of what was drawn: a picture as wide as its page has room, or a tree of links in its own size."""
    body = "".join(drawn)
    size = f' width="{width:g}" height="{height:g}"' if is_tree else ""
    role = "group" if is_tree else "img"
    return Markup(  # noqa: S704 - numbers of ours, and texts that were escaped
        f'<svg viewBox="0 0 {width:g} {height:g}"{size} role="{role}" aria-label="{escape(label)}">{body}</svg>'
    )


def _text(x: float, y: float, said: str, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(said)}</text>'
