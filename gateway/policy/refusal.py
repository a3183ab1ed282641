"""What is answered where no arm can take an ask: the error of the arm that came nearest, and what would be accepted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from gateway.errors import BudgetExhausted, Forbidden, InvalidRequest, PonderError, Unavailable
from gateway.policy.options import Drop, Stage

_KINDS: Final[Mapping[Stage, tuple[type[PonderError], str]]] = {
    Stage.UNCONFIGURED: (Unavailable, "configure one of its models, or ask for another policy"),
    Stage.FORBIDDEN: (Forbidden, "ask for a policy or a model that this key may use"),
    Stage.UNABLE: (InvalidRequest, "shorten the request, or leave out what they do not take"),
    Stage.TOO_DEAR: (BudgetExhausted, "ask for fewer output tokens, shorten the request, or allow more"),
    Stage.TOO_SLOW: (InvalidRequest, "allow a later deadline"),
    Stage.UNHEALTHY: (Unavailable, "try again later"),
}
_RETRY_AFTER_S: Final = 5.0
"""An upstream that is left alone is tried again within seconds."""


def refusal(policy: str, drops: Mapping[str, Drop]) -> PonderError:
    """The error for arms that were all dropped; those that came furthest are named."""
    furthest = max(drop.stage for drop in drops.values())
    kind, remedy = _KINDS[furthest]
    named = "; ".join(f"{name}: {drop.reason}" for name, drop in drops.items() if drop.stage is furthest)
    retry_after_s = _RETRY_AFTER_S if furthest is Stage.UNHEALTHY else None
    return kind(f"no arm of policy {policy!r} can answer this request ({named}); {remedy}", retry_after_s=retry_after_s)
