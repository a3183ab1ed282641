"""What a model call used, read from the provider's own words.

Once a provider has answered, its token counts are the truth; ``raw`` keeps them as they came.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field, replace
from enum import StrEnum
from typing import Any

from gateway.domain.construction import quick_value


class UsageSource(StrEnum):
    """Where the counts come from."""

    REPORTED = "reported"
    """The provider's final usage."""
    PARTIAL = "partial"
    """The provider's own counts, of an answer that ended early (disconnect, cut stream)."""
    ESTIMATED = "estimated"
    """Counted by us, because the provider never said."""


@quick_value
class Usage:
    """Tokens of one call, in disjoint input classes so that each has one price.

    ``input_tokens`` excludes cached and cache-write tokens, whatever the provider's convention
    (OpenAI counts cached tokens inside ``prompt_tokens``, Anthropic beside ``input_tokens``).
    ``output_tokens`` includes ``thinking_tokens``: every provider bills thinking as output.
    """

    input_tokens: int = 0
    cached_tokens: int = 0
    cache_write_5m_tokens: int = 0
    cache_write_1h_tokens: int = 0
    output_tokens: int = 0
    thinking_tokens: int = 0
    audio_input_tokens: int = 0
    audio_output_tokens: int = 0
    web_searches: int = 0
    service_tier: str | None = None
    reported_cost_usd: str | None = None
    """A cost that the provider itself reports (OpenRouter's ``usage.cost``), as decimal text."""
    source: UsageSource = UsageSource.REPORTED
    raw: Mapping[str, Any] = field(default_factory=dict)

    def cut_short(self, output_tokens: int) -> Usage:
        """The provider's counts so far of an answer that ended early, of which so many tokens were seen."""
        return replace(self, output_tokens=max(self.output_tokens, output_tokens), source=UsageSource.PARTIAL)

    @property
    def prompt_tokens(self) -> int:
        """All input tokens, cached or not: what counts against a context window."""
        return self.input_tokens + self.cached_tokens + self.cache_write_5m_tokens + self.cache_write_1h_tokens
