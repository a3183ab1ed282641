"""A request body being changed: reads through to the body, and keeps changes and remarks apart from it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.domain.capabilities import Capability
from gateway.domain.chat import Dialect

_LIMITS = {
    Dialect.OPENAI_CHAT: ("max_completion_tokens", "max_tokens"),
    Dialect.OPENAI_RESPONSES: ("max_output_tokens",),
    Dialect.ANTHROPIC_MESSAGES: ("max_tokens",),
}
"""What each dialect calls the output limit, the newer name first."""


class Draft:
    """What is to become of one request body."""

    __slots__ = ("_body", "capability", "changes", "dialect", "remarks", "removals", "sent")

    def __init__(self, capability: Capability, dialect: Dialect, body: Mapping[str, Any]) -> None:
        self.capability = capability
        self.dialect = dialect
        self.changes: dict[str, Any] = {}
        self.removals: list[str] = []
        self.remarks: list[str] = []
        self.sent: dict[str, Any] = {}
        self._body = body

    def get(self, name: str) -> Any:
        """The field as it stands now; None where there is none."""
        if name in self.changes:
            return self.changes[name]
        return None if name in self.removals else self._body.get(name)

    def members(self, name: str) -> dict[str, Any]:
        """The members of an object field; none where it is no object."""
        value = self.get(name)
        return dict(value) if isinstance(value, dict) else {}

    def set(self, name: str, value: Any) -> None:
        """Set a top-level field."""
        if name in self.removals:
            self.removals.remove(name)
        if name not in self._body or self._body[name] != value:
            self.changes[name] = value
        else:
            self.changes.pop(name, None)

    def drop(self, name: str) -> None:
        """Take a top-level field away, if there is one."""
        self.changes.pop(name, None)
        if name in self._body and name not in self.removals:
            self.removals.append(name)

    def remark(self, text: str) -> None:
        """Say what differs from what was asked for."""
        self.remarks.append(text)

    @property
    def limit_name(self) -> str:
        """What this request calls its output limit."""
        names = _LIMITS[self.dialect]
        return next((name for name in names if self.get(name) is not None), names[-1])

    @property
    def limit(self) -> int | None:
        """The output limit, if it has one."""
        value = self.get(self.limit_name)
        return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None

    @property
    def is_stream(self) -> bool:
        return self.get("stream") is True

    @property
    def is_messages(self) -> bool:
        return self.dialect is Dialect.ANTHROPIC_MESSAGES

    @property
    def is_chat(self) -> bool:
        return self.dialect is Dialect.OPENAI_CHAT
