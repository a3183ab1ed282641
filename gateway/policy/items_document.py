"""Where a calibration takes its items from, as a policy writes it: golden files, logged asks, and generated tasks."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import Field

from gateway.policy.forms import NAME, Duration, Strict

_Task = Annotated[str, Field(pattern=NAME)]
_WEEK_S: Final = 7 * 86_400.0


class GeneratedDocument(Strict):
    """Tasks of reasoning-gym: ``each`` of every one, the same for the same ``seed``."""

    tasks: tuple[_Task, ...] = Field(min_length=1)
    each: int = Field(ge=1, le=100_000)
    seed: int = Field(default=0, ge=0)


class LoggedDocument(Strict):
    """Asks of the policy's own traffic of the last ``since``, ``at_most`` of them, drawn at random by the run's seed.

    No truth is known of them: right is what more than half of ``draws`` answers of the reference arm say.
    """

    at_most: int = Field(ge=1, le=10_000)
    since: Duration = Field(default=_WEEK_S, json_schema_extra={"default": "7d"})
    draws: int = Field(default=5, ge=3, le=31)


class ItemsDocument(Strict):
    """What arms are measured on: ``golden/*.jsonl`` beside the policy, and what else is named."""

    golden: bool = True
    generated: GeneratedDocument | None = None
    logged: LoggedDocument | None = None
