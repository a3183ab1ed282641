"""More said after a client's own conversation, in the words of the dialect that it stands in.

Chat templates of local models refuse two turns of one speaker in a row, so what the speaker of the last
turn goes on to say joins that turn.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from gateway.domain.chat import Dialect

_MEMBER: Final = {
    Dialect.OPENAI_CHAT: "messages",
    Dialect.ANTHROPIC_MESSAGES: "messages",
    Dialect.OPENAI_RESPONSES: "input",
}
_TEXT_PART: Final = {"user": "input_text", "assistant": "output_text"}


def with_turns(dialect: Dialect, body: Mapping[str, Any], turns: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """The members of ``body`` that change when these turns, each a speaker and a text, follow its conversation."""
    member = _MEMBER[dialect]
    said = body.get(member)
    messages: list[Any] = [{"role": "user", "content": said}] if isinstance(said, str) else list(said or ())
    for speaker, text in turns:
        last = messages[-1] if messages else None
        joined = _joined(dialect, last, text) if isinstance(last, dict) and last.get("role") == speaker else None
        if joined is None:
            messages.append({"role": speaker, "content": text})
        else:
            messages[-1] = joined
    return {member: messages}


def _joined(dialect: Dialect, message: Mapping[str, Any], text: str) -> dict[str, Any] | None:
    """The message with more text; None for one that holds no content to join."""
    content = message.get("content")
    if isinstance(content, str):
        return {**message, "content": f"{content}\n\n{text}"}
    if isinstance(content, list):
        kind = _TEXT_PART[message["role"]] if dialect is Dialect.OPENAI_RESPONSES else "text"
        return {**message, "content": [*content, {"type": kind, "text": text}]}
    return None
