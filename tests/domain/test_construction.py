"""Tests of gateway/domain/construction.py."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Mapping
from dataclasses import field, replace
from typing import TYPE_CHECKING

import pytest

from gateway.domain.construction import quick_value


@quick_value
class Quick:
    """Fields of every kind."""

    name: str
    size: int = 3
    tags: Mapping[str, str] = field(default_factory=dict)
    hidden: str = field(default="", repr=False, compare=False)


if TYPE_CHECKING:
    # An ignore that ignores nothing is an error: the type checker does see that this is frozen.
    Quick("a").name = "b"  # type: ignore[misc]


def test_fields_are_as_given_or_as_by_default() -> None:
    """By name and by position; what is not told apart does not count."""
    assert Quick("a") == Quick("a", 3, {}, "else")
    assert Quick(name="a", size=4) != Quick("a")
    assert repr(Quick("a", hidden="b")) == "Quick(name='a', size=3, tags={})"


def test_no_field_can_be_added() -> None:
    """It is slotted."""
    with pytest.raises(AttributeError):
        Quick("a").other = 1  # type: ignore[attr-defined]


def test_values_copy_and_travel() -> None:
    """Replacing, copying and pickling are those of any dataclass."""
    made = Quick("a", tags={"b": "c"})
    assert replace(made, size=5) == Quick("a", 5, {"b": "c"})
    assert copy.copy(made) == pickle.loads(pickle.dumps(made)) == made
