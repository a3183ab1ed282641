"""A kept request as what can be learned from: its conversation as text, the answer with its thinking, and its score."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from calibrator.export.redaction import redact
from calibrator.kept_text import Message, item_of, plain_messages, read_exchange
from gateway.dialects.json_bytes import loads
from gateway.domain.chat import StopReason, Thinking
from gateway.domain.check import NamedCheck, read_check
from gateway.errors import InvalidRequest
from gateway.store.logged import Label
from gateway.store.traces import StoredTrace
from gateway.wiring import CODECS


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
    messages = _redacted(plain_messages(CODECS[stored.dialect].read_request(body)))
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


def _redacted(messages: Sequence[Message] | None) -> tuple[Message, ...] | None:
    """The turns without what may name somebody, or be a secret."""
    return None if messages is None else tuple({**each, "content": redact(each["content"])} for each in messages)


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
