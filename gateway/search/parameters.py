"""The parameters of strategies, read from a mapping: each with its range, unknown names with the nearest valid one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, Field, field, fields
from enum import StrEnum
from typing import Any, Final, TypeVar, cast

from gateway.domain.search_sizes import COUNT, SHARE, SIZE, TEMPERATURE, Range
from gateway.errors import ConfigurationError
from gateway.yaml_text import nearest

AUTO: Final = "auto"

_Config = TypeVar("_Config")


def size(default: int | None) -> int:
    """A whole number from 1; without a default it must be given."""
    return cast("int", _described(default, int, SIZE))


def optional_size() -> int | None:
    """A whole number from 1, or nothing."""
    return cast("int | None", field(default=None, metadata={"kind": int, "range": SIZE}))


def count(default: int) -> int:
    """A whole number from 0."""
    return cast("int", _described(default, int, COUNT))


def share(default: float) -> float:
    """A number from 0 to 1."""
    return cast("float", _described(default, float, SHARE))


def optional_share() -> float | None:
    """A number from 0 to 1, or nothing."""
    return cast("float | None", field(default=None, metadata={"kind": float, "range": SHARE}))


def temperature(default: float) -> float:
    """How freely a model samples."""
    return cast("float", _described(default, float, TEMPERATURE))


def samples() -> int | None:
    """A number of draws; None, written ``auto``, as many as are worth it."""
    return cast("int | None", field(default=None, metadata={"kind": int, "range": SIZE, "auto": True}))


def flag(default: bool) -> bool:
    """Yes or no."""
    return field(default=default, metadata={"kind": bool})


def _described(default: Any, kind: type, numbers: Range) -> Any:
    metadata = {"kind": kind, "range": numbers}
    return field(metadata=metadata) if default is None else field(default=default, metadata=metadata)


def read(strategy: str, config: type[_Config], given: Mapping[str, Any]) -> _Config:
    """A strategy's parameters. Raises ConfigurationError with what is wrong and what would be accepted."""
    known = {each.name: each for each in fields(config) if "kind" in each.metadata}  # type: ignore[arg-type]
    for name in given:
        if name not in known:
            raise ConfigurationError(f"strategy {strategy} has no parameter {name!r}; {nearest(name, known)}")
    missing = [each.name for each in known.values() if each.default is MISSING and each.name not in given]
    if missing:
        raise ConfigurationError(f"strategy {strategy} needs {', '.join(missing)}")
    values = {name: _value(strategy, known[name], value) for name, value in given.items()}
    try:
        return config(**values)
    except ValueError as fault:
        raise ConfigurationError(f"strategy {strategy}: {fault}") from fault


def _value(strategy: str, described: Field[Any], value: Any) -> Any:
    kind, where = described.metadata["kind"], f"strategy {strategy}: {described.name}"
    if value == AUTO and described.metadata.get("auto"):
        return None
    if issubclass(kind, StrEnum):
        if value not in list(kind):
            raise ConfigurationError(f"{where} is one of {', '.join(kind)}")
        return kind(value)
    if kind is bool:
        if not isinstance(value, bool):
            raise ConfigurationError(f"{where} is true or false")
        return value
    least, most = described.metadata["range"]
    is_number = isinstance(value, int if kind is int else int | float) and not isinstance(value, bool)
    if not is_number or not least <= value <= most:
        words = f", or {AUTO}" if described.metadata.get("auto") else ""
        sort = "a whole number" if kind is int else "a number"
        raise ConfigurationError(f"{where} is {sort} from {least} to {most}{words}")
    return value
