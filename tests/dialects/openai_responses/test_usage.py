"""Usage in the Responses API."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given

from gateway.dialects.openai_responses.usage import read_usage, render_usage
from gateway.domain.usage import Usage
from tests.dialects.strategies import json_objects, json_values

_DETAILED = {
    "input_tokens": 100,
    "input_tokens_details": {"cached_tokens": 60, "cache_write_tokens": 30, "audio_tokens": 2},
    "output_tokens": 40,
    "output_tokens_details": {"reasoning_tokens": 25, "audio_tokens": 1},
    "total_tokens": 140,
    "cost": 0.0012,
}


def test_classes_are_disjoint_and_raw_is_kept() -> None:
    """Cached and written tokens are taken out of the input, and the provider's words stay beside."""
    assert read_usage(_DETAILED) == Usage(
        input_tokens=10,
        cached_tokens=60,
        cache_write_5m_tokens=30,
        output_tokens=40,
        thinking_tokens=25,
        audio_input_tokens=2,
        audio_output_tokens=1,
        reported_cost_usd="0.0012",
        raw=_DETAILED,
    )


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ({}, Usage()),
        ({"input_tokens": None, "input_tokens_details": None}, Usage()),
        ({"input_tokens": 5, "input_tokens_details": {"cached_tokens": 9}}, Usage(cached_tokens=5)),
        ({"input_tokens": "5", "output_tokens": True, "output_tokens_details": []}, Usage()),
        ({"input_tokens": 5.0, "output_tokens": -1}, Usage(input_tokens=5)),
        ({"cost": float("nan")}, Usage()),
    ],
)
def test_missing_and_odd_members_count_as_zero(raw: dict[str, Any], expected: Usage) -> None:
    """Usage is read tolerantly: what is missing, null or no count is zero, and none goes below."""
    read = read_usage(raw)
    assert replace(read, raw={}) == expected


def test_rendered_usage_adds_up() -> None:
    """All input classes together are ``input_tokens``, and the total is input and output."""
    usage = Usage(
        input_tokens=1,
        cached_tokens=2,
        cache_write_5m_tokens=3,
        cache_write_1h_tokens=4,
        output_tokens=5,
        thinking_tokens=1,
    )
    assert render_usage(usage) == {
        "input_tokens": 10,
        "input_tokens_details": {"cached_tokens": 2, "cache_write_tokens": 7},
        "output_tokens": 5,
        "output_tokens_details": {"reasoning_tokens": 1},
        "total_tokens": 15,
    }


def test_small_costs_are_plain_decimals() -> None:
    """A cost that the provider reports is kept as decimal text, never in scientific notation."""
    assert read_usage({"cost": 1e-05}).reported_cost_usd == "0.00001"


@given(raw=json_objects, details=json_values)
def test_any_object_is_read(raw: dict[str, Any], details: Any) -> None:
    """No usage object makes reading fail."""
    assert read_usage(raw | {"input_tokens_details": details}).input_tokens >= 0
