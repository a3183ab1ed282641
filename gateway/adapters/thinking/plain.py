"""Models that do not think by themselves: a system prompt asks them to, between tags."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.adapters.thinking.draft import Draft
from gateway.adapters.thinking.setting import Setting
from gateway.domain.chat import Dialect

PROMPT = (
    "Before you answer, think the task through between <think> and </think>: what is asked, what is known, the steps, "
    "and whether the result holds.{length} Then write the answer after </think>. What stands between the tags is not "
    "shown to the reader, so the answer must be complete without it."
)
"""The whole of what is added to a prompt; a number of tokens is named where one is wished."""

_LENGTH = " Keep what is between the tags under about {words} words."
_TOKENS_PER_WORD = 1.5
_SYSTEM_ROLES = ("system", "developer")


def write_plain(draft: Draft, setting: Setting) -> None:
    """Put the prompt before the client's own system text; nothing where no thinking is wished."""
    if not setting.is_on:
        return
    length = "" if setting.tokens is None else _LENGTH.format(words=max(int(setting.tokens / _TOKENS_PER_WORD), 1))
    prompt = PROMPT.format(length=length)
    match draft.dialect:
        case Dialect.OPENAI_CHAT:
            draft.set("messages", _with_system_message(draft.get("messages"), prompt))
        case Dialect.OPENAI_RESPONSES:
            own = draft.get("instructions")
            draft.set("instructions", f"{prompt}\n\n{own}" if isinstance(own, str) and own else prompt)
        case Dialect.ANTHROPIC_MESSAGES:
            draft.set("system", _with_system_text(draft.get("system"), prompt))


def _with_system_message(messages: Any, prompt: str) -> list[Any]:
    """One system message, as many templates take no second one."""
    told = list(messages) if isinstance(messages, list) else []
    first = told[0] if told else None
    if isinstance(first, Mapping) and first.get("role") in _SYSTEM_ROLES:
        return [{**first, "content": _with_system_text(first.get("content"), prompt)}, *told[1:]]
    return [{"role": "system", "content": prompt}, *told]


def _with_system_text(system: Any, prompt: str) -> Any:
    if isinstance(system, list):
        return [{"type": "text", "text": prompt}, *system]
    return f"{prompt}\n\n{system}" if isinstance(system, str) and system else prompt
