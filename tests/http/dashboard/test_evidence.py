"""What measurements say of a profile: savings and accuracy with intervals, beside a control."""

from __future__ import annotations

import math
import random

import pytest

from gateway.domain.experiment import CellProgress, Measurement
from gateway.domain.money import usd
from gateway.domain.profile_document import RuleProfile
from gateway.http.dashboard.evidence import LEAST_ITEMS, points, savings, wilson
from tests.store.profiles import document

RULE: RuleProfile = document(cells={("math", None): "think", ("code", "hard"): "fast"}).rules["checkable"]
"""Its reference is think-hard."""


def measured(item: str, arm: str, score: float, cost: str, *, category: str = "math") -> Measurement:
    """One measurement."""
    difficulty = "hard" if category == "code" else None
    return Measurement(item, arm, category, difficulty, score, usd(cost), 10, 1.0, 0.0)


def test_savings_are_those_of_the_same_items() -> None:
    """The chosen arm of each item's cell is set beside the reference on that item; incomplete items do not count."""
    rows = []
    for number in range(40):
        category, right = ("math", "think") if number % 2 else ("code", "fast")
        for arm, cost in (("fast", "0.001"), ("think", "0.01"), ("think-hard", "0.04")):
            score = 1.0 if arm in {right, "think-hard"} else 0.0
            rows.append(measured(f"i{number}", arm, score, cost, category=category))
    rows.append(measured("lonely", "think", 0.0, "9"))
    found = savings(rows, RULE)
    assert found is not None
    assert found.items == 40
    assert found.saved.value == pytest.approx(1 - (0.01 + 0.001) / 2 / 0.04)
    assert found.saved.lower < found.saved.value < found.saved.upper
    assert (found.gained.value, found.gained.lower, found.gained.upper) == (0, 0, 0)
    # The control takes each arm half of the time: right on half of the items.
    assert found.over_control.value == pytest.approx(0.5)


def test_a_choice_that_ignores_the_category_gains_nothing_over_the_control() -> None:
    """With one arm for all, the control is the choice itself."""
    rule = document(cells={("math", None): "think"}).rules["checkable"]
    draw = random.Random(1)
    rows = [
        measured(f"i{number}", arm, float(draw.random() < 0.7), "0.01")
        for number in range(50)
        for arm in ("think", "think-hard")
    ]
    found = savings(rows, rule)
    assert found is not None
    assert (found.over_control.value, found.over_control.upper) == (0, 0)


def test_intervals_hold_as_often_as_they_say() -> None:
    """In 95 of a hundred repetitions, give or take, the interval of the share saved holds the true share."""
    rule = document(cells={("math", None): "think"}).rules["checkable"]
    draw, held = random.Random(5), 0
    for _ in range(300):
        rows = []
        for number in range(60):
            size = draw.expovariate(1) + 0.1
            rows.append(measured(f"i{number}", "think-hard", 1.0, str(round(0.04 * size, 9))))
            rows.append(measured(f"i{number}", "think", 1.0, str(round(0.01 * size * draw.uniform(0.2, 1.8), 9))))
        found = savings(rows, rule)
        assert found is not None
        held += found.saved.lower <= 0.75 <= found.saved.upper
    assert 0.91 <= held / 300 <= 0.98


def test_too_little_is_told_as_nothing() -> None:
    """With few items, none of the rule's cells, or a reference that cost nothing, savings are not told."""
    few = [
        measured(f"i{n}", arm, 1.0, "0.01") for n in range(LEAST_ITEMS - 1) for arm in ("fast", "think", "think-hard")
    ]
    assert savings(few, RULE) is None
    assert savings([], RULE) is None
    free = [measured(f"i{n}", arm, 1.0, "0") for n in range(40) for arm in ("fast", "think", "think-hard")]
    assert savings(free, RULE) is None


def test_points_are_beside_the_reference() -> None:
    """Each category has its arms by accuracy and relative cost, over all difficulties; one unmeasured has none."""
    rows = [
        CellProgress("math", "easy", "think", 10, 9.0, usd("0.1")),
        CellProgress("math", "hard", "think", 10, 5.0, usd("0.3")),
        CellProgress("math", "easy", "think-hard", 20, 18.0, usd("1.6")),
        CellProgress("code", None, "fast", 20, 18.0, usd("1.6")),
    ]
    found = points(rows, RULE)
    assert found.keys() == {"math"}
    think, reference = found["math"]
    assert (think.label, think.accuracy, think.relative_cost) == ("think", 0.7, pytest.approx(0.25))
    assert (think.is_chosen, think.is_reference, reference.is_reference) == (True, False, True)
    assert think.lower < 0.7 < think.upper


def test_wilsons_interval() -> None:
    """As the formula gives it for 7 of 10, and within 0 and 1 at the ends."""
    assert wilson(0.7, 10) == pytest.approx((0.39678, 0.89221), abs=1e-4)
    assert wilson(0.0, 5)[0] == pytest.approx(0.0)
    assert math.isclose(wilson(1.0, 5)[1], 1.0)
