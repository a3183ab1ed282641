"""Models: names that callers may ask for, each at one upstream."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.domain.capabilities import PLAIN, Capability
from gateway.domain.pricing import Price


@dataclass(frozen=True, slots=True)
class Model:
    """A name at an upstream, with its price and limits.

    ``price`` is None for a model without one: it is listed, and refused when called.
    ``context_tokens`` and ``max_output_tokens`` are None where nobody has said.
    """

    name: str
    upstream: str
    upstream_name: str
    price: Price | None
    context_tokens: int | None = None
    max_output_tokens: int | None = None
    capability: Capability = PLAIN
