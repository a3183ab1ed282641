"""Checked access to a client's JSON: every fault becomes an :class:`InvalidRequest` with its path.

A :class:`Field` is a value and where it stands (``messages.2.content.0.source``). ``null`` counts
as absent, because the official SDKs send it for optional members.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from gateway.errors import InvalidRequest

_PLAIN_WORD = re.compile(r"[A-Za-z0-9_.-]{1,64}\Z")


class Field:
    """One value of a request body, and the path that leads to it."""

    __slots__ = ("path", "value")

    def __init__(self, value: Any, path: str) -> None:
        self.value = value
        self.path = path

    @property
    def is_given(self) -> bool:
        """Whether the client set this member to anything but ``null``."""
        return self.value is not None

    def get(self, key: str) -> Field:
        """The member ``key`` of this object; absent members give a field without value."""
        return Field(self.object().get(key), f"{self.path}.{key}" if self.path else key)

    def items(self, accepted: str = "an array") -> Iterator[Field]:
        """The elements of this array, each with its path."""
        if not isinstance(self.value, list):
            raise self.refusal(accepted)
        for index, value in enumerate(self.value):
            yield Field(value, f"{self.path}.{index}")

    def object(self) -> Mapping[str, Any]:
        """This value as a JSON object."""
        if not isinstance(self.value, Mapping):
            raise self.refusal("an object")
        return self.value

    def object_or_none(self) -> Mapping[str, Any] | None:
        """This value as a JSON object, or None where absent."""
        return self.object() if self.is_given else None

    def text(self) -> str:
        """This value as a string."""
        if not isinstance(self.value, str):
            raise self.refusal("a string")
        return self.value

    def text_or_none(self) -> str | None:
        """This value as a string, or None where absent."""
        return self.text() if self.is_given else None

    def name(self) -> str:
        """This value as a string that is not empty."""
        if not isinstance(self.value, str) or not self.value:
            raise self.refusal("a string that is not empty")
        return self.value

    def flag_or_none(self) -> bool | None:
        """This value as a boolean, or None where absent."""
        if self.is_given and not isinstance(self.value, bool):
            raise self.refusal("true or false")
        return self.value  # type: ignore[no-any-return]  # checked in the line above

    def integer_or_none(self, minimum: int) -> int | None:
        """This value as a whole number of at least ``minimum``, or None where absent."""
        if not self.is_given:
            return None
        value = self.value
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or value < minimum:
            raise self.refusal(f"a whole number of at least {minimum}")
        return value

    def number_or_none(self, minimum: float, maximum: float) -> float | None:
        """This value as a number within the limits, or None where absent."""
        if not self.is_given:
            return None
        value = self.value
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number or not math.isfinite(value) or not minimum <= value <= maximum:
            raise self.refusal(f"a number from {minimum:g} to {maximum:g}")
        return float(value)

    def choice(self, accepted: Collection[str]) -> str:
        """This value as one of the ``accepted`` words."""
        if not isinstance(self.value, str) or self.value not in accepted:
            raise self.refusal("one of " + ", ".join(accepted))
        return self.value

    def refusal(self, accepted: str) -> InvalidRequest:
        """The error that says what stands here and what would be accepted."""
        return InvalidRequest(f"{self.path} must be {accepted}, not {self.shown()}", param=self.path)

    def shown(self) -> str:
        """What stands here, in words that cannot carry a prompt: kinds, and short plain words."""
        match self.value:
            case None:
                return "missing or null"
            case bool():
                return "a boolean"
            case str() as word:
                return f"'{word}'" if _PLAIN_WORD.match(word) else "this string"
            case int() | float():
                return "this number"
            case list():
                return "an array"
            case _:
                return "an object"
