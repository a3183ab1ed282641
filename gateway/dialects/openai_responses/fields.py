"""Reading JSON members by type, each fault naming the member's path and what it may be.

The same reader serves a client's request (faults are :class:`InvalidRequest` with ``param``) and
an upstream's answer (faults are :class:`UpstreamFailed`): only the kind of fault differs.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from gateway.errors import InvalidRequest, PonderError, UpstreamFailed

Fault: TypeAlias = Callable[[str, str], PonderError]
"""Makes the error for a member's path and a sentence about it."""

_PLAIN_WORD = re.compile(r"[\w.:-]{1,64}")


def request_fault(path: str, message: str) -> PonderError:
    """The client sent something we cannot read."""
    return InvalidRequest(message, param=path or None)


def upstream_fault(path: str, message: str) -> PonderError:
    """The upstream sent something that is not an answer."""
    return UpstreamFailed(f"the upstream's answer cannot be read: {message}")


def shown(value: object) -> str:
    """A value fit for an error message: a short plain word in backquotes, or only its type."""
    if isinstance(value, str) and _PLAIN_WORD.fullmatch(value):
        return f"`{value}`"
    return "nothing" if value is None else f"a value of type {type(value).__name__}"


@dataclass(frozen=True, slots=True)
class Fields:
    """A JSON object, where it stands, and how its faults are told. A null member reads as absent."""

    body: Mapping[str, Any]
    path: str
    fault: Fault

    def at(self, key: str) -> str:
        """The path of a member."""
        return f"{self.path}.{key}" if self.path else key

    def wrong(self, key: str, accepted: str) -> PonderError:
        """The error for a member that is not what would be accepted."""
        path = self.at(key)
        state = "is missing" if self.body.get(key) is None else "is something else"
        return self.fault(path, f"`{path}` must be {accepted}; it {state}")

    def optional_text(self, key: str) -> str | None:
        """A string, or nothing."""
        value = self.body.get(key)
        if value is None or isinstance(value, str):
            return value
        raise self.wrong(key, "a string")

    def text(self, key: str) -> str:
        """A string that must be there; it may be empty."""
        value = self.optional_text(key)
        if value is None:
            raise self.wrong(key, "a string")
        return value

    def word(self, key: str) -> str:
        """A string that must be there and say something: a name or an id."""
        value = self.text(key)
        if not value:
            raise self.fault(self.at(key), f"`{self.at(key)}` must be a string of at least one character; it is empty")
        return value

    def flag(self, key: str) -> bool | None:
        """A boolean, or nothing."""
        value = self.body.get(key)
        if value is None or isinstance(value, bool):
            return value
        raise self.wrong(key, "true or false")

    def number(self, key: str) -> float | None:
        """A finite number as it came, or nothing."""
        value = self.body.get(key)
        if value is None or (isinstance(value, int) and not isinstance(value, bool)):
            return value
        if isinstance(value, float) and math.isfinite(value):
            return value
        raise self.wrong(key, "a number")

    def whole(self, key: str, *, least: int) -> int | None:
        """A whole number of at least ``least``, or nothing."""
        value = self.body.get(key)
        if value is None:
            return None
        if isinstance(value, int) and not isinstance(value, bool) and value >= least:
            return value
        raise self.wrong(key, f"a whole number of at least {least}")

    def mapping(self, key: str) -> Mapping[str, Any] | None:
        """An object as it came, or nothing."""
        value = self.body.get(key)
        if value is None or isinstance(value, Mapping):
            return value
        raise self.wrong(key, "an object")

    def inner(self, key: str) -> Fields | None:
        """An object to read on, or nothing."""
        value = self.mapping(key)
        return None if value is None else Fields(value, self.at(key), self.fault)

    def inners(self, key: str) -> list[Fields]:
        """A list of objects to read on; empty where there is none."""
        value = self.body.get(key)
        if value is None:
            return []
        if not isinstance(value, list):
            raise self.wrong(key, "a list of objects")
        return [self._element(key, index, element) for index, element in enumerate(value)]

    def _element(self, key: str, index: int, element: object) -> Fields:
        path = f"{self.at(key)}[{index}]"
        if not isinstance(element, Mapping):
            raise self.fault(path, f"`{path}` must be an object; it is something else")
        return Fields(element, path, self.fault)

    def leftovers(self, known: frozenset[str]) -> dict[str, Any]:
        """Members beside the known ones that say something, by their paths."""
        return {self.at(key): value for key, value in self.body.items() if key not in known and value}
