"""Thinking in openai-chat: two extension fields that the dialect itself does not have.

``reasoning_content`` is the thinking as one string, as DeepSeek and vLLM write it (vLLM now calls
it ``reasoning``; both are read). ``thinking_blocks`` is a list of Anthropic's own blocks,
``{"type": "thinking", "thinking", "signature"}`` and ``{"type": "redacted_thinking", "data"}``,
and stands beside it whenever something must go back byte for byte, or when there is more than one
block. A client that sends an assistant message back with its ``thinking_blocks`` untouched keeps
the signatures valid. Where both stand, the blocks count.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from gateway.dialects.openai_chat.fields import Fields, refused
from gateway.domain.chat import Part, RedactedThinking, Thinking

ThinkingPart = Thinking | RedactedThinking


def read_thinking(message: Fields) -> tuple[ThinkingPart, ...]:
    """The thinking of an assistant message that a client sends back."""
    blocks = tuple(_read_block(block) for block in message.children("thinking_blocks"))
    if blocks:
        return blocks
    text = message.optional_text("reasoning_content") or message.optional_text("reasoning")
    return (Thinking(text),) if text else ()


def _read_block(block: Fields) -> ThinkingPart:
    match block.get("type"):
        case "thinking":
            return Thinking(block.text("thinking"), block.optional_text("signature") or None)
        case "redacted_thinking":
            return RedactedThinking(block.text("data"))
        case _:
            raise refused(block.at("type"), "must be thinking or redacted_thinking")


def find_blocks(message: Mapping[str, Any]) -> tuple[ThinkingPart, ...]:
    """The thinking blocks of an upstream's message or delta; what is not one is passed over."""
    blocks = message.get("thinking_blocks")
    if not isinstance(blocks, list):
        return ()
    found: list[ThinkingPart] = []
    for block in blocks:
        match block:
            case {"type": "thinking", "thinking": str(text), **rest}:
                signature = rest.get("signature")
                found.append(Thinking(text, signature if isinstance(signature, str) and signature else None))
            case {"type": "redacted_thinking", "data": str(data)}:
                found.append(RedactedThinking(data))
    return tuple(found)


def find_reasoning(message: Mapping[str, Any]) -> str:
    """The thinking text of an upstream's message or delta; empty if there is none."""
    for key in ("reasoning_content", "reasoning"):
        text = message.get(key)
        if isinstance(text, str) and text:
            return text
    return ""


def render_block(part: ThinkingPart) -> dict[str, Any]:
    """One entry of ``thinking_blocks``."""
    if isinstance(part, RedactedThinking):
        return {"type": "redacted_thinking", "data": part.data}
    if part.signature is None:
        return {"type": "thinking", "thinking": part.text}
    return {"type": "thinking", "thinking": part.text, "signature": part.signature}


def render_thinking(parts: Iterable[Part]) -> dict[str, Any]:
    """The extension fields that hold all thinking among ``parts``; none if there is none."""
    thinking = [part for part in parts if isinstance(part, Thinking | RedactedThinking)]
    fields: dict[str, Any] = {}
    if text := "".join(part.text for part in thinking if isinstance(part, Thinking)):
        fields["reasoning_content"] = text
    if len(thinking) > 1 or any(isinstance(part, RedactedThinking) or part.signature is not None for part in thinking):
        fields["thinking_blocks"] = [render_block(part) for part in thinking]
    return fields
