"""Anthropic's ``usage`` object: reading it into disjoint classes, and writing it.

Anthropic counts cached and cache-write tokens beside ``input_tokens``, and thinking inside
``output_tokens``, just as :class:`gateway.domain.usage.Usage` does.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.domain.usage import Usage

_TIERS = {"standard": "standard", "default": "standard", "priority": "priority", "batch": "batch"}


def read_usage(raw: Mapping[str, Any]) -> Usage:
    """Read a ``usage`` object; members that are missing, null or odd count as zero.

    Cache writes that no TTL is named for are the five-minute ones, which is Anthropic's default.
    """
    written = _count(raw.get("cache_creation_input_tokens"))
    by_ttl = _object(raw.get("cache_creation"))
    written_5m = _count(by_ttl.get("ephemeral_5m_input_tokens"))
    written_1h = _count(by_ttl.get("ephemeral_1h_input_tokens"))
    # Fast mode is priced like a service tier of its own, and said in a field of its own.
    tier = "fast" if raw.get("speed") == "fast" else raw.get("service_tier")
    return Usage(
        input_tokens=_count(raw.get("input_tokens")),
        cached_tokens=_count(raw.get("cache_read_input_tokens")),
        cache_write_5m_tokens=max(written_5m, written - written_1h),
        cache_write_1h_tokens=written_1h,
        output_tokens=_count(raw.get("output_tokens")),
        thinking_tokens=_count(_object(raw.get("output_tokens_details")).get("thinking_tokens")),
        web_searches=_count(_object(raw.get("server_tool_use")).get("web_search_requests")),
        service_tier=tier if isinstance(tier, str) else None,
        raw=raw,
    )


def merge_usage(earlier: Mapping[str, Any], later: Any) -> dict[str, Any]:
    """The usage of ``message_start`` brought up to date by a ``message_delta``'s, which is cumulative."""
    return {**earlier, **{key: value for key, value in _object(later).items() if value is not None}}


def render_usage(usage: Usage) -> dict[str, Any]:
    """The ``usage`` object of a whole message."""
    return {
        **render_delta_usage(usage),
        "cache_creation": {
            "ephemeral_5m_input_tokens": usage.cache_write_5m_tokens,
            "ephemeral_1h_input_tokens": usage.cache_write_1h_tokens,
        },
        "service_tier": _TIERS.get(usage.service_tier or ""),
    }


def render_delta_usage(usage: Usage) -> dict[str, Any]:
    """The ``usage`` object of a ``message_delta``, which has fewer members than a message's."""
    rendered: dict[str, Any] = {
        "input_tokens": usage.input_tokens,
        "cache_creation_input_tokens": usage.cache_write_5m_tokens + usage.cache_write_1h_tokens,
        "cache_read_input_tokens": usage.cached_tokens,
        "output_tokens": usage.output_tokens,
    }
    if usage.thinking_tokens:
        rendered["output_tokens_details"] = {"thinking_tokens": usage.thinking_tokens}
    if usage.web_searches:
        rendered["server_tool_use"] = {"web_search_requests": usage.web_searches, "web_fetch_requests": 0}
    return rendered


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _count(value: Any) -> int:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        return 0
    return max(value, 0)
