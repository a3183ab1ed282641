"""How hard to think, in Anthropic's words."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.dialects.anthropic_messages.thinking import Room, render_thinking
from gateway.domain.chat import ThinkingMode, ThinkingWish
from gateway.errors import InvalidRequest

OPEN = Room(None, 1000)


@pytest.mark.parametrize(
    ("wish", "config", "effort", "dropped"),
    [
        (ThinkingWish(), None, None, []),
        (ThinkingWish(effort="high"), None, "high", []),
        (ThinkingWish(effort="minimal"), None, "low", ["reasoning_effort: minimal→low"]),
        (ThinkingWish(effort="none"), {"type": "disabled"}, None, []),
        (
            ThinkingWish(effort="none", mode=ThinkingMode.ADAPTIVE),
            {"type": "adaptive"},
            None,
            ["reasoning_effort: none"],
        ),
        (ThinkingWish(budget_tokens=2048), {"type": "enabled", "budget_tokens": 2048}, None, []),
        (ThinkingWish(budget_tokens=0), {"type": "disabled"}, None, []),
        (
            ThinkingWish("max", 2048, ThinkingMode.ADAPTIVE, "omitted"),
            {"type": "adaptive", "display": "omitted"},
            "max",
            ["thinking.budget_tokens"],
        ),
        (
            ThinkingWish(mode=ThinkingMode.ADAPTIVE, display="detailed"),
            {"type": "adaptive", "display": "summarized"},
            None,
            ["thinking.display: detailed→summarized"],
        ),
        (ThinkingWish(mode=ThinkingMode.BETWEEN_TOOLS), {"type": "between_tools"}, None, []),
        (ThinkingWish(mode=ThinkingMode.DISABLED, display="omitted"), {"type": "disabled"}, None, ["thinking.display"]),
        (ThinkingWish(effort="low", display="auto"), None, "low", ["thinking.display"]),
    ],
)
def test_wishes(wish: ThinkingWish, config: dict[str, Any] | None, effort: str | None, dropped: list[str]) -> None:
    """Each wish becomes thinking and effort, and what cannot be said is named."""
    named: list[str] = []
    rendered = render_thinking(wish, OPEN, named, obstacle=None)
    assert (rendered.config, rendered.effort, named) == (config, effort, dropped)


def test_a_budget_comes_on_top_of_the_default_limit() -> None:
    """Where the client set no limit, the answer keeps its room beside the budget."""
    wish = ThinkingWish(budget_tokens=2048)
    assert render_thinking(wish, OPEN, [], obstacle=None).max_tokens == 3048
    assert render_thinking(wish, Room(4000, 1000), [], obstacle=None).max_tokens == 4000
    assert render_thinking(ThinkingWish(), OPEN, [], obstacle=None).max_tokens == 1000


@pytest.mark.parametrize("limit", [1, 2047, 2048])
def test_a_budget_must_fit_the_clients_limit(limit: int) -> None:
    """A limit of the client's own that leaves the budget no room is refused, never raised."""
    with pytest.raises(InvalidRequest, match="`max_tokens` must be greater than") as refused:
        render_thinking(ThinkingWish(budget_tokens=2048), Room(limit, 1000), [], obstacle=None)
    assert refused.value.param == "max_tokens"


@pytest.mark.parametrize("budget", [None, 1, 1023])
def test_a_budget_has_a_least_size(budget: int | None) -> None:
    """A budget below Anthropic's least one is refused."""
    wish = ThinkingWish(budget_tokens=budget, mode=ThinkingMode.ENABLED)
    with pytest.raises(InvalidRequest, match="at least 1024"):
        render_thinking(wish, OPEN, [], obstacle=None)


def test_unknown_effort_is_refused() -> None:
    """An effort that Anthropic does not have is refused with those that it has."""
    with pytest.raises(InvalidRequest, match="none, minimal, low, medium, high, xhigh, max"):
        render_thinking(ThinkingWish(effort="extreme"), OPEN, [], obstacle=None)


def test_an_obstacle_turns_a_budget_off() -> None:
    """A budget that Anthropic would refuse here is left out by name; adaptive thinking stays."""
    named: list[str] = []
    rendered = render_thinking(ThinkingWish(budget_tokens=2048), OPEN, named, obstacle="reason")
    assert (rendered.config, rendered.is_on, rendered.max_tokens, named) == (None, False, 1000, ["thinking: reason"])
    adaptive = ThinkingWish(mode=ThinkingMode.ADAPTIVE)
    assert render_thinking(adaptive, OPEN, [], obstacle="reason").is_on
