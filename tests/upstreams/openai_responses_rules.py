"""What OpenAI's Responses API refuses, and in which words."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from openai.types.responses.response_create_params import ResponseCreateParamsBase

from tests.upstreams.openai_rules import (
    CATALOGUE,
    SAMPLING_DEFAULTS,
    Facts,
    RefusedError,
    check_effort,
    missing,
    wrong_type,
    wrong_value,
)
from tests.upstreams.signing import is_sealed

RESPONSES_FIELDS = frozenset(ResponseCreateParamsBase.__annotations__) | {"stream"}
EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
_ITEM_TYPES = ("message", "function_call", "function_call_output", "reasoning", "item_reference")
_ROLES = ("assistant", "system", "developer", "user")
_INPUT_PARTS = ("input_text", "input_image", "input_file")
_OUTPUT_PARTS = ("output_text", "refusal")


def check_model(body: Mapping[str, Any]) -> Facts:
    """The model asked for; unlike Chat, the Responses API answers 400 for one it does not know."""
    model = body.get("model")
    if model is None:
        missing("model")
    if not isinstance(model, str):
        wrong_type("model", "a string", model)
    if model not in CATALOGUE or CATALOGUE[model].is_embedding:
        raise RefusedError(f"The requested model '{model}' does not exist.", "model", "model_not_found")
    return CATALOGUE[model]


def check_response(body: Mapping[str, Any], facts: Facts, stored: Mapping[str, Collection[str]]) -> None:
    """Everything of a response request; ``stored`` maps known response ids to the calls they made."""
    previous = body.get("previous_response_id")
    if previous is not None and previous not in stored:
        raise RefusedError(
            f"Previous response with id '{previous}' not found.", "previous_response_id", "previous_response_not_found"
        )
    given = body.get("input")
    if given is None:
        missing("input")
    if not isinstance(given, (str, list)):
        wrong_type("input", "one of a string or array of input items", given)
    items = given if isinstance(given, list) else [{"role": "user", "content": given}]
    for index, item in enumerate(items):
        _check_item(f"input[{index}]", item)
    _check_calls(items, set(stored.get(previous, ())) if previous else set())
    _check_reasoning_items(items)
    _check_numbers(body)
    _check_tools(body.get("tools") or ())
    _check_reasoning(body, facts)


def _check_item(where: str, item: Any) -> None:
    if not isinstance(item, dict):
        wrong_type(where, "an object", item)
    kind = item.get("type", "message")
    if kind not in _ITEM_TYPES:
        wrong_value(f"{where}.type", kind, _ITEM_TYPES)
    if kind == "message":
        _check_message(where, item)
    elif kind == "function_call":
        for name in ("call_id", "name", "arguments"):
            if not isinstance(item.get(name), str):
                missing(f"{where}.{name}")
    elif kind == "function_call_output":
        if not isinstance(item.get("call_id"), str):
            missing(f"{where}.call_id")
        if not isinstance(item.get("output"), (str, list)):
            missing(f"{where}.output")
    elif kind == "reasoning":
        _check_reasoning_item(where, item)


def _check_message(where: str, item: Mapping[str, Any]) -> None:
    role = item.get("role")
    if role not in _ROLES:
        wrong_value(f"{where}", role, _ROLES)
    content = item.get("content")
    if content is None:
        missing(f"{where}.content")
    if isinstance(content, str):
        return
    allowed = _OUTPUT_PARTS if role == "assistant" else _INPUT_PARTS
    for index, part in enumerate(content):
        if part.get("type") not in allowed:
            wrong_value(f"{where}.content[{index}]", part.get("type"), allowed)


def _check_reasoning_item(where: str, item: Mapping[str, Any]) -> None:
    if not isinstance(item.get("id"), str):
        missing(f"{where}.id")
    if not isinstance(item.get("summary"), list):
        missing(f"{where}.summary")
    sealed = item.get("encrypted_content")
    if sealed is not None and not is_sealed(sealed):
        raise RefusedError(
            f"The encrypted content for item {item['id']} could not be verified. "
            "Reason: Encrypted content could not be decrypted or parsed.",
            None,
            "invalid_encrypted_content",
        )


def _check_calls(items: Sequence[Mapping[str, Any]], known: set[str]) -> None:
    open_calls = set(known)
    for item in items:
        if item.get("type") == "function_call":
            open_calls.add(item["call_id"])
        elif item.get("type") == "function_call_output":
            if item["call_id"] not in open_calls:
                raise RefusedError(
                    f"No tool call found for function call output with call_id {item['call_id']}.", "input"
                )
            open_calls.discard(item["call_id"])
    for call_id in sorted(open_calls):
        raise RefusedError(f"No tool output found for function call {call_id}.", "input")


def _check_reasoning_items(items: Sequence[Mapping[str, Any]]) -> None:
    """A reasoning item stands directly before the item it led to."""
    for place, item in enumerate(items):
        if item.get("type") != "reasoning":
            continue
        follower = items[place + 1] if place + 1 < len(items) else {}
        leads_on = follower.get("type") in ("function_call", "reasoning") or follower.get("role") == "assistant"
        if not leads_on:
            raise RefusedError(
                f"Item '{item['id']}' of type 'reasoning' was provided without its required following item.", "input"
            )


def _check_numbers(body: Mapping[str, Any]) -> None:
    limit = body.get("max_output_tokens")
    if limit is None:
        return
    if not isinstance(limit, int) or isinstance(limit, bool):
        wrong_type("max_output_tokens", "an integer", limit)
    if limit < 16:
        raise RefusedError(
            "Invalid 'max_output_tokens': integer below minimum value. Expected a value >= 16, "
            f"but got {limit} instead.",
            "max_output_tokens",
            "integer_below_min_value",
        )


def _check_tools(tools: Sequence[Mapping[str, Any]]) -> None:
    for index, tool in enumerate(tools):
        if "type" not in tool:
            missing(f"tools[{index}].type")
        if tool["type"] == "function" and not isinstance(tool.get("name"), str):
            missing(f"tools[{index}].name")


def _check_reasoning(body: Mapping[str, Any], facts: Facts) -> None:
    reasoning = body.get("reasoning")
    effort = (reasoning or {}).get("effort")
    if effort is not None:
        if effort not in EFFORTS:
            wrong_value("reasoning.effort", effort, EFFORTS)
        if not facts.is_reasoning:
            raise RefusedError(
                "Unsupported parameter: 'reasoning.effort' is not supported with this model.",
                "reasoning.effort",
                "unsupported_parameter",
            )
        check_effort(effort, facts, "reasoning.effort")
    if not facts.is_reasoning or (effort or facts.default_effort) == "none":
        return
    for name in ("temperature", "top_p"):
        if body.get(name) is not None and body[name] != SAMPLING_DEFAULTS[name]:
            raise RefusedError(
                f"Unsupported parameter: '{name}' is not supported with this model.", name, "unsupported_parameter"
            )
