"""How much an ask may use at most, as far as its body tells before any model has seen it."""

from __future__ import annotations

import re
from dataclasses import replace

from gateway.domain.ask import Ask
from gateway.policy.facts import Demand

_ENCODED_MATTERS = 4096
_ENCODED = re.compile(
    rb'(?<!\\)"(?:(?:url|image_url)"\s*:\s*"data:image/[a-z0-9.+-]{1,20};base64,|data"\s*:\s*")'
    rb'([A-Za-z0-9+/]{4096,}={0,2})"'
)
"""An image's bytes, as the value of a member that holds some. A quote inside text is escaped, so that
no prompt passes for an image: its letters count."""
_AUDIO = re.compile(rb'"(?:input_audio|audio)"')
"""Its length in tokens is not bounded by that of an image."""
_IMAGE_TOKENS = 8_192
"""More than any provider counts for one image sent as bytes (Anthropic at most 4,784, OpenAI less)."""
_UNSEEN = re.compile(
    rb'"(?:image_url|file_url|url)"\s*:\s*"(?!data:)|"(?:file_id|previous_response_id|conversation|container)"\s*:\s*["{]'
    rb'|"mcp_servers"\s*:|"file_data"\s*:|"application/pdf"'
)
"""Members that bring in content, or let the provider fetch some, whose length the request does not tell."""
_SERVER_TOOL = re.compile(
    rb'"type"\s*:\s*"(?:web_search|web_fetch|code_execution|code_interpreter|file_search|computer|mcp)'
)
_SEARCHES_AT_MOST = 10
_UNKNOWN_CONTEXT = 1_000_000
"""Assumed where neither the price list nor ponder.yaml knows the model's context window."""


def demand_of(ask: Ask) -> Demand:
    """What an ask says of itself; its prompt counts as long as its body, see :func:`bounded`."""
    body = ask.body
    asked = body.get("max_completion_tokens") or body.get("max_output_tokens") or body.get("max_tokens")
    candidates = body.get("n")
    tier = body.get("service_tier")
    return Demand(
        prompt_tokens_at_most=len(ask.raw),
        output_tokens_asked=asked if isinstance(asked, int) and asked > 0 else None,
        candidates=candidates if isinstance(candidates, int) and candidates > 0 else 1,
        service_tier=tier if isinstance(tier, str) else "default",
        hints=ask.hints,
    )


def bounded(demand: Demand, ask: Ask) -> Demand:
    """The demand with true upper bounds, which take a look at the whole body."""
    return replace(
        demand,
        prompt_tokens_at_most=prompt_bound(ask.raw, None),
        web_searches_at_most=searches_bound(ask.raw),
    )


def searches_bound(raw: bytes) -> int:
    """The most web searches that the provider's own tools are assumed to make for one request."""
    return _SEARCHES_AT_MOST if _SERVER_TOOL.search(raw) else 0


def prompt_bound(raw: bytes, context_tokens: int | None) -> int:
    """The most prompt tokens a body can hold: a token is at least a byte, an image sent as bytes has a known most.

    What the body only points to counts as a full context window.
    """
    window = context_tokens or _UNKNOWN_CONTEXT
    if _UNSEEN.search(raw) or _SERVER_TOOL.search(raw):
        return window
    if len(raw) < _ENCODED_MATTERS:
        return min(len(raw), window)
    images = [] if _AUDIO.search(raw) else _ENCODED.findall(raw)
    return min(len(raw) - sum(map(len, images)) + _IMAGE_TOKENS * len(images), window)
