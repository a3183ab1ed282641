"""The tree of a search: every draw stands below the one that it continues, beside no other."""

from __future__ import annotations

import re

from gateway.domain.money import ZERO
from gateway.domain.search_record import Fate, SearchDraw
from gateway.http.dashboard.search_drawing import search_tree
from tests.http.dashboard.browser import Reading


def drawn(*parents: int | None, chosen: tuple[int, ...] = ()) -> tuple[str, dict[int, tuple[float, float]]]:
    """The tree of draws with these parents, and where each stands."""
    draws = [
        SearchDraw(number, parent, None, "main", "<b>", Fate.WHOLE, 1, ZERO, is_chosen=number in chosen)
        for number, parent in enumerate(parents)
    ]
    tree = str(search_tree(draws))
    found = re.findall(r'aria-label="draw (\d+)"><circle class="node[^"]*" cx="([\d.]+)" cy="([\d.]+)"', tree)
    return tree, {int(number): (float(x), float(y)) for number, x, y in found}


def test_a_draw_stands_below_its_own() -> None:
    """Depth follows the parents, siblings stand side by side, and a parent above the middle of its own."""
    tree, places = drawn(None, None, 0, 0, 1, chosen=(0, 3))
    assert len(set(places.values())) == 5
    assert places[0][1] == places[1][1] < places[2][1] == places[3][1] == places[4][1]
    assert places[0][0] == (places[2][0] + places[3][0]) / 2
    assert places[2][0] < places[3][0] < places[4][0]
    assert tree.count("edge taken") == 2
    assert Reading(tree).faults == []
    assert "<b>" not in tree


def test_odd_records_are_drawn_as_well() -> None:
    """A parent that is not on record, or would come later, is taken for the prompt: no record can hang a page."""
    _, places = drawn(7, 1, 3, 2)
    assert len(places) == 4
    assert len({y for _, y in places.values()}) == 2


def test_long_chains_are_drawn() -> None:
    """A chain of a thousand draws is one line down."""
    _, places = drawn(None, *range(999))
    assert len({x for x, _ in places.values()}) == 1
    assert len({y for _, y in places.values()}) == 1000
