"""What a canary must show before it is for all, and what it may not do, as a policy writes it."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from gateway.policy.forms import Duration, Strict

_WEEK_S = 7 * 86_400


class GuardDocument(Strict):
    """A new version is promoted once it is shown not to be ``margin`` worse than the one that the others have.

    It is withdrawn where it is shown to be worse at all, dearer or slower than so many times the other, or
    to fail oftener by more than ``errors_at_most``; ``null`` sets a limit aside. ``risk`` bounds the chance
    that either is a mistake, however often one looks. After ``timeout`` it is withdrawn.
    """

    margin: Annotated[float, Field(gt=0, lt=0.5)] = 0.02
    risk: Annotated[float, Field(gt=0, le=0.5)] = 0.05
    timeout: Duration = Field(default=_WEEK_S, json_schema_extra={"default": "7d"})
    min_outcomes: Annotated[int, Field(ge=1, le=1_000_000)] = 50
    cost_at_most: Annotated[float, Field(ge=1, le=100)] | None = 1.2
    latency_at_most: Annotated[float, Field(ge=1, le=100)] | None = 1.5
    errors_at_most: Annotated[float, Field(gt=0, lt=0.5)] | None = 0.02
