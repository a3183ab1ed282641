"""A kept request as what can be learned from: its conversation as text, the answer with its thinking, and its score."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from calibrator.export.redaction import redact
from calibrator.kept_text import read_exchange
from gateway.dialects.json_bytes import loads
from gateway.domain.chat import Conversation, Role, StopReason, Text, Thinking
from gateway.domain.check import NamedCheck, read_check
from gateway.errors import InvalidRequest
from gateway.store.logged import Label
from gateway.store.traces import StoredTrace
from gateway.wiring import CODECS

Message: TypeAlias = Mapping[str, str]
"""A role and a content, as TRL's conversational datasets have them."""
_SYSTEM: Final = "system"


@dataclass(frozen=True, slots=True)
class Trace:
    """A request that is text alone, redacted. ``item`` is a digest of the conversation: equal asks have the same."""

    item: str
    messages: tuple[Message, ...]
    answer: str
    thinking: str
    is_whole: bool
    """Whether the answer came to its own end, and asks for no tool."""
    check: Mapping[str, Any] | None
    """How the answer can be checked, as the request said."""
    score: float | None
    """The mean of what was found of it; None where nobody said anything."""
    sources: tuple[str, ...]
    category: str | None
    difficulty: str | None
    stored: StoredTrace


def read_trace(stored: StoredTrace) -> Trace | None:
    """The trace of a kept request; None for one with more than text in it, or whose texts are broken off."""
    text = stored.text
    exchanged = read_exchange(stored.dialect, is_stream=stored.is_stream, request=text.request, answer=text.answer)
    if exchanged is None:
        return None
    body = loads(text.request)
    messages = _messages(CODECS[stored.dialect].read_request(body))
    if messages is None:
        return None
    parts = exchanged.answer.parts
    return Trace(
        item=item_of(messages),
        messages=messages,
        answer=redact(exchanged.text),
        thinking=redact("\n\n".join(part.text for part in parts if isinstance(part, Thinking) and part.text)),
        is_whole=exchanged.answer.stop in _WHOLE and not exchanged.calls_tools,
        check=_check(body),
        score=_score(stored.labels),
        sources=tuple(sorted({label.source for label in stored.labels})),
        category=stored.category,
        difficulty=stored.difficulty,
        stored=stored,
    )


_WHOLE: Final = frozenset((StopReason.END, StopReason.STOP_SEQUENCE))


def item_of(messages: Sequence[Message]) -> str:
    """The digest of a conversation, whatever its blanks and capitals."""
    plain = [[message["role"], " ".join(message["content"].split()).casefold()] for message in messages]
    return hashlib.sha256(json.dumps(plain, ensure_ascii=False).encode()).hexdigest()[:32]


def _messages(conversation: Conversation) -> tuple[Message, ...] | None:
    """The turns as text; None where there is anything else in them, as images, files or calls of tools."""
    if conversation.tools:
        return None
    messages = []
    for turn in conversation.turns:
        said = [part for part in turn.parts if not isinstance(part, Thinking)]  # templates leave out thoughts of before
        if not all(isinstance(part, Text) for part in said):
            return None
        content = "".join(part.text for part in said if isinstance(part, Text))
        role = _SYSTEM if turn.role in (Role.SYSTEM, Role.DEVELOPER) else turn.role.value
        messages.append({"role": role, "content": redact(content)})
    return tuple(messages) if messages and messages[-1]["role"] == Role.USER.value else None


def _check(body: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The request's ``ponder.verify``, if it can be computed, and redacting leaves it what it is."""
    asked = body.get("ponder")
    document = asked.get("verify") if isinstance(asked, dict) else None
    if document is None:
        return None
    try:
        is_named = isinstance(read_check(document), NamedCheck)
    except InvalidRequest:
        return None
    said = json.dumps(document, ensure_ascii=False)
    return None if is_named or redact(said) != said else document


def _score(labels: Sequence[Label]) -> float | None:
    weight = sum(label.weight for label in labels)
    return sum(label.weight * label.score for label in labels) / weight if weight else None
