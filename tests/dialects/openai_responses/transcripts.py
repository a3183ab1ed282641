"""Event sequences as OpenAI's Responses API sends them, obfuscation and echoes included."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from gateway.dialects.sse import SseEvent

CREATED_AT = 1741290958


def response(output: Sequence[dict[str, Any]] = (), **members: Any) -> dict[str, Any]:
    """The response object that events carry; in progress unless told otherwise."""
    return {
        "id": "resp_67c9fdcecf488190bdd9a0409de3a1ec07b8b0ad4e5eb654",
        "object": "response",
        "created_at": CREATED_AT,
        "status": "in_progress",
        "error": None,
        "incomplete_details": None,
        "instructions": "You are a helpful assistant.",
        "max_output_tokens": None,
        "model": "gpt-5.4-2026-03-05",
        "output": list(output),
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "reasoning": {"effort": "medium", "summary": None},
        "service_tier": "auto",
        "store": False,
        "temperature": 1.0,
        "text": {"format": {"type": "text"}},
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "truncation": "disabled",
        "usage": None,
        "user": None,
        "metadata": {},
        **members,
    }


USAGE: dict[str, Any] = {
    "input_tokens": 37,
    "input_tokens_details": {"cached_tokens": 16, "cache_write_tokens": 4},
    "output_tokens": 11,
    "output_tokens_details": {"reasoning_tokens": 5},
    "total_tokens": 48,
}

_OPENING: list[dict[str, Any]] = [
    {"type": "response.created", "response": response()},
    {"type": "response.in_progress", "response": response()},
]


def completed(*output: dict[str, Any], **members: Any) -> dict[str, Any]:
    """The response of the terminal event."""
    return response(output, **{"status": "completed", "usage": USAGE, "service_tier": "default", **members})


MESSAGE: dict[str, Any] = {
    "id": "msg_67c9fdcf37fc8190ba82116e33fb28c507b8b0ad4e5eb654",
    "type": "message",
    "status": "completed",
    "role": "assistant",
    "content": [{"type": "output_text", "annotations": [], "logprobs": [], "text": "Hi there!"}],
}
_AT = {"item_id": MESSAGE["id"], "output_index": 0, "content_index": 0}
_PART = MESSAGE["content"][0]

TEXT: list[dict[str, Any]] = [
    *_OPENING,
    {
        "type": "response.output_item.added",
        "output_index": 0,
        "item": MESSAGE | {"status": "in_progress", "content": []},
    },
    {"type": "response.content_part.added", **_AT, "part": _PART | {"text": ""}},
    {"type": "response.output_text.delta", **_AT, "delta": "Hi", "logprobs": [], "obfuscation": "Rh8jwN2a"},
    {"type": "response.output_text.delta", **_AT, "delta": " there!", "logprobs": [], "obfuscation": "x"},
    {"type": "response.output_text.done", **_AT, "text": "Hi there!", "logprobs": []},
    {"type": "response.content_part.done", **_AT, "part": _PART},
    {"type": "response.output_item.done", "output_index": 0, "item": MESSAGE},
    {"type": "response.completed", "response": completed(MESSAGE)},
]

CALLS: list[dict[str, Any]] = [
    {
        "id": f"fc_67ca09c6bedc8190a7abfec07b1a{number}",
        "type": "function_call",
        "status": "completed",
        "arguments": f'{{"location": "{city}"}}',
        "call_id": f"call_oAAm4vjFKpiqmoTG{number}",
        "name": "get_weather",
    }
    for number, city in enumerate(("Paris", "Oslo"))
]


def _call(index: int) -> list[dict[str, Any]]:
    call = CALLS[index]
    at = {"item_id": call["id"], "output_index": index}
    cut = len('{"location": ')
    return [
        {
            "type": "response.output_item.added",
            "output_index": index,
            "item": call | {"status": "in_progress", "arguments": ""},
        },
        {"type": "response.function_call_arguments.delta", **at, "delta": call["arguments"][:cut], "obfuscation": "q"},
        {"type": "response.function_call_arguments.delta", **at, "delta": call["arguments"][cut:], "obfuscation": "z"},
        {
            "type": "response.function_call_arguments.done",
            **at,
            "name": call["name"],
            "arguments": call["arguments"],
        },
        {"type": "response.output_item.done", "output_index": index, "item": call},
    ]


TOOL: list[dict[str, Any]] = [
    *_OPENING,
    *_call(0),
    {"type": "response.completed", "response": completed(CALLS[0])},
]
PARALLEL_TOOLS: list[dict[str, Any]] = [
    *_OPENING,
    *_call(0),
    *_call(1),
    {"type": "response.completed", "response": completed(*CALLS)},
]

REASONING: dict[str, Any] = {
    "id": "rs_68af0cf3a8d08190",
    "type": "reasoning",
    "encrypted_content": "gAAAAABor_zz==",
    "summary": [{"type": "summary_text", "text": "**Counting**"}, {"type": "summary_text", "text": "Two of them."}],
}


def _summary(index: int) -> list[dict[str, Any]]:
    part = REASONING["summary"][index]
    at = {"item_id": REASONING["id"], "output_index": 0, "summary_index": index}
    return [
        {"type": "response.reasoning_summary_part.added", **at, "part": {"type": "summary_text", "text": ""}},
        {"type": "response.reasoning_summary_text.delta", **at, "delta": part["text"][:5], "obfuscation": "a"},
        {"type": "response.reasoning_summary_text.delta", **at, "delta": part["text"][5:], "obfuscation": "b"},
        {"type": "response.reasoning_summary_text.done", **at, "text": part["text"]},
        {"type": "response.reasoning_summary_part.done", **at, "part": part},
    ]


_THIRD = MESSAGE | {"content": [{"type": "output_text", "annotations": [], "text": "2"}]}
_HIDDEN = {"id": "rs_2", "type": "reasoning", "encrypted_content": "gAAAAhidden", "summary": []}
_EMPTY = {"id": "rs_3", "type": "reasoning", "summary": []}

THINKING: list[dict[str, Any]] = [
    *_OPENING,
    {
        "type": "response.output_item.added",
        "output_index": 0,
        "item": REASONING | {"summary": [], "encrypted_content": "gAAAAearly"},
    },
    *_summary(0),
    *_summary(1),
    {"type": "response.output_item.done", "output_index": 0, "item": REASONING},
    {"type": "response.output_item.added", "output_index": 1, "item": _HIDDEN},
    {"type": "response.output_item.done", "output_index": 1, "item": _HIDDEN},
    {"type": "response.output_item.added", "output_index": 2, "item": _EMPTY},
    {"type": "response.output_item.done", "output_index": 2, "item": _EMPTY},
    {"type": "response.output_item.added", "output_index": 3, "item": _THIRD | {"content": []}},
    {
        "type": "response.content_part.added",
        "item_id": _THIRD["id"],
        "output_index": 3,
        "content_index": 0,
        "part": {"type": "output_text", "annotations": [], "text": ""},
    },
    {
        "type": "response.output_text.delta",
        "item_id": _THIRD["id"],
        "output_index": 3,
        "content_index": 0,
        "delta": "2",
        "logprobs": [],
    },
    {"type": "response.output_item.done", "output_index": 3, "item": _THIRD},
    {"type": "response.completed", "response": completed(REASONING, _HIDDEN, _EMPTY, _THIRD)},
]

_DECLINED = MESSAGE | {"content": [{"type": "refusal", "refusal": "I cannot help with that."}]}

REFUSAL: list[dict[str, Any]] = [
    *_OPENING,
    {"type": "response.output_item.added", "output_index": 0, "item": _DECLINED | {"content": []}},
    {"type": "response.content_part.added", **_AT, "part": {"type": "refusal", "refusal": ""}},
    {"type": "response.refusal.delta", **_AT, "delta": "I cannot"},
    {"type": "response.refusal.delta", **_AT, "delta": " help with that."},
    {"type": "response.refusal.done", **_AT, "refusal": "I cannot help with that."},
    {"type": "response.content_part.done", **_AT, "part": _DECLINED["content"][0]},
    {"type": "response.output_item.done", "output_index": 0, "item": _DECLINED},
    {"type": "response.completed", "response": completed(_DECLINED)},
]

_CUT = MESSAGE | {"status": "incomplete"}
CUT_SHORT: list[dict[str, Any]] = [
    *TEXT[:-2],
    {"type": "response.output_item.done", "output_index": 0, "item": _CUT},
    {
        "type": "response.incomplete",
        "response": completed(_CUT, status="incomplete", incomplete_details={"reason": "max_output_tokens"}),
    },
]

FAILED: list[dict[str, Any]] = [
    *TEXT[:5],
    {
        "type": "error",
        "error": {"type": "server_error", "code": "server_error", "message": "An error occurred.", "param": None},
    },
    {
        "type": "response.failed",
        "response": response(status="failed", error={"code": "server_error", "message": "An error occurred."}),
    },
]

ALL = {
    "text": TEXT,
    "tool": TOOL,
    "parallel tools": PARALLEL_TOOLS,
    "thinking": THINKING,
    "refusal": REFUSAL,
    "cut short": CUT_SHORT,
}


def sse(events: Sequence[dict[str, Any]]) -> list[SseEvent]:
    """The events with their sequence numbers, as they come off the wire."""
    return [
        SseEvent(event["type"], json.dumps(event | {"sequence_number": number}).encode())
        for number, event in enumerate(events)
    ]
