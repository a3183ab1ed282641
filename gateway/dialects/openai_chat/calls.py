"""Tool calls of an upstream's answer, streamed or not: what is tolerated, and what is not.

Servers leave out ids, or send arguments as an object; both are mended here, alike for messages
and deltas. A call without a name cannot be made and is refused.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from gateway.dialects.json_bytes import dumps
from gateway.domain.chat import ToolCall
from gateway.errors import UpstreamFailed


def read_calls(message: Mapping[str, Any], answer_id: str) -> tuple[ToolCall, ...]:
    """The calls of a whole message, the deprecated ``function_call`` among them."""
    calls = message.get("tool_calls")
    found = [call for call in calls if isinstance(call, Mapping)] if isinstance(calls, list) else []
    if not found and isinstance(message.get("function_call"), Mapping):
        found = [{"function": message["function_call"]}]
    return tuple(_read_call(call, answer_id, position) for position, call in enumerate(found))


def _read_call(call: Mapping[str, Any], answer_id: str, position: int) -> ToolCall:
    name, arguments = function_of(call)
    if not name:
        raise nameless()
    return ToolCall(id_of(call) or make_id(answer_id, position), name, arguments)


def id_of(call: Mapping[str, Any]) -> str:
    """The call's id; empty if it has none."""
    call_id = call.get("id")
    return call_id if isinstance(call_id, str) else ""


def function_of(call: Mapping[str, Any]) -> tuple[str, str]:
    """The function's name and arguments, each empty if absent."""
    function = call.get("function")
    if not isinstance(function, Mapping):
        return "", ""
    name, arguments = function.get("name"), function.get("arguments")
    if isinstance(arguments, Mapping):
        arguments = dumps(arguments).decode("utf-8")
    return name if isinstance(name, str) else "", arguments if isinstance(arguments, str) else ""


def make_id(answer_id: str, position: int) -> str:
    """An id for a call that came without one: the same each time, other for each answer."""
    digest = hashlib.sha256(f"{answer_id}/{position}".encode("utf-8", "surrogatepass")).hexdigest()
    return f"call_{digest[:24]}"


def nameless() -> UpstreamFailed:
    """The complaint about a call that names no function."""
    return UpstreamFailed("the upstream sent a tool call without a function name")
