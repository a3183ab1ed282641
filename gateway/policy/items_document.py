"""Where a calibration takes its items from, as a policy writes it: golden files and generated tasks."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from gateway.policy.forms import NAME, Strict

_Task = Annotated[str, Field(pattern=NAME)]


class GeneratedDocument(Strict):
    """Tasks of reasoning-gym: ``each`` of every one, the same for the same ``seed``."""

    tasks: tuple[_Task, ...] = Field(min_length=1)
    each: int = Field(ge=1, le=100_000)
    seed: int = Field(default=0, ge=0)


class ItemsDocument(Strict):
    """What arms are measured on: ``golden/*.jsonl`` beside the policy, and what else is named."""

    golden: bool = True
    generated: GeneratedDocument | None = None
