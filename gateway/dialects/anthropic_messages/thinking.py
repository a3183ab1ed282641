"""Rendering how hard to think: ``thinking``, ``output_config.effort`` and the room in ``max_tokens``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gateway.dialects.anthropic_messages.request import EFFORTS, LEAST_BUDGET_TOKENS
from gateway.domain.chat import ThinkingMode, ThinkingWish
from gateway.errors import InvalidRequest

_DISPLAYS = {
    "summarized": "summarized",
    "omitted": "omitted",
    "auto": "summarized",
    "concise": "summarized",
    "detailed": "summarized",
}


@dataclass(frozen=True, slots=True)
class RenderedThinking:
    """``config`` is the ``thinking`` member; None leaves the model's default."""

    config: dict[str, Any] | None
    effort: str | None
    max_tokens: int

    @property
    def is_on(self) -> bool:
        """Whether the request asks for thinking outright."""
        return self.config is not None and self.config["type"] in {"enabled", "adaptive"}


@dataclass(frozen=True, slots=True)
class Room:
    """How much output may come. Thinking counts toward ``max_tokens``.

    ``limit`` is the client's own, thinking included, and is never raised. Where it is None,
    ``default`` is room for the answer, and a thinking budget comes on top of it.
    """

    limit: int | None
    default: int

    @property
    def max_tokens(self) -> int:
        """The whole room, where thinking has no budget of its own."""
        return self.default if self.limit is None else self.limit


def render_thinking(wish: ThinkingWish, room: Room, dropped: list[str], *, obstacle: str | None) -> RenderedThinking:
    """Render ``wish``; ``obstacle`` says why a thinking budget would be refused, if it would.

    Models that take a budget think only when told to, so leaving ``thinking`` out turns it off.
    """
    mode = _mode(wish)
    effort = _effort(wish.effort, mode, dropped)
    if mode is ThinkingMode.ENABLED and obstacle is not None:
        dropped.append(f"thinking: {obstacle}")
        mode = None
    if mode is None:
        if wish.display is not None:
            dropped.append("thinking.display")
        return RenderedThinking(None, effort, room.max_tokens)
    config: dict[str, Any] = {"type": mode.value}
    max_tokens = room.max_tokens
    if mode is ThinkingMode.ENABLED:
        budget = _checked_budget(wish.budget_tokens, room.limit)
        config["budget_tokens"] = budget
        if room.limit is None:
            max_tokens = budget + room.default
    elif wish.budget_tokens:
        dropped.append("thinking.budget_tokens")
    _add_display(config, wish.display, dropped)
    return RenderedThinking(config, effort, max_tokens)


def _mode(wish: ThinkingWish) -> ThinkingMode | None:
    """The mode asked for; a bare budget means enabled, none of it or of effort means disabled."""
    if wish.mode is not None:
        return wish.mode
    if wish.budget_tokens:
        return ThinkingMode.ENABLED
    if wish.budget_tokens == 0 or wish.effort == "none":
        return ThinkingMode.DISABLED
    return None


def _effort(effort: str | None, mode: ThinkingMode | None, dropped: list[str]) -> str | None:
    if effort is None or effort in EFFORTS:
        return effort
    if effort == "minimal":
        dropped.append("reasoning_effort: minimal→low")
        return "low"
    if effort == "none":
        if mode is not ThinkingMode.DISABLED:
            dropped.append("reasoning_effort: none")
        return None
    raise InvalidRequest(
        f"reasoning effort is no level that Anthropic has; accepted are none, minimal, {', '.join(EFFORTS)}",
        param="reasoning_effort",
    )


def _checked_budget(budget: int | None, limit: int | None) -> int:
    if budget is None or budget < LEAST_BUDGET_TOKENS:
        raise InvalidRequest(
            f"thinking.budget_tokens must be a whole number of at least {LEAST_BUDGET_TOKENS}",
            param="thinking.budget_tokens",
        )
    if limit is not None and limit <= budget:
        raise InvalidRequest(
            "`max_tokens` must be greater than `thinking.budget_tokens`; raise the one or lower the other",
            param="max_tokens",
        )
    return budget


def _add_display(config: dict[str, Any], display: str | None, dropped: list[str]) -> None:
    if display is None:
        return
    rendered = _DISPLAYS.get(display)
    if rendered is None or config["type"] not in {"enabled", "adaptive"}:
        dropped.append("thinking.display")
        return
    config["display"] = rendered
    if rendered != display:
        dropped.append(f"thinking.display: {display}→{rendered}")
