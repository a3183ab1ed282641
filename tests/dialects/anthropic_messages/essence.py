"""What must survive a round trip: values reduced to what the Messages API can say.

The reductions are the documented ones: refusals are text, tool arguments are objects (their
spacing is gone), image details and speakers' names do not exist, text without a visible
character and thinking without Anthropic's signature cannot be sent.
"""

from __future__ import annotations

import json
from typing import Any

from gateway.domain.chat import (
    Answer,
    Audio,
    Conversation,
    Document,
    Image,
    Part,
    Refusal,
    Role,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
)


def answer_essence(answer: Answer) -> tuple[Any, ...]:
    """What an answer says, does and cost."""
    usage = answer.usage
    counts = (
        usage.input_tokens,
        usage.cached_tokens,
        usage.cache_write_5m_tokens,
        usage.cache_write_1h_tokens,
        usage.output_tokens,
        usage.thinking_tokens,
        usage.web_searches,
    )
    stop = "refusal" if answer.stop.value == "content_filter" else answer.stop.value
    parts = [part_essence(part) for part in answer.parts]
    return answer.id, answer.model, parts, stop, answer.stop_sequence, counts


def said(conversation: Conversation) -> tuple[list[Any], list[Any]]:
    """The system's parts, and the others with their speaker; blank and unsigned ones left out."""
    system: list[Any] = []
    others: list[Any] = []
    for turn in conversation.turns:
        for part in turn.parts:
            if not _can_be_sent(part):
                continue
            if turn.role in {Role.SYSTEM, Role.DEVELOPER}:
                system.append(part_essence(part))
            else:
                others.append((turn.role, part_essence(part)))
    return system, others


def part_essence(part: Part) -> Any:
    """A part as far as the Messages API can tell it."""
    match part:
        case Text(text, mark):
            return "text", text, mark
        case Refusal(text):
            return "text", text, None
        case ToolCall(call_id, name, arguments, mark):
            return "call", call_id, name, json.loads(arguments), mark
        case ToolResult(call_id, parts, is_error, mark):
            inner = [part_essence(part) for part in parts if _can_be_sent(part)]
            return "result", call_id, inner, is_error, mark
        case Image(media_type, data, url, file_id, _, mark):
            return "image", media_type, data, url, file_id, mark
        case Document():
            return part
        case _:
            return part


def _can_be_sent(part: Part) -> bool:
    match part:
        case Text(text) | Refusal(text):
            return bool(text.strip())
        case Thinking(_, signature):
            return bool(signature)
        case Audio():
            return False
        case _:
            return True
