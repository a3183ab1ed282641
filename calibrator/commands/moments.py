"""Moments on a command line: a date, a time, or how long ago."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any, Final

import click
from pydantic import TypeAdapter, ValidationError

from gateway.policy.forms import Duration

_DURATION: Final = TypeAdapter[float](Duration)


class Moment(click.ParamType[float]):
    """``7d`` ago, ``2026-11-22`` or ``2026-11-22T18:00``, in UTC, as Unix seconds."""

    name = "moment"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, float):
            return value
        try:
            return time.time() - _DURATION.validate_python(value)
        except ValidationError:
            pass
        try:
            moment = datetime.fromisoformat(str(value))
        except ValueError:
            self.fail(f"{value!r} is neither a time ago (30m, 6h, 7d, 2w) nor a date such as 2026-11-22", param, ctx)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
