"""The search of a request drawn as a tree: each draw below the one that it continues, the answer's chain in colour."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from html import escape
from typing import Final

from markupsafe import Markup

from gateway.domain.search_record import Fate, SearchDraw
from gateway.http.dashboard.drawing import framed
from gateway.http.dashboard.words import money

_ACROSS: Final = 36
_DOWN: Final = 56
_RADIUS: Final = 13
_MARGIN: Final = 22
_LOST: Final = frozenset({Fate.FAILED, Fate.CANCELLED, Fate.CUT})

_Place = tuple[float, int]


def search_tree(draws: Sequence[SearchDraw]) -> Markup:
    """The tree, from the prompt at the top; a draw leads to its line in the table of draws."""
    places = _places(draws)
    depth = max((down for _, down in places.values()), default=0)
    width = (max(across for across, _ in places.values()) + 1) * _ACROSS + 2 * _MARGIN
    height = depth * _DOWN + 2 * _MARGIN
    drawn = []
    numbers = {draw.draw for draw in draws}
    for draw in draws:
        (x, y), (end_x, end_y) = _point(places[_above(draw, numbers)]), _point(places[draw.draw])
        middle = (y + end_y) / 2
        taken = " taken" if draw.is_chosen else ""
        drawn.append(
            f'<path class="edge{taken}" d="M{x:.1f} {y:.1f}C{x:.1f} {middle:.1f} {end_x:.1f} {middle:.1f} '
            f'{end_x:.1f} {end_y:.1f}"/>'
        )
    x, y = _point(places[None])
    drawn.append(f'<circle class="node" cx="{x:.1f}" cy="{y:.1f}" r="5"><title>the prompt</title></circle>')
    drawn += [_node(draw, *_point(places[draw.draw])) for draw in draws]
    label = f"search tree of {len(draws)} draws; the table below lists them"
    return framed(width, height, label, drawn, is_tree=True)


def _node(draw: SearchDraw, x: float, y: float) -> str:
    kind = " taken" if draw.is_chosen else " lost" if draw.fate in _LOST else ""
    scores = f", scored {', '.join(f'{score:.3g}' for score in draw.scores)}" if draw.scores else ""
    told = f"draw {draw.draw}: {draw.role}, {draw.model}, {draw.fate.value}, {draw.tokens} tokens, {money(draw.cost)}"
    return (
        f'<a href="#draw-{draw.draw}" aria-label="draw {draw.draw}">'
        f'<circle class="node{kind}" cx="{x:.1f}" cy="{y:.1f}" r="{_RADIUS}">'
        f"<title>{escape(told + scores)}</title></circle>"
        f'<text class="inside{kind}" x="{x:.1f}" y="{y + 4:.1f}" text-anchor="middle">{draw.draw}</text></a>'
    )


def _point(place: _Place) -> tuple[float, float]:
    return _MARGIN + (place[0] + 0.5) * _ACROSS, _MARGIN + place[1] * _DOWN


def _above(draw: SearchDraw, numbers: Set[int]) -> int | None:
    """The draw that this one continues; the prompt where there is none on record.

    Draws are numbered as they begin, so none continues a later one.
    """
    return draw.parent if draw.parent in numbers and draw.parent is not None and draw.parent < draw.draw else None


def _places(draws: Sequence[SearchDraw]) -> dict[int | None, _Place]:
    """Where each draw stands, by its number: leaves side by side, and every other one above the middle of its own."""
    numbers = {each.draw for each in draws}
    depths: dict[int | None, int] = {None: 0}
    below: dict[int | None, list[int]] = {}
    for each in sorted(draws, key=lambda draw: draw.draw):
        above = _above(each, numbers)
        depths[each.draw] = depths[above] + 1
        below.setdefault(above, []).append(each.draw)
    across: dict[int | None, float] = {}
    leaves = 0
    for number in _leaves_first(below):
        children = below.get(number, ())
        if children:
            across[number] = (across[children[0]] + across[children[-1]]) / 2
        else:
            across[number] = float(leaves)
            leaves += 1
    return {number: (across[number], depths[number]) for number in across}


def _leaves_first(below: Mapping[int | None, Sequence[int]]) -> list[int | None]:
    """Every draw after all that continue it, from left to right; without recursion, as chains may be long."""
    done: list[int | None] = []
    waiting: list[tuple[int | None, bool]] = [(None, False)]
    while waiting:
        each, is_ready = waiting.pop()
        if is_ready:
            done.append(each)
            continue
        waiting.append((each, True))
        waiting.extend((child, False) for child in reversed(below.get(each, ())))
    return done
