"""Estimating tokens where nobody counts them. An estimate is always named as one."""

from __future__ import annotations

from gateway.dialects.json_bytes import dumps
from gateway.domain.chat import Conversation, Document, Part, Refusal, Text, Thinking, ToolCall, ToolResult

BYTES_PER_TOKEN = 4
"""English text in today's tokenizers; other scripts have more bytes to a token, so this errs high for them."""
_PER_TURN = 4
_PER_IMAGE = 1600
"""Anthropic's own figure for an image at its largest useful size (width × height / 750)."""


def estimated_tokens(conversation: Conversation) -> int:
    """The input tokens of a conversation, give or take a third."""
    size = sum(_bytes(part) for turn in conversation.turns for part in turn.parts)
    for tool in conversation.tools:
        size += (
            len(tool.name) + len((tool.description or "").encode("utf-8", "replace")) + len(dumps(tool.schema or {}))
        )
    return -(-size // BYTES_PER_TOKEN) + _PER_TURN * len(conversation.turns)


def _bytes(part: Part) -> int:
    match part:
        case Text() | Thinking() | Refusal():
            return len(part.text.encode("utf-8", "replace"))
        case ToolCall():
            return len(part.name) + len(part.arguments.encode("utf-8", "replace"))
        case ToolResult():
            return sum(_bytes(inner) for inner in part.parts)
        case Document():
            return len((part.text or part.data or "").encode("utf-8", "replace"))
        case _:
            return _PER_IMAGE * BYTES_PER_TOKEN
