"""The ``usage`` object of chat completions, read into disjoint classes and rendered back.

``prompt_tokens`` counts cached and cache-write tokens inside itself, so they are taken out of it;
audio tokens stay inside, as thinking tokens stay inside the output. OpenAI names no lifetime for
cache writes: they count as the shorter class.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from gateway.domain.usage import Usage

_COST_CEILING = Decimal(10) ** 9
_COST_PLACES = 30
"""Reported costs beyond these are nonsense, and would print as megabytes of zeros."""


def read_usage(raw: Mapping[str, Any], *, service_tier: str | None = None) -> Usage:
    """The counts of a ``usage`` object; what is missing, negative or no count at all reads as zero.

    ``service_tier`` is what stands beside the object; it wins over one inside.
    """
    prompt_details = _mapping(raw.get("prompt_tokens_details"))
    completion_details = _mapping(raw.get("completion_tokens_details"))
    prompt = _count(raw.get("prompt_tokens"))
    # DeepSeek's name, then Moonshot's, where OpenAI's is not spoken.
    cached = min(
        prompt,
        _count(prompt_details.get("cached_tokens"))
        or _count(raw.get("prompt_cache_hit_tokens"))
        or _count(raw.get("cached_tokens")),
    )
    written = min(prompt - cached, _count(prompt_details.get("cache_write_tokens")))
    thinking = _count(completion_details.get("reasoning_tokens"))
    output = _read_output(raw, prompt, thinking)
    tier = raw.get("service_tier") if service_tier is None else service_tier
    return Usage(
        input_tokens=prompt - cached - written,
        cached_tokens=cached,
        cache_write_5m_tokens=written,
        output_tokens=output,
        thinking_tokens=min(thinking, output),
        audio_input_tokens=min(_count(prompt_details.get("audio_tokens")), prompt - cached - written),
        audio_output_tokens=min(_count(completion_details.get("audio_tokens")), output),
        service_tier=tier if isinstance(tier, str) else None,
        reported_cost_usd=_cost(raw.get("cost")),
        raw=raw,
    )


def _read_output(raw: Mapping[str, Any], prompt: int, thinking: int) -> int:
    total = _count(raw.get("total_tokens"))
    if raw.get("completion_tokens") is None:
        return max(total - prompt, 0)
    output = _count(raw.get("completion_tokens"))
    # xAI counts reasoning beside completion_tokens; its total gives that away.
    if thinking and total == prompt + output + thinking:
        return output + thinking
    return output


# Both are called a dozen times for every answer: the exact types, which nearly all values have, go first.


def _mapping(value: Any) -> Mapping[str, Any]:
    if type(value) is dict:
        return value
    return value if isinstance(value, Mapping) else {}


def _count(value: Any) -> int:
    if type(value) is int:
        return max(value, 0)
    if value is None:
        return 0
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0


def _cost(value: Any) -> str | None:
    """OpenRouter's ``cost`` in dollars as plain decimal text, exactly as it came."""
    if not isinstance(value, int | float | str) or isinstance(value, bool):
        return None
    try:
        cost = Decimal(str(value))
    except (InvalidOperation, ValueError):
        return None
    if not cost.is_finite() or not 0 <= cost < _COST_CEILING or int(cost.as_tuple().exponent) < -_COST_PLACES:
        return None
    return f"{cost:f}"


def render_usage(usage: Usage) -> dict[str, Any]:
    """The ``usage`` object that says these counts, details included."""
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.prompt_tokens + usage.output_tokens,
        "prompt_tokens_details": {
            "cached_tokens": usage.cached_tokens,
            "cache_write_tokens": usage.cache_write_5m_tokens + usage.cache_write_1h_tokens,
            "audio_tokens": usage.audio_input_tokens,
        },
        "completion_tokens_details": {
            "reasoning_tokens": usage.thinking_tokens,
            "audio_tokens": usage.audio_output_tokens,
        },
    }


_TIERS = {
    "standard": "default",  # Anthropic's name
    **{tier: tier for tier in ("auto", "default", "flex", "scale", "priority", "fast")},
}


def render_service_tier(usage: Usage) -> dict[str, str]:
    """The answer's ``service_tier``, where it has one that openai-chat knows."""
    tier = _TIERS.get(usage.service_tier or "")
    return {"service_tier": tier} if tier else {}
