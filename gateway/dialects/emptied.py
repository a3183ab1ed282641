"""Answers that are empty because thinking used up the output limit.

They look like success: a 200, tokens paid for, and nothing to read. A request for a tool is an
answer; a refusal is one too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from gateway.domain.chat import Answer, Dialect, Refusal, StopReason, Text, ToolCall
from gateway.domain.usage import Usage

CUT: Final = frozenset({"length", "max_tokens", "max_output_tokens", "incomplete"})
"""How the dialects, and :class:`StopReason`, say that the output limit was met."""


def is_emptied(finish: str | None, usage: Usage | None, *, has_text: bool) -> bool:
    """Whether an answer ended at its output limit with nothing said, though something was generated.

    ``finish`` is the dialect's own word or the neutral one. Providers that do not count thinking
    apart report it as output, so any output will do; no usage at all is no reason to doubt it.
    """
    return finish in CUT and not has_text and (usage is None or usage.output_tokens > 0)


def is_answer_emptied(answer: Answer) -> bool:
    """Whether a whole neutral answer is an emptied one."""
    has_text = any(
        isinstance(part, ToolCall) or (isinstance(part, Text | Refusal) and bool(part.text.strip()))
        for part in answer.parts
    )
    return answer.stop is StopReason.MAX_TOKENS and is_emptied(answer.stop.value, answer.usage, has_text=has_text)


def is_body_emptied(dialect: Dialect, body: Mapping[str, Any], usage: Usage | None) -> bool:
    """Whether a whole answer's body, as its provider wrote it, is an emptied one. Odd members count as text."""
    match dialect:
        case Dialect.OPENAI_CHAT:
            choices = [choice for choice in _list(body.get("choices")) if isinstance(choice, Mapping)]
            finish = choices[0].get("finish_reason") if choices else None
            has_text = any(message_says(choice.get("message")) for choice in choices)
        case Dialect.OPENAI_RESPONSES:
            details = body.get("incomplete_details")
            finish = details.get("reason") if isinstance(details, Mapping) else None
            has_text = any(map(item_says, _list(body.get("output"))))
        case Dialect.ANTHROPIC_MESSAGES:
            finish = body.get("stop_reason")
            has_text = any(map(block_says, _list(body.get("content"))))
    return is_emptied(finish if isinstance(finish, str) else None, usage, has_text=has_text)


def message_says(message: Any) -> bool:
    """Whether a chat message, or a stream's piece of one, holds more than thinking."""
    if not isinstance(message, Mapping):
        return True
    content = message.get("content")
    said = content.strip() if isinstance(content, str) else content
    return any(bool(each) for each in (said, message.get("refusal"), message.get("tool_calls")))


def item_says(item: Any) -> bool:
    """Whether an item of a response's ``output`` is more than thinking."""
    if not isinstance(item, Mapping) or item.get("type") not in ("reasoning", "message"):
        return True
    return item.get("type") == "message" and any(map(_text, _list(item.get("content"))))


def block_says(block: Any) -> bool:
    """Whether one of Anthropic's content blocks is more than thinking."""
    if not isinstance(block, Mapping) or block.get("type") not in ("text", "thinking", "redacted_thinking"):
        return True
    return block.get("type") == "text" and _text(block)


def _text(part: Any) -> bool:
    if not isinstance(part, Mapping):
        return True
    text = part.get("text", part.get("refusal", ""))
    return not isinstance(text, str) or bool(text.strip())


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
