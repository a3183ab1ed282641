"""Tool arguments: the JSON text that a model wrote, and the object that Anthropic wants.

The standard parser reads them, not orjson, so that integers of any size stay exact.
"""

from __future__ import annotations

import json
import math
from typing import Any, NoReturn

from gateway.dialects.json_bytes import MAX_DEPTH, dumps

INVALID_JSON_KEY = "INVALID_JSON"
"""Anthropic's own wrapping for arguments that are no JSON object.

https://platform.claude.com/docs/en/agents-and-tools/tool-use/fine-grained-tool-streaming
"""


def write_arguments(value: Any) -> str:
    """The JSON text of a ``tool_use`` block's ``input``; a missing input is an empty object."""
    return "{}" if value is None else dumps(value).decode("utf-8")


def parse_arguments(text: str) -> dict[str, Any] | None:
    """The object that ``text`` spells, ``{}`` for blank text, None for anything else."""
    if not text.strip():
        return {}
    try:
        value = json.loads(text, parse_constant=_refuse_constant, parse_float=_read_finite)
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict) or _is_too_deep(value, text):
        return None
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _read_finite(literal: str) -> float:
    number = float(literal)
    if not math.isfinite(number):
        raise ValueError("the number is too large")
    return number


def _is_too_deep(value: Any, text: str) -> bool:
    """Whether ``value`` nests deeper than a body may, so that writing it cannot exhaust the stack."""
    if text.count("{") + text.count("[") <= MAX_DEPTH:
        return False
    level: list[Any] = [value]
    for _ in range(MAX_DEPTH):
        level = [child for node in level for child in _children(node)]
        if not level:
            return False
    return True


def _children(node: Any) -> list[Any]:
    if isinstance(node, dict):
        return list(node.values())
    return node if isinstance(node, list) else []
