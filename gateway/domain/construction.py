"""Making values quickly."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeVar, dataclass_transform

_Value = TypeVar("_Value")


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def quick_value(cls: type[_Value]) -> type[_Value]:
    """A slotted dataclass that is frozen to the type checker, and quick to make at run time.

    A frozen dataclass sets each field through ``object.__setattr__``, at several times the cost of an
    assignment. Serving one request makes some twenty values with 150 fields; for those, that nobody changes them
    is left to the type checker to see.
    """
    return dataclass(slots=True, unsafe_hash=True)(cls)
