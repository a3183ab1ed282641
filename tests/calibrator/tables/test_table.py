"""Outcome tables in memory."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from calibrator.tables.table import Gathering, Outcome
from gateway.errors import ConfigurationError
from tests.calibrator.made import outcomes, table

ONE = Outcome("a", "math", "easy", "fast", 1.0, 0.1)


def _gathered(*each: Outcome) -> Gathering:
    gathering = Gathering()
    for number, outcome in enumerate(each, 1):
        gathering.add(outcome, f"line {number}")
    return gathering


def test_a_table_is_the_same_in_whichever_order_outcomes_come() -> None:
    """Items are sorted, and the digest does not depend on the order of the rows."""
    known = list(outcomes(30))
    forward, backward = _gathered(*known).table(), _gathered(*reversed(known)).table()
    assert forward.items == backward.items == tuple(sorted(forward.items))
    assert forward.digest == backward.digest
    assert np.array_equal(forward.scores, backward.scores)


def test_another_score_is_another_digest() -> None:
    """The digest speaks of the outcomes and not only of their names."""
    known = list(outcomes(30))
    changed = [replace(known[0], score=1 - known[0].score), *known[1:]]
    assert _gathered(*known).table().digest != _gathered(*changed).table().digest


def test_items_without_all_arms_are_left_out_and_counted() -> None:
    """A missing outcome is never imputed: its item is left out."""
    found = _gathered(ONE, replace(ONE, arm="think"), replace(ONE, item="b")).table()
    assert (found.items, found.left_out) == (("a",), 1)


def test_only_the_named_arms_need_outcomes() -> None:
    """With one arm named, items that others did not answer stay."""
    found = _gathered(ONE, replace(ONE, arm="think"), replace(ONE, item="b")).table(["fast"])
    assert (found.items, found.arms, found.left_out) == (("a", "b"), ("fast",), 0)


@pytest.mark.parametrize(
    ("second", "said"),
    [
        (ONE, "line 2: item: 'a' has an outcome of arm 'fast' already"),
        (replace(ONE, arm="think", difficulty="hard"), "line 2: category: item 'a' has another category"),
        (replace(ONE, item="b", category="cooking"), "line 2: category: 'cooking' is unknown; there are math"),
        (replace(ONE, item="b", difficulty="nasty"), "line 2: difficulty: 'nasty' is unknown; there are easy"),
    ],
)
def test_what_cannot_be_is_refused_with_its_place(second: Outcome, said: str) -> None:
    """The place and the field of the fault are in the message."""
    with pytest.raises(ConfigurationError, match=said):
        _gathered(ONE, second)


def test_no_item_with_all_arms_is_an_error() -> None:
    """A table without an item cannot be chosen from."""
    with pytest.raises(ConfigurationError, match="no item has an outcome of every arm: fast, think"):
        _gathered(ONE, replace(ONE, item="b", arm="think")).table()


def test_costs_are_averaged_by_cell_and_an_empty_cell_has_its_arms_mean() -> None:
    """Only the items asked for count; a cell without any gets what the arm costs elsewhere."""
    found = _gathered(ONE, replace(ONE, item="b", cost=0.3), replace(ONE, item="c", category="code", cost=9.0)).table()
    assert found.cells == (("code", "easy"), ("math", "easy"))
    assert found.mean_costs(np.array([0, 1])).ravel().tolist() == pytest.approx([0.2, 0.2])
    assert found.mean_costs().ravel().tolist() == pytest.approx([9.0, 0.2])


def test_latencies_are_read_where_they_are_said() -> None:
    """A quantile is of the latencies that there are; without any it is not a number."""
    found = _gathered(replace(ONE, latency_s=2.0), replace(ONE, item="b"), replace(ONE, item="c", category="code"))
    assert found.table().latency_quantiles(0.95)[1, 0] == 2.0
    assert np.isnan(found.table().latency_quantiles(0.95)[0, 0])


def test_declared_costs_replace_recorded_ones() -> None:
    """The declared cost is that of every item of the arm, and makes another digest."""
    found = table(30)
    changed = found.with_costs({"fast": 7.0})
    assert set(changed.costs[:, found.arm("fast")]) == {7.0}
    assert changed.digest != found.digest
    with pytest.raises(ConfigurationError, match="no arm 'slow'; it has fast, think, think-hard"):
        found.with_costs({"slow": 1.0})


def test_a_table_can_be_cut_to_some_cells() -> None:
    """Cells are numbered anew and the digest is another; with all cells the table stays, with none it is refused."""
    whole = table(60)
    cut = whole.of_cells(lambda cell: cell[0] == "math")
    assert {cell[0] for cell in cut.cells} == {"math"}
    assert cut.items == tuple(
        name for name, cell in zip(whole.items, whole.cell, strict=True) if whole.cells[cell][0] == "math"
    )
    for row, name in enumerate(cut.items):
        before = whole.items.index(name)
        assert cut.cells[cut.cell[row]] == whole.cells[whole.cell[before]]
        assert cut.scores[row].tolist() == whole.scores[before].tolist()
    assert cut.digest != whole.digest
    assert whole.of_cells(lambda _: True) is whole
    with pytest.raises(ConfigurationError, match="no item is of a category"):
        whole.of_cells(lambda _: False)
