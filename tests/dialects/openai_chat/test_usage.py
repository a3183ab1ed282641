"""Tests of gateway/dialects/openai_chat/usage.py."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.dialects.openai_chat.usage import read_usage, render_service_tier, render_usage
from gateway.domain.usage import Usage


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ({"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}, Usage(input_tokens=10, output_tokens=5)),
        (  # OpenAI: cached and written tokens inside prompt_tokens
            {
                "prompt_tokens": 1000,
                "completion_tokens": 50,
                "prompt_tokens_details": {"cached_tokens": 600, "cache_write_tokens": 300, "audio_tokens": 20},
                "completion_tokens_details": {"reasoning_tokens": 40, "audio_tokens": 3},
            },
            Usage(100, 600, 300, 0, 50, 40, 20, 3),
        ),
        (  # DeepSeek
            {
                "prompt_tokens": 100,
                "completion_tokens": 1,
                "prompt_cache_hit_tokens": 64,
                "prompt_cache_miss_tokens": 36,
            },
            Usage(input_tokens=36, cached_tokens=64, output_tokens=1),
        ),
        (  # OpenRouter
            {"prompt_tokens": 8, "completion_tokens": 2, "cost": 1.5e-05},
            Usage(input_tokens=8, output_tokens=2, reported_cost_usd="0.000015"),
        ),
        (  # xAI: reasoning beside completion_tokens, by its total
            {
                "prompt_tokens": 32,
                "completion_tokens": 9,
                "total_tokens": 135,
                "completion_tokens_details": {"reasoning_tokens": 94},
            },
            Usage(input_tokens=32, output_tokens=103, thinking_tokens=94),
        ),
        ({"prompt_tokens": 10, "total_tokens": 15}, Usage(input_tokens=10, output_tokens=5)),
        (
            {"prompt_tokens": 10, "completion_tokens": 1, "service_tier": "flex"},
            Usage(10, 0, 0, 0, 1, service_tier="flex"),
        ),
        ({"prompt_tokens": 3.0, "completion_tokens": True}, Usage(input_tokens=3)),
        ({"prompt_tokens": -4, "completion_tokens": "9", "prompt_tokens_details": None}, Usage()),
        ({"prompt_tokens": 5, "prompt_tokens_details": {"cached_tokens": 9}}, Usage(cached_tokens=5)),
        (
            {"prompt_tokens": 5, "prompt_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 9}},
            Usage(cached_tokens=4, cache_write_5m_tokens=1),
        ),
        ({"completion_tokens": 3, "completion_tokens_details": {"reasoning_tokens": 8}}, Usage(0, 0, 0, 0, 3, 3)),
        ({}, Usage()),
    ],
)
def test_usage_reads_into_disjoint_classes(raw: dict[str, Any], expected: Usage) -> None:
    """Each server's way of counting gives the same classes; nonsense counts nothing."""
    read = read_usage(raw)
    assert read.raw is raw
    assert Usage(**{name: getattr(read, name) for name in Usage.__slots__ if name != "raw"}) == expected


@pytest.mark.parametrize(
    ("cost", "expected"),
    [
        (0.1, "0.1"),
        (0, "0"),
        ("0.000120", "0.000120"),
        (1e-12, "0.000000000001"),
        (-1, None),
        (True, None),
        ("free", None),
        ("NaN", None),
        ("Infinity", None),
        ("1e999999", None),
        ("0e999999999", "0"),
        ("1e-999999", None),
        pytest.param(10**5000, None, id="longer than Python prints"),
        ({}, None),
    ],
)
def test_a_reported_cost_is_plain_decimal_text(cost: Any, expected: str | None) -> None:
    """A cost is kept to the digit; what is no amount of money is ignored."""
    assert read_usage({"cost": cost}).reported_cost_usd == expected


def test_rendered_usage_adds_up() -> None:
    """The classes go back inside prompt_tokens, with details and total."""
    usage = Usage(100, 600, 200, 100, 50, 40, 20, 3)
    assert render_usage(usage) == {
        "prompt_tokens": 1000,
        "completion_tokens": 50,
        "total_tokens": 1050,
        "prompt_tokens_details": {"cached_tokens": 600, "cache_write_tokens": 300, "audio_tokens": 20},
        "completion_tokens_details": {"reasoning_tokens": 40, "audio_tokens": 3},
    }


@pytest.mark.parametrize(
    ("tier", "expected"),
    [("priority", {"service_tier": "priority"}), ("standard", {"service_tier": "default"}), ("batch", {}), (None, {})],
)
def test_the_tier_is_told_in_words_that_chat_knows(tier: str | None, expected: dict[str, str]) -> None:
    """A tier that openai-chat has no word for is left out."""
    assert render_service_tier(Usage(service_tier=tier)) == expected
