"""Whether one rule's conditions leave nothing for a later rule: every ask of the later is the earlier's already."""

from __future__ import annotations

from collections.abc import Mapping
from math import inf

from gateway.domain.key import Names
from gateway.policy.conditions import PREDICTED, Conditions
from gateway.policy.forms import Numbers


def covers(earlier: Conditions, later: Conditions) -> bool:
    """Whether every ask that meets ``later`` meets ``earlier`` too, as far as conditions of the same fact tell."""
    told, wanted = _said(earlier), _said(later)
    if earlier.confidence is None and later.confidence is not None and told.keys() & PREDICTED:
        return False  # an unsure prediction is shown to the later rule and hidden from the earlier
    return all(name in wanted and _contains(name, values, wanted[name]) for name, values in told.items())


def _said(conditions: Conditions) -> dict[str, object]:
    return {name: value for name, value in conditions if value is not None}


def _contains(name: str, outer: object, inner: object) -> bool:
    if isinstance(outer, Numbers) and isinstance(inner, Numbers):
        return _holds_all(outer, inner)
    if isinstance(outer, Mapping) and isinstance(inner, Mapping):
        return all(tag in inner and set(inner[tag]) <= set(values) for tag, values in outer.items())
    if not isinstance(outer, tuple) or not isinstance(inner, tuple):
        return outer == inner
    if name == "category":
        return all(any(each == base or each.startswith(f"{base}/") for base in outer) for each in inner)
    if name in {"key", "team"}:
        names = Names(outer)
        return all(each in names for each in inner)
    return set(inner) <= set(outer)


def _holds_all(outer: Numbers, inner: Numbers) -> bool:
    if inner.any_of is not None:
        return all(outer.hold(value) for value in inner.any_of)
    if outer.any_of is not None or _wraps(outer) or _wraps(inner):
        return outer == inner
    return _least(outer) <= _least(inner) and _most(inner) <= _most(outer)


def _wraps(numbers: Numbers) -> bool:
    return _most(numbers) <= _least(numbers)


def _least(numbers: Numbers) -> float:
    return -inf if numbers.at_least is None else numbers.at_least


def _most(numbers: Numbers) -> float:
    return inf if numbers.below is None else numbers.below
