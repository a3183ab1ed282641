"""What is wished of a model's thinking, and what becomes of it in a request."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Any

from gateway.domain.construction import quick_value
from gateway.domain.effort import LEVELS, OFF


@quick_value
class Wish:
    """How hard an arm wants its model to think: an effort of :data:`gateway.domain.effort.LEVELS`, or a number.

    A number is a ceiling, 0 means no thinking; where both are given, the number counts. With
    neither, the model's own default holds.
    """

    effort: str | None = None
    thinking_tokens: int | None = None

    def __post_init__(self) -> None:
        if self.effort is not None and self.effort not in LEVELS:
            raise ValueError(f"effort is none of {', '.join(LEVELS)}")
        if self.thinking_tokens is not None and self.thinking_tokens < 0:
            raise ValueError("thinking_tokens must be 0 or more")

    @property
    def is_empty(self) -> bool:
        """Whether nothing is wished."""
        return self.effort is None and self.thinking_tokens is None

    @property
    def is_off(self) -> bool:
        """Whether no thinking is wished."""
        return self.thinking_tokens == 0 or (self.thinking_tokens is None and self.effort == OFF)

    @property
    def words(self) -> str:
        """The wish as messages name it."""
        if self.is_off:
            return "thinking off"
        return f"effort {self.effort}" if self.thinking_tokens is None else f"{self.thinking_tokens} thinking tokens"

    @property
    def record(self) -> dict[str, Any]:
        """The wish as it is recorded."""
        members = {"effort": self.effort, "thinking_tokens": self.thinking_tokens}
        return {name: value for name, value in members.items() if value is not None}


@quick_value
class Actuation:
    """What a wish does to a request body: top-level fields to set and to take away.

    ``remaps`` says in a few words each what differs from the wish or from the client's own fields;
    it is empty only where the model does exactly what is wished. ``sent`` is the thinking that the
    request asks for now: ``effort``, ``thinking_tokens``, or ``thinking`` where it is only on or off.
    """

    changes: Mapping[str, Any] = field(default_factory=dict)
    removals: tuple[str, ...] = ()
    requested: Mapping[str, Any] = field(default_factory=dict)
    sent: Mapping[str, Any] = field(default_factory=dict)
    remaps: tuple[str, ...] = ()
    reads_tags: bool = False
    """Whether the answer's text is to be searched for thinking between tags."""
