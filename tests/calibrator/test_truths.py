"""What is known to be right about logged asks, what is asked next, and what the money leaves out."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any, cast

import pytest

from calibrator.experiment import RulePlan
from calibrator.items.item import Agreement, Item
from calibrator.truths import Known, Truths, truths_of
from gateway.domain.check import Kind, TruthCheck
from gateway.domain.experiment import Measurement
from gateway.domain.money import usd

ARMS = ("cheap", "dear")


def _item(name: str, *, is_logged: bool = True) -> Item:
    check = Agreement(5) if is_logged else TruthCheck(Kind.MATH, ("1",))
    return Item(name, ({"role": "user", "content": "?"},), "math", "easy", check)


def _rule(*items: Item) -> RulePlan:
    bound = cast("Any", SimpleNamespace(reference="dear"))
    return RulePlan(bound, ARMS, items)


def _known(cost: str = "0.01", **answers: list[str | None]) -> Known:
    """Draws of the reference, by item."""
    return {
        (item, f"dear#{number}"): Measurement(
            item, f"dear#{number}", "math", "easy", 1.0, usd(cost), 9, 1.0, 1.0, answer=answer
        )
        for item, given in answers.items()
        for number, answer in enumerate(given, 1)
    }


def _wanted(found: Truths) -> list[tuple[str, int]]:
    return [(item.id, number) for item, number in found.wanted]


def test_what_has_a_truth_is_not_asked_for_one() -> None:
    """Of a golden item nothing is wanted, and its answers can be scored; of a logged ask three draws are."""
    golden, logged = _item("g", is_logged=False), _item("a")
    found = truths_of(_rule(golden, logged), {}, money=math.inf)
    assert _wanted(found) == [("a", 1), ("a", 2), ("a", 3)]
    assert (found.has(golden), found.has(logged)) == (True, False)


def test_draws_go_on_until_a_majority_is_clear() -> None:
    """Three that say the same are enough; where they differ the other two are asked for, and then it is over."""
    known = _known(a=["1", "1", "1"], b=["1", "2", "1"], c=["1", "2", "1", "2", "3"], d=["7"])
    found = truths_of(_rule(*map(_item, "abcd")), known, money=math.inf)
    assert found.answers == {"a": "1"}
    assert _wanted(found) == [("b", 4), ("b", 5), ("d", 2), ("d", 3)]
    assert (found.without_majority, found.not_asked) == (1, 0)
    assert found.cost == pytest.approx(0.01 * 12)


def test_a_draw_that_came_before_an_earlier_one_waits_for_it() -> None:
    """Two processes may ask for the draws of one item; the numbers that are missing are wanted again."""
    known = {name: each for name, each in _known(a=["1", "1", "1"]).items() if name[1] != "dear#2"}
    assert _wanted(truths_of(_rule(_item("a")), known, money=math.inf)) == [("a", 2), ("a", 3)]


def test_no_more_than_half_of_the_money_goes_into_truths() -> None:
    """From where it is spent on, asks are left out in their order; what was known before stays."""
    known = _known(a=["1", "1", "1"], b=["1", "1", "1"], c=["1", "1", "1"])
    rule = _rule(*map(_item, "abcd"))
    found = truths_of(rule, known, money=0.1)
    assert (set(found.answers), found.not_asked, _wanted(found)) == ({"a", "b"}, 2, [])
    assert found.cost == pytest.approx(0.09)
    assert set(truths_of(rule, known, money=1.0).answers) == {"a", "b", "c"}


def test_when_the_run_is_over_nothing_more_is_wanted() -> None:
    """Asks whose majority is not clear by then are left out as not asked."""
    found = truths_of(_rule(*map(_item, "ab")), _known(a=["1", "1", "1"], b=["1"]), money=math.inf, is_over=True)
    assert (found.answers, found.not_asked, found.wanted) == ({"a": "1"}, 1, ())
