"""What is chosen from what is known and what was labelled."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from calibrator.choose import EXACT_UP_TO, Ground, Scope, Target, choose, decide
from calibrator.stats.certificates import Labels
from calibrator.stats.paths import expected_risk

CELLS = (("code", "easy"), ("code", "hard"), ("math", "easy"), ("math", "hard"))
TARGET = Target(0.05, 0.9)
REFERENCE = 2
"""The last of the arms cheap, middle and dear."""


def ground(**changed: object) -> Ground:
    """Four cells of equal weight and three arms."""
    costs = np.tile([0.1, 0.4, 1.0], (4, 1))
    risk = expected_risk([0, 2, 0, 2], costs, REFERENCE)
    known = Ground(
        CELLS, ("cheap", "middle", "dear"), REFERENCE, np.full(4, 0.25), costs, risk, np.ones((4, 3), dtype=bool)
    )
    return replace(known, **changed)  # type: ignore[arg-type]


def labels(items: int = 400, *, lost: dict[tuple[int, int], float] | None = None, is_binary: bool = True) -> Labels:
    """Labels on which every arm is right, but for the shares ``lost`` by cell and arm."""
    cells = np.arange(items) % 4
    scores = np.ones((items, 3))
    for (cell, arm), share in (lost or {}).items():
        rows = np.flatnonzero(cells == cell)
        scores[rows[: round(share * rows.size)], arm] = 0
    order = np.random.default_rng(3).permutation(items)
    return Labels(cells[order], scores[order], np.full(4, 0.25), REFERENCE, is_binary)


def test_the_cheapest_arm_is_chosen_where_nothing_is_lost() -> None:
    """With labels enough the walk reaches the end of the path."""
    found = choose(ground(), labels(), TARGET)
    assert found.is_certified
    assert found.rule == (0, 0, 0, 0)
    assert found.relative_cost == pytest.approx(0.1)
    assert found.shortage is None
    assert 0 <= found.loss.upper <= TARGET.loss_at_most
    assert [cell.arm for cell in found.cells] == ["cheap"] * 4


def test_hard_cells_keep_an_arm_that_loses_nothing() -> None:
    """The walk ends before the rule that loses too much, and says that no number of labels would do."""
    found = choose(ground(), labels(800, lost={(1, 0): 0.5, (3, 0): 0.5}), TARGET)
    assert found.rule[0] == found.rule[2] == 0
    assert 0 not in (found.rule[1], found.rule[3])
    assert found.shortage is not None
    assert found.shortage.labels_more is None


def test_too_little_evidence_changes_nothing_and_says_what_is_missing() -> None:
    """With a handful of labels the reference stays, and the labels and their cost are told."""
    found = choose(ground(), labels(16), TARGET)
    assert not found.is_certified
    assert found.rule == (2, 2, 2, 2)
    assert (found.relative_cost, found.loss.upper) == (1.0, 0.0)
    assert found.shortage is not None
    assert found.shortage.labels_more is not None
    assert found.shortage.labels_in_all == 16 + found.shortage.labels_more
    involved = {REFERENCE, *found.shortage.rule}
    each = sum((0.1, 0.4, 1.0)[arm] for arm in involved)
    assert found.shortage.cost == pytest.approx(found.shortage.labels_more * each)


def test_too_little_evidence_leaves_the_current_rule() -> None:
    """What is in force stays in force where nothing is certified."""
    assert choose(ground(current=(1, 2, 1, 2)), labels(16), TARGET).rule == (1, 2, 1, 2)


def test_no_evidence_at_all_changes_nothing() -> None:
    """Without a label there is no choice and no fault."""
    found = choose(ground(), labels(0), TARGET)
    assert not found.is_certified
    assert all(cell.labels == 0 and cell.loss is None for cell in found.cells)


def test_every_cell_is_certified_for_itself_with_scope_cell() -> None:
    """A cell that loses keeps the reference; others move, and the worst of their bounds is the promise."""
    found = choose(ground(), labels(2_000, lost={(1, 0): 0.3, (1, 1): 0.3}), Target(0.05, 0.9, Scope.CELL))
    assert found.rule == (0, 2, 0, 0)
    bounds = [cell.bound for cell in found.cells if cell.bound is not None]
    assert found.loss.upper == max(bounds) <= 0.05
    assert not choose(ground(), labels(100), Target(0.05, 0.9, Scope.CELL)).is_certified


def test_no_cell_keeps_an_arm_that_is_not_certified_with_scope_cell() -> None:
    """What is in force has no part in a promise for each cell: a cell that loses takes the reference."""
    current = ground(current=(0, 0, 0, 0))
    found = choose(current, labels(2_000, lost={(1, 0): 0.3, (1, 1): 0.3}), Target(0.05, 0.9, Scope.CELL))
    assert found.rule == (0, 2, 0, 0)


def test_cells_share_the_risk() -> None:
    """What one cell alone would certify may be too little when four are promised at once."""
    target = Target(0.05, 0.9, Scope.CELL)
    enough_for_one = labels(4 * 60)
    alone = Ground(
        CELLS[:1], ("cheap", "middle", "dear"), REFERENCE, np.ones(1), np.array([[0.1, 0.4, 1.0]]),
        np.array([[2.0, 1.0, 0.0]]), np.ones((1, 3), dtype=bool),
    )  # fmt: skip
    one = Labels(np.zeros(60, dtype=np.int64), np.ones((60, 3)), np.ones(1), REFERENCE, True)
    assert decide(alone, one, target).rule is not None
    assert decide(ground(), enough_for_one, target).rule is None


def test_a_slow_arm_is_left_out_of_its_cell() -> None:
    """An arm that is not allowed in a cell is on no rule of the path."""
    allowed = np.ones((4, 3), dtype=bool)
    allowed[0, 0] = False
    rules = ground(is_allowed=allowed).path()
    assert all(rule[0] != 0 for rule in rules)
    assert rules[-1] == (1, 0, 0, 0)


def test_only_so_many_categories_change() -> None:
    """Of two categories the one that the path makes cheaper first may change; the other stays as it is."""
    rules = ground(current=(2, 2, 1, 2), most_changed=1).path()
    bases = {("code" if rule[:2] != (2, 2) else "", "math" if rule[2:] != (1, 2) else "") for rule in rules}
    assert len({name for names in bases for name in names if name}) == 1
    assert ground(most_changed=2).path() == ground().path()


def test_graded_scores_are_bet_on() -> None:
    """The exact test is for right and wrong alone, and for no more labels than it is quick with."""
    assert choose(ground(), labels(), TARGET).method.startswith("exact")
    assert choose(ground(), labels(is_binary=False), TARGET).method.startswith("betting")
    assert choose(ground(), labels(EXACT_UP_TO + 4), TARGET).method.startswith("betting")


def test_the_whole_path_is_not_walked_past_a_failure() -> None:
    """Tests end with the first that fails, and the rule that failed is told."""
    rules = ground().path()
    found = decide(ground(), labels(lost={(1, 0): 0.5, (3, 0): 0.5}), TARGET)
    passed = sum(test.p_value <= 0.1 for test in found.tests)
    assert 0 < passed < len(rules) - 1
    assert len(found.tests) == passed + 1
    assert found.refused == rules[passed]
