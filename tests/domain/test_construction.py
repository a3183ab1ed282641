"""Tests of gateway/domain/construction.py."""

from __future__ import annotations

import copy
import inspect
import pickle
from collections.abc import Mapping
from dataclasses import FrozenInstanceError, dataclass, field, fields, replace

import pytest

from gateway.domain.construction import quickly_made


@dataclass(frozen=True, slots=True)
class Plain:
    """Fields of every kind."""

    name: str
    size: int = 3
    tags: Mapping[str, str] = field(default_factory=dict)
    hidden: str = field(default="", repr=False, compare=False)


@quickly_made
@dataclass(frozen=True, slots=True)
class Quick:
    """The same."""

    name: str
    size: int = 3
    tags: Mapping[str, str] = field(default_factory=dict)
    hidden: str = field(default="", repr=False, compare=False)


@pytest.mark.parametrize("given", [{"name": "a"}, {"name": "a", "size": 4, "tags": {"b": "c"}, "hidden": "d"}])
def test_a_value_is_what_its_dataclass_makes_of_the_same_arguments(given: Mapping[str, object]) -> None:
    """Every field is as given or as by default, by name and by position, and the value's text is the same."""
    for made, plain in (
        (Quick(**given), Plain(**given)),  # type: ignore[arg-type]
        (Quick(*given.values()), Plain(*given.values())),  # type: ignore[arg-type]
    ):
        assert all(getattr(made, each.name) == getattr(plain, each.name) for each in fields(plain))
        assert repr(made) == repr(plain).replace("Plain", "Quick")


def test_a_value_is_frozen_and_of_its_class() -> None:
    """Nobody can change a field, add one, or tell how the value came to be."""
    made = Quick("a")
    assert type(made) is Quick
    with pytest.raises(FrozenInstanceError):
        made.name = "b"  # type: ignore[misc]
    with pytest.raises((FrozenInstanceError, TypeError)):
        made.other = 1  # type: ignore[attr-defined]


def test_values_compare_copy_and_travel_as_before() -> None:
    """Equality, replacing, copying and pickling are those of any frozen dataclass."""
    made = Quick("a", tags={"b": "c"})
    assert made == Quick("a", tags={"b": "c"}, hidden="x") != Quick("a")
    assert replace(made, size=5) == Quick("a", 5, {"b": "c"})
    assert pickle.loads(pickle.dumps(made)) == copy.deepcopy(made) == made


def test_defaults_made_anew_are_nobody_elses() -> None:
    """Each value has its own of what a field's factory makes."""
    assert Quick("a").tags is not Quick("a").tags


def test_arguments_are_checked_as_before() -> None:
    """A missing argument and an unknown one are refused, and the names are the fields'."""
    with pytest.raises(TypeError, match="name"):
        Quick()  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="colour"):
        Quick("a", colour=1)  # type: ignore[call-arg]
    assert list(inspect.signature(Quick).parameters) == list(inspect.signature(Plain).parameters)
