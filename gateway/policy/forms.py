"""The forms that values take in a policy: one or several words, numbers by operators, durations, names.

Each accepts what a person would write and becomes one type, so that nothing behind has to ask which
it was; the JSON Schema for editors shows what may be written.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Any, Final, TypeAlias

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    PlainSerializer,
    WithJsonSchema,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from gateway.domain.prediction import Category, Difficulty

NAME: Final = r"^[a-z0-9][a-z0-9_.-]{0,63}$"
_PATH: Final = rf"^({'|'.join(Category)})(/[a-z0-9][a-z0-9_.+#-]*)*$"
_IS_PATH = re.compile(_PATH)
_DURATION = re.compile(r"(\d+)([mhdw])")
_SECONDS: Final = {"m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_LAST_HOUR = 23


class Strict(BaseModel):
    """A mapping of which every key is known."""

    model_config = ConfigDict(extra="forbid", frozen=True)


@dataclass(frozen=True, slots=True)
class OrElse:
    """A short form of a value, shown in the JSON Schema beside its long form."""

    short: dict[str, Any]

    def __get_pydantic_json_schema__(self, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"anyOf": [self.short, handler(core_schema)]}


Name: TypeAlias = Annotated[str, Field(pattern=NAME)]


def _listed(value: object) -> object:
    return value if isinstance(value, list | tuple) else (value,)


def _one_or_more(schema: dict[str, Any]) -> WithJsonSchema:
    return WithJsonSchema({"anyOf": [schema, {"type": "array", "items": schema, "minItems": 1}]})


def _check_path(value: str) -> str:
    if not _IS_PATH.match(value):
        raise ValueError(f"a category is one of {', '.join(Category)}, or one of them with a path: code/python")
    return value


CategoryPath: TypeAlias = Annotated[
    str, AfterValidator(_check_path), WithJsonSchema({"type": "string", "pattern": _PATH})
]
"""A category, with or without a path that refines it."""

Words: TypeAlias = Annotated[
    tuple[str, ...], BeforeValidator(_listed), Field(min_length=1), _one_or_more({"type": "string"})
]
"""One word, or any of several."""

Categories: TypeAlias = Annotated[
    tuple[CategoryPath, ...],
    BeforeValidator(_listed),
    Field(min_length=1),
    _one_or_more({"type": "string", "pattern": _PATH}),
]
Difficulties: TypeAlias = Annotated[
    tuple[Difficulty, ...],
    BeforeValidator(_listed),
    Field(min_length=1),
    _one_or_more({"enum": [tier.value for tier in Difficulty]}),
]


class Numbers(Strict):
    """Numbers that match: any of a list, or those from ``at_least`` up to just ``below``."""

    any_of: tuple[float, ...] | None = None
    at_least: float | None = None
    below: float | None = None

    @model_validator(mode="after")
    def _says_something(self) -> Numbers:
        if self.any_of is None and self.at_least is None and self.below is None:
            raise ValueError("write a number, a list of numbers, or {at_least: …, below: …}")
        return self

    def hold(self, value: float | None) -> bool:
        """Whether the value is one of them; one that is not known is none. From 22 to below 6 is through midnight."""
        if value is None:
            return False
        if self.any_of is not None:
            return value in self.any_of
        is_enough = self.at_least is None or value >= self.at_least
        is_below = self.below is None or value < self.below
        if self.at_least is not None and self.below is not None and self.below <= self.at_least:
            return is_enough or is_below
        return is_enough and is_below


def _numbers(value: object) -> object:
    if isinstance(value, dict | Numbers):
        return value
    return {"any_of": _listed(value)}


def _ascending(value: Numbers) -> Numbers:
    if value.at_least is not None and value.below is not None and value.below <= value.at_least:
        raise ValueError("nothing is at_least the one and below the other; below must be the greater")
    return value


_NUMBER: Final = {"type": "number"}
_OPERATORS: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {"at_least": _NUMBER, "below": _NUMBER},
    "additionalProperties": False,
    "minProperties": 1,
}
_NUMBERS_SCHEMA = WithJsonSchema({"anyOf": [_OPERATORS, _NUMBER, {"type": "array", "items": _NUMBER, "minItems": 1}]})


Quantity: TypeAlias = Annotated[Numbers, BeforeValidator(_numbers), AfterValidator(_ascending), _NUMBERS_SCHEMA]
"""A number, any of several, or ``{at_least, below}``."""


def _hours(numbers: Numbers) -> Numbers:
    said = [*(numbers.any_of or ()), 0 if numbers.at_least is None else numbers.at_least]
    if numbers.below is not None:
        said.append(numbers.below - 1)
    if not all(0 <= hour <= _LAST_HOUR and hour == int(hour) for hour in said):
        raise ValueError("hours are whole numbers from 0 to 23, UTC; below is from 1 to 24")
    return numbers


Hours: TypeAlias = Annotated[Numbers, BeforeValidator(_numbers), AfterValidator(_hours), _NUMBERS_SCHEMA]
"""Hours of the day, UTC; ``{at_least: 22, below: 6}`` is the night."""


def _seconds(value: object) -> object:
    match = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        if isinstance(value, int | float) and not isinstance(value, bool):
            return value
        raise ValueError("a duration is a number and a unit: 30m, 6h, 1d or 2w")
    return int(match[1]) * _SECONDS[match[2]]


Duration: TypeAlias = Annotated[
    float,
    BeforeValidator(_seconds),
    Field(gt=0),
    PlainSerializer(lambda seconds: f"{seconds / 60:g}m", return_type=str),
    WithJsonSchema({"type": "string", "pattern": _DURATION.pattern}),
]
"""Seconds, written as a number and a unit."""
