"""A bill beside the ledger: what agrees, what differs, and by which keys."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.money import ZERO, from_nanos, usd
from gateway.domain.reconciliation import ANY_MODEL, Bill, Cell, Charge, LedgerLine, Measure, Tokens

DAY = "2026-11-22"


def charge(cost: str = "0", **changes: Any) -> Charge:
    """A row of a bill for haiku on one day, by one key."""
    values: dict[str, Any] = {"day": DAY, "model": "Claude Haiku 4.5", "item": "token", "api_keys": ("prod", "id_1")}
    return Charge(**{**values, "cost": Decimal(cost), **changes})


def line(cost: str = "0", **changes: Any) -> LedgerLine:
    """The ledger's line for haiku on that day, by one virtual key."""
    values: dict[str, Any] = {
        "day": DAY, "upstream": "anthropic", "model": "claude-haiku-4-5-20251001", "key_id": "k1",
        "calls": 1, "unpriced": 0, "cost": usd(cost), "tokens": Tokens(),
    }  # fmt: skip
    return LedgerLine(**{**values, **changes})


def bill(*charges: Charge, measure: Measure = Measure.COST, upstreams: dict[str, str] | None = None) -> Bill:
    """A bill of these rows."""
    made = Bill(measure, upstreams or {})
    for each in charges:
        made.add(each)
    return made


def test_what_agrees_to_the_tolerance_does_not_differ() -> None:
    """A difference of exactly the tolerance is tolerated, a nano-dollar more is not."""
    for ours, differs in (("0.99", False), ("0.989999999", True)):
        found = bill(charge("0.4"), charge("0.6")).compare([line(ours)], tolerance=usd("0.01"), tolerated_tokens=0)
        assert (found.differs, [each.differs for each in found.lines]) == (differs, [differs])
        assert found.lines[0].cell == Cell(DAY, "claude-haiku-4-5", "")


def test_small_differences_add_up_in_the_total() -> None:
    """Lines that are each within the tolerance may together be beyond it."""
    days = ("2026-11-20", "2026-11-21", "2026-11-22")
    found = bill(*(charge("0.01", day=day) for day in days)).compare([], tolerance=usd("0.01"), tolerated_tokens=0)
    assert not any(each.differs for each in found.lines)
    assert found.total.difference == usd("0.03")
    assert found.differs


def test_differences_of_opposite_sign_do_not_hide_each_other() -> None:
    """Too much of one model and too little of another differ, although the total agrees."""
    found = bill(charge("1"), charge("2", model="Claude Opus 5")).compare(
        [line("2"), line("1", model="claude-opus-5")], tolerance=ZERO, tolerated_tokens=0
    )
    assert [each.difference for each in found.lines] == [usd(-1), usd(1)]
    assert not found.total.differs
    assert found.differs


def test_amounts_in_whole_cents_are_allowed_half_a_cent_each() -> None:
    """What the printing of an amount may hide is no difference, and is shown."""
    rows = [charge("0.05", rounding=Decimal("0.005")), charge("0.05", rounding=Decimal("0.005"))]
    for ours, differs in (("0.11", False), ("0.110000001", True)):
        found = bill(*rows).compare([line(ours)], tolerance=ZERO, tolerated_tokens=0)
        assert (found.differs, found.total.rounding) == (differs, usd("0.01"))


def test_calls_that_only_one_side_knows_are_lines_too() -> None:
    """A model that was billed without calls of ours, and calls of ours without a bill, both differ."""
    found = bill(charge("1")).compare(
        [line("2", model="claude-opus-5", unpriced=1)], tolerance=ZERO, tolerated_tokens=0
    )
    assert [(each.cell.model, each.their_cost, each.our_cost, each.unpriced) for each in found.lines] == [
        ("claude-haiku-4-5", usd(1), ZERO, 0),
        ("claude-opus-5", ZERO, usd(2), 1),
    ]


def test_an_export_without_models_is_compared_by_day() -> None:
    """Costs that were exported without grouping stand beside all calls of their day."""
    found = bill(charge("3", model=None, item="")).compare(
        [line("1"), line("2", model="claude-opus-5")], tolerance=ZERO, tolerated_tokens=0
    )
    assert [each.cell.model for each in found.lines] == [ANY_MODEL]
    assert not found.differs


def test_what_is_billed_for_no_model_has_a_line_of_its_own() -> None:
    """A provider's fee for searches is named in its words."""
    rows = bill(charge("1"), charge("0.5", model=None, item="web search tool calls"))
    found = rows.compare([line("1")], tolerance=ZERO, tolerated_tokens=0)
    assert [(each.cell.model, each.differs) for each in found.lines] == [
        ("claude-haiku-4-5", False),
        ("web search tool calls", True),
    ]


def test_shares_by_key_are_told_on_both_sides() -> None:
    """Each line says which of the provider's keys and which of ours it came from."""
    found = bill(charge("1"), charge("2", api_keys=("dev",))).compare(
        [line("1.5"), line("1", key_id="k2")], tolerance=ZERO, tolerated_tokens=0
    )
    (only,) = found.lines
    assert only.their_keys == {"prod": 1, "dev": 2}
    assert only.our_keys == {"k1": usd("1.5"), "k2": usd(1)}


def test_assigned_keys_are_compared_with_their_upstreams() -> None:
    """With keys assigned, by name or id, each upstream has lines of its own, and other keys are left out."""
    rows = bill(
        charge("1"), charge("2", api_keys=("dev", "id_2")), charge("4", api_keys=("stranger",)),
        upstreams={"prod": "anthropic", "id_2": "sandbox"},
    )  # fmt: skip
    ledger = [line("1"), line("2", upstream="sandbox"), line("8", upstream="elsewhere")]
    found = rows.compare(ledger, tolerance=ZERO, tolerated_tokens=0)
    assert [(each.cell.upstream, each.difference) for each in found.lines] == [("anthropic", ZERO), ("sandbox", ZERO)]
    assert found.left_out == {"stranger": Decimal(4)}
    assert not found.differs


def test_tokens_are_compared_class_by_class() -> None:
    """The same number of tokens in other classes differs, by more than is tolerated."""
    rows = bill(charge(tokens=Tokens(input=100, cached=50)), measure=Measure.TOKENS)
    ledger = [line(tokens=Tokens(input=90, cached=60))]
    assert rows.compare(ledger, tolerance=ZERO, tolerated_tokens=9).differs
    assert not rows.compare(ledger, tolerance=ZERO, tolerated_tokens=10).differs


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(0, 10**12)), max_size=30))
def test_a_bill_that_repeats_the_ledger_agrees_exactly(calls: list[tuple[int, int, int]]) -> None:
    """However calls are spread over days and models, the same sums on both sides agree to the nano-dollar."""
    rows = bill(
        *(charge(day=f"2026-11-0{day + 1}", model=f"m{model}", cost=str(from_nanos(n))) for day, model, n in calls)
    )
    ledger = [line(str(from_nanos(n)), day=f"2026-11-0{day + 1}", model=f"m{model}") for day, model, n in calls]
    found = rows.compare(ledger, tolerance=ZERO, tolerated_tokens=0)
    assert not found.differs
    assert found.total.our_cost == found.total.their_cost == sum((each.cost for each in ledger), ZERO)
