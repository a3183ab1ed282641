"""What a request names that a provider keeps, instead of sending it: only the Responses API knows such things.

Bodies are looked at as they came, before anybody has checked them: whatever is odd is passed over, and
its upstream's to refuse.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from gateway.domain.chat import Dialect


@dataclass(frozen=True, slots=True)
class StoredNames:
    """The stored response that a request continues, and the path of the first other stored thing that it names."""

    answer_id: str | None = None
    other: str | None = None

    def __bool__(self) -> bool:
        return self.answer_id is not None or self.other is not None


NOTHING_STORED: Final = StoredNames()


def stored_names(dialect: Dialect, body: Mapping[str, Any]) -> StoredNames:
    """What of a provider's a request names. Never raises, whatever the body holds."""
    if dialect is not Dialect.OPENAI_RESPONSES:
        return NOTHING_STORED
    previous = body.get("previous_response_id")
    other = "conversation" if body.get("conversation") is not None else _first_reference(body.get("input"))
    if previous is None and other is None:
        return NOTHING_STORED
    return StoredNames(None if previous is None else str(previous), other)


def _first_reference(items: object) -> str | None:
    if isinstance(items, list):
        for number, item in enumerate(items):
            if isinstance(item, dict) and _is_reference(item):
                return f"input[{number}]"
    return None


def _is_reference(item: Mapping[str, Any]) -> bool:
    kind = item.get("type")
    # The type of a message and of a reference may be left out; a message has a role.
    return kind == "item_reference" or (kind is None and "role" not in item)
