"""What a pilot expects of the arms."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from calibrator.choose import Scope, Target
from calibrator.pilot import expected_losses, focus
from calibrator.stats.certificates import Labels
from calibrator.trial import draw
from tests.calibrator.test_choose import REFERENCE as DEAR
from tests.calibrator.test_choose import ground, labels
from tests.calibrator.test_trial import QUESTION, REFERENCE, TABLE


def test_a_pilot_orders_by_what_it_saw() -> None:
    """Losses are drawn towards their arm's mean, the fewer labels the more, and rank as the truth does."""
    drawn = draw(replace(QUESTION, labels=900), 1)
    means = expected_losses(drawn.labels).means
    fast = means[:, TABLE.arm("fast")]
    hard = [cell for cell, name in enumerate(TABLE.cells) if name[1] == "hard"]
    easy = [cell for cell, name in enumerate(TABLE.cells) if name[1] == "easy"]
    assert min(fast[hard]) > max(fast[easy])
    assert not means[:, REFERENCE].any()


def test_a_cell_without_labels_is_expected_to_be_like_its_arm() -> None:
    """Strength is lent: the loss is the arm's mean, and less sure than where labels are."""
    known = labels(400, lost={(cell, 0): 0.2 for cell in range(4)})
    kept = known.cells != 3
    seen = Labels(known.cells[kept], known.scores[kept], known.weights, DEAR, True)
    found = expected_losses(seen)
    assert found.means[3, 0] == pytest.approx(0.2, abs=0.01)
    assert found.variances[3, 0] > found.variances[0, 0]
    nothing = expected_losses(Labels(np.array([], dtype=np.int64), np.ones((0, 3)), known.weights, DEAR, True))
    assert not nothing.means.any()


def test_labels_are_spent_where_something_can_be_certified() -> None:
    """Cells in which every cheaper arm loses much are no part of the path that is tested."""
    known = labels(400, lost={(cell, arm): 0.5 for cell in (1, 3) for arm in (0, 1)})
    ordered, found = focus(ground(), known, Target(0.05, 0.9), 600)
    assert found.cells.tolist() == [True, False, True, False]
    assert found.path[-1] == (0, DEAR, 0, DEAR)
    assert ordered.path()[: len(found.path)] == found.path


def test_an_arm_that_is_dearer_and_worse_stands_in_nobodys_way() -> None:
    """Between reference and a cheap arm that loses nothing, the path has no stop at a middle one that loses much."""
    known = labels(400, lost={(cell, 1): 0.3 for cell in range(4)})
    _, found = focus(ground(), known, Target(0.05, 0.9), 600, is_ordered=True)
    assert found.path[-1] == (0, 0, 0, 0)
    assert not any(1 in rule for rule in found.path)


def test_an_order_of_its_own_is_kept_while_nothing_speaks_against_it() -> None:
    """Where every arm is as good, all steps of the expected order stay: each is something to fall back on."""
    ordered, found = focus(ground(), labels(400), Target(0.2, 0.9), 600, is_ordered=True)
    assert ordered.path() == ground().path()
    assert (*found.path, *found.beyond) == ground().path()


def test_the_pilots_order_is_taken_where_more_is_to_be_expected_of_it() -> None:
    """Cells in which the expectation begins, and where much is lost, come last or not at all."""
    known = labels(400, lost={(cell, arm): 0.5 for cell in (0, 2) for arm in (0, 1)})
    ordered, found = focus(ground(), known, Target(0.05, 0.9), 600, is_ordered=True)
    assert ordered.path() != ground().path()
    assert found.path[-1] == (DEAR, 0, DEAR, 0)


def test_where_each_cell_is_promised_for_itself_the_order_stays() -> None:
    """The steps of a cell are then those of the ground's own path, whatever the pilot saw."""
    known = labels(400, lost={(cell, 1): 0.3 for cell in range(4)})
    ordered, found = focus(ground(), known, Target(0.05, 0.9, Scope.CELL), 600, is_ordered=True)
    assert ordered.path() == ground().path()
    assert (*found.path, *found.beyond) == ground().path()


def test_a_step_with_hardly_a_chance_is_no_end_to_make_for() -> None:
    """Its arms would be asked of every item that is left, mostly for nothing."""
    known = labels(160, lost={(cell, arm): 0.3 for cell in (1, 3) for arm in (0, 1)})
    _, found = focus(ground(), known, Target(0.05, 0.9), 600)
    assert found.path == ((0, DEAR, DEAR, DEAR), (0, DEAR, 0, DEAR))
    assert found.beyond
