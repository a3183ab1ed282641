"""Reading a client's JSON field by field, with the path of whatever is wrong.

Every complaint is an :class:`InvalidRequest` whose ``param`` is a path such as
``messages[2].content[0].image_url.url`` and whose message says what would be accepted. Values
are never quoted: they may be prompts.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from gateway.errors import InvalidRequest


def refused(param: str, message: str) -> InvalidRequest:
    """A complaint about the field at ``param``; ``message`` follows its name."""
    return InvalidRequest(f"{param} {message}", param=param)


@dataclass(frozen=True, slots=True)
class Fields:
    """A JSON object within the request, and where it stands. A null member counts as absent."""

    values: Mapping[str, Any]
    path: str = ""

    def at(self, key: str) -> str:
        """The path of a member."""
        return f"{self.path}.{key}" if self.path else key

    def get(self, key: str) -> Any:
        """The member as it came; None if absent."""
        return self.values.get(key)

    def has(self, key: str) -> bool:
        return self.values.get(key) is not None

    def optional_text(self, key: str) -> str | None:
        value = self.values.get(key)
        if value is None or isinstance(value, str):
            return value
        raise refused(self.at(key), "must be a string")

    def text(self, key: str) -> str:
        value = self.values.get(key)
        if isinstance(value, str):
            return value
        raise refused(self.at(key), "is required and must be a string")

    def name(self, key: str) -> str:
        """A required string that is not empty."""
        value = self.text(key)
        if not value:
            raise refused(self.at(key), "must not be empty")
        return value

    def optional_flag(self, key: str) -> bool | None:
        value = self.values.get(key)
        if value is None or isinstance(value, bool):
            return value
        raise refused(self.at(key), "must be true or false")

    def optional_integer(self, key: str, *, at_least: int | None = None) -> int | None:
        value = self.values.get(key)
        if value is None:
            return None
        if not isinstance(value, int) or isinstance(value, bool):
            raise refused(self.at(key), "must be an integer")
        if at_least is not None and value < at_least:
            raise refused(self.at(key), f"must be at least {at_least}")
        return value

    def optional_number(self, key: str) -> float | None:
        value = self.values.get(key)
        if value is None:
            return None
        if isinstance(value, int) and not isinstance(value, bool):
            return value
        if isinstance(value, float) and math.isfinite(value):
            return value
        raise refused(self.at(key), "must be a number")

    def optional_mapping(self, key: str) -> Mapping[str, Any] | None:
        value = self.values.get(key)
        if value is None or isinstance(value, Mapping):
            return value
        raise refused(self.at(key), "must be an object")

    def child(self, key: str) -> Fields:
        """A required member that is an object itself."""
        value = self.values.get(key)
        if isinstance(value, Mapping):
            return Fields(value, self.at(key))
        raise refused(self.at(key), "is required and must be an object")

    def children(self, key: str) -> Iterator[Fields]:
        """The objects of an optional list."""
        value = self.values.get(key)
        if value is None:
            return
        if not isinstance(value, list):
            raise refused(self.at(key), "must be a list of objects")
        for position, item in enumerate(value):
            path = f"{self.at(key)}[{position}]"
            if not isinstance(item, Mapping):
                raise refused(path, "must be an object")
            yield Fields(item, path)
