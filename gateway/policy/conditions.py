"""When a rule applies: conditions over the facts of an ask, all of which must hold."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from pydantic import Field

from gateway.domain.key import Names
from gateway.policy.forms import Categories, Difficulties, Hours, Numbers, Quantity, Strict, Words

View: TypeAlias = Mapping[str, Any]
"""An ask as rules see it: facts by the names that conditions have for them. What is not there is not known."""

Test: TypeAlias = Callable[[View], bool]

PREDICTED = frozenset({"category", "difficulty", "p_success"})
"""Facts that are predictions: not to be relied on where the classifier is unsure."""


class Conditions(Strict):
    """Facts that an ask must have; of a list, any. ``key`` and ``team`` match names and ids, ``*`` any characters."""

    category: Categories | None = None
    difficulty: Difficulties | None = None
    p_success: Quantity | None = None
    confidence: Quantity | None = None
    tokens: Quantity | None = None
    turns: Quantity | None = None
    tools: bool | None = None
    images: bool | None = None
    has_schema: bool | None = Field(default=None, alias="schema")
    stream: bool | None = None
    key: Words | None = None
    team: Words | None = None
    tag: dict[str, Words] | None = Field(default=None, min_length=1)
    hour: Hours | None = None
    deadline_s: Quantity | None = None
    remaining_budget_usd: Quantity | None = None
    queue_depth: Quantity | None = None

    def tests(self) -> tuple[Test, ...]:
        """One test for each condition."""
        found: list[Test] = []
        for name, wanted in self:
            fact = "schema" if name == "has_schema" else name
            if wanted is None:
                continue
            if isinstance(wanted, bool):
                found.append(_flag(fact, wanted))
            elif isinstance(wanted, Numbers):
                found.append(_quantity(fact, wanted))
            elif fact == "category":
                found.append(_category(frozenset(wanted)))
            elif fact == "tag":
                found.append(_tags({tag: frozenset(values) for tag, values in wanted.items()}))
            elif fact == "difficulty":
                found.append(_difficulty(frozenset(wanted)))
            else:
                found.append(_named(fact, Names(wanted)))
        return tuple(found)


def _flag(fact: str, wanted: bool) -> Test:
    return lambda view: bool(view.get(fact)) is wanted


def _quantity(fact: str, numbers: Numbers) -> Test:
    return lambda view: numbers.hold(view.get(fact))


def _category(wanted: frozenset[str]) -> Test:
    def test(view: View) -> bool:
        category = view.get("category")
        while category:
            if category in wanted:
                return True
            category = category.rpartition("/")[0]
        return False

    return test


def _difficulty(wanted: frozenset[str]) -> Test:
    return lambda view: view.get("difficulty") in wanted


def _tags(wanted: Mapping[str, frozenset[str]]) -> Test:
    def test(view: View) -> bool:
        tags = view.get("tag") or {}
        return all(tags.get(tag) in values for tag, values in wanted.items())

    return test


def _named(fact: str, names: Names) -> Test:
    other = f"{fact}_name"

    def test(view: View) -> bool:
        known = (view.get(fact), view.get(other))
        return any(name is not None and name in names for name in known)

    return test
