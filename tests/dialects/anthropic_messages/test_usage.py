"""Usage between Anthropic's members and the disjoint classes."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given

from gateway.dialects.anthropic_messages.usage import merge_usage, read_usage, render_usage
from gateway.domain.usage import Usage
from tests.dialects.strategies import json_values, usages


def test_every_member_is_read() -> None:
    """Each count of a full usage object lands in its own class, and the raw object is kept."""
    raw = {
        "input_tokens": 11,
        "cache_creation_input_tokens": 30,
        "cache_creation": {"ephemeral_5m_input_tokens": 10, "ephemeral_1h_input_tokens": 20},
        "cache_read_input_tokens": 7,
        "output_tokens": 50,
        "output_tokens_details": {"thinking_tokens": 40},
        "server_tool_use": {"web_search_requests": 2, "web_fetch_requests": 1},
        "service_tier": "priority",
        "speed": "standard",
    }
    assert read_usage(raw) == Usage(
        input_tokens=11,
        cached_tokens=7,
        cache_write_5m_tokens=10,
        cache_write_1h_tokens=20,
        output_tokens=50,
        thinking_tokens=40,
        web_searches=2,
        service_tier="priority",
        raw=raw,
    )
    assert read_usage(raw).prompt_tokens == 48


def test_unsplit_cache_writes_are_five_minute_ones() -> None:
    """Cache writes that no lifetime is named for count as five-minute ones."""
    assert read_usage({"cache_creation_input_tokens": 30}).cache_write_5m_tokens == 30
    split = {"cache_creation_input_tokens": 30, "cache_creation": {"ephemeral_1h_input_tokens": 20}}
    assert (read_usage(split).cache_write_5m_tokens, read_usage(split).cache_write_1h_tokens) == (10, 20)


@pytest.mark.parametrize("odd", [None, "12", True, -4, 1.5, float("inf"), [], {}])
def test_odd_counts_are_zero(odd: Any) -> None:
    """A count that is missing, null or no count at all is zero."""
    raw = {"input_tokens": odd, "cache_creation": odd, "output_tokens_details": odd, "output_tokens": 3.0}
    usage = read_usage(raw)
    assert (usage.input_tokens, usage.cache_write_1h_tokens, usage.thinking_tokens, usage.output_tokens) == (0, 0, 0, 3)


def test_later_usage_updates_earlier() -> None:
    """Cumulative members replace earlier ones; missing and null ones leave them."""
    merged = merge_usage({"input_tokens": 5, "output_tokens": 1}, {"input_tokens": None, "output_tokens": 9})
    assert merged == {"input_tokens": 5, "output_tokens": 9}
    assert merge_usage({"input_tokens": 5}, "odd") == {"input_tokens": 5}


@given(json_values)
def test_no_json_crashes_reading(value: Any) -> None:
    """Any JSON in any member is read without an exception."""
    names = ("input_tokens", "cache_creation", "cache_creation_input_tokens", "server_tool_use", "service_tier")
    assert read_usage(dict.fromkeys(names, value)).input_tokens >= 0


@given(usages())
def test_round_trip(usage: Usage) -> None:
    """Every class that Anthropic counts comes back from a rendered usage object."""
    back = read_usage(render_usage(usage))
    for name in ("input_tokens", "cached_tokens", "cache_write_5m_tokens", "cache_write_1h_tokens"):
        assert getattr(back, name) == getattr(usage, name)
    for name in ("output_tokens", "thinking_tokens", "web_searches"):
        assert getattr(back, name) == getattr(usage, name)


def test_fast_mode_is_a_tier_of_its_own() -> None:
    """Fast mode has its own price, so it is read as the tier that the price list calls ``fast``."""
    assert read_usage({"output_tokens": 1, "speed": "fast", "service_tier": "standard"}).service_tier == "fast"
    assert read_usage({"output_tokens": 1, "speed": "standard", "service_tier": "standard"}).service_tier == "standard"
