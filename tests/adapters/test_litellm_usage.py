"""The provider's own counts, out of the bytes of its answer."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.adapters.litellm_usage import UsageReader, answer_usage, find_usage
from gateway.dialects.openai_chat.usage import read_usage

ANTHROPIC = {"input_tokens": 3, "output_tokens": 90, "output_tokens_details": {"thinking_tokens": 70}}


@pytest.mark.parametrize(
    "body",
    [
        {"usage": {"n": 1}},
        {"usageMetadata": {"n": 1, "left_out": None}},
        {"type": "message_start", "message": {"usage": {"n": 1}}},
        {"type": "response.completed", "response": {"usage": {"n": 1}}},
        {"type": "message-end", "delta": {"usage": {"n": 1}}},
        {"x_groq": {"usage": {"n": 1}}},
    ],
)
def test_usage_is_found_where_each_provider_puts_it(body: Any) -> None:
    """Whatever a provider calls it, and however deep it stands, its usage is found."""
    assert find_usage(body) == {"n": 1}


@given(st.integers(min_value=1, max_value=40))
def test_a_stream_is_read_however_it_is_cut(size: int) -> None:
    """The last report counts, and an earlier one fills in what it lacks, wherever the bytes were split."""
    events = [
        {"type": "message_start", "message": {"usage": {"input_tokens": 3, "output_tokens": 1}}},
        {"type": "content_block_delta", "delta": {"text": "a passage on usage"}},
        {"type": "message_delta", "usage": {"output_tokens": 90, "output_tokens_details": {"thinking_tokens": 70}}},
    ]
    raw = b"".join(b"event: x\r\ndata: " + json.dumps(event).encode() + b"\r\n\r\n" for event in events)
    reader = UsageReader("text/event-stream; charset=utf-8")
    for start in range(0, len(raw), size):
        reader.feed(raw[start : start + size])
    reader.finish()
    assert reader.usage == ANTHROPIC


def test_only_what_cohere_bills_is_counted() -> None:
    """Cohere's tokens include its own instructions, which it does not charge for."""
    raw = {"billed_units": {"input_tokens": 5, "output_tokens": 7}, "tokens": {"input_tokens": 71, "output_tokens": 9}}
    usage = answer_usage({"prompt_tokens": 71, "completion_tokens": 9, "total_tokens": 80}, raw, was_readable=True)
    assert usage is not None
    read = read_usage(usage)
    assert (read.input_tokens, read.output_tokens) == (5, 7)


def test_a_framing_that_cannot_be_read_is_known_as_such() -> None:
    """Bedrock's binary event stream is passed over, so that litellm's view of it stands."""
    reader = UsageReader("application/vnd.amazon.eventstream")
    reader.feed(b'\x00\x01"usage"')
    reader.finish()
    assert (reader.can_read, reader.usage) == (False, {})


def test_thinking_that_litellm_reads_as_zero_is_taken_from_the_provider() -> None:
    """litellm#36290: reasoning_tokens is 0 though the provider reported thinking under its own name."""
    normalised = {
        "prompt_tokens": 3,
        "completion_tokens": 90,
        "total_tokens": 93,
        "completion_tokens_details": {"reasoning_tokens": 0, "text_tokens": None},
        "prompt_tokens_details": None,
    }
    usage = answer_usage(normalised, ANTHROPIC, was_readable=True)
    assert usage is not None
    assert read_usage(usage).thinking_tokens == 70
    assert usage["provider_usage"] == ANTHROPIC


def test_cache_writes_are_counted_under_the_dialects_name() -> None:
    """Tokens written to a cache are priced as such, and not as plain input."""
    normalised = {"prompt_tokens": 103, "completion_tokens": 1, "total_tokens": 104}
    usage = answer_usage(normalised, {"input_tokens": 3, "cache_creation_input_tokens": 100}, was_readable=True)
    assert usage is not None
    read = read_usage(usage)
    assert (read.input_tokens, read.cache_write_5m_tokens) == (3, 100)


def test_litellms_own_price_never_passes_for_the_providers() -> None:
    """A cost in usage wins over the price list, so only a provider may have put it there."""
    litellms = answer_usage({"prompt_tokens": 1, "cost": 0.5}, {"promptTokenCount": 1}, was_readable=True)
    assert litellms is not None
    assert read_usage(litellms).reported_cost_usd is None
    openrouters = answer_usage({}, {"prompt_tokens": 1, "cost": 0.5}, was_readable=True)
    assert openrouters is not None
    assert read_usage(openrouters).reported_cost_usd == "0.5"


def test_no_report_is_no_usage() -> None:
    """Where the provider said nothing, litellm's estimate does not stand in as if it had."""
    assert answer_usage({"prompt_tokens": 9, "completion_tokens": 9}, {}, was_readable=True) is None
    assert answer_usage({"prompt_tokens": 9}, {}, was_readable=False) == {"prompt_tokens": 9}
