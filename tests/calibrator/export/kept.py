"""Kept requests, as a gateway would have written them down."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.dialects.json_bytes import dumps
from gateway.domain.chat import Answer, Dialect, StopReason, Text, Thinking
from gateway.domain.money import ZERO
from gateway.domain.record import StoredText
from gateway.domain.search_record import Fate, SearchDraw, SearchRecord
from gateway.domain.usage import Usage
from gateway.store.logged import Label
from gateway.store.traces import StoredTrace
from gateway.wiring import CODECS
from tests.store.records import identity

CHECK = {"kind": "math", "answer": "5"}


def asked(question: str = "2+3?", *, check: Any = None, **body: Any) -> bytes:
    """The body of a request."""
    said: dict[str, Any] = {"model": "auto", "messages": [{"role": "user", "content": question}], **body}
    if check is not None:
        said["ponder"] = {"verify": check}
    return dumps(said)


def said(text: str, thinking: str = "", *, stop: StopReason = StopReason.END) -> bytes:
    """The body of an answer."""
    parts = (*((Thinking(thinking),) if thinking else ()), Text(text))
    answer = Answer("id", "m", parts, stop, Usage(input_tokens=3, output_tokens=4), created=1)
    return dumps(CODECS[Dialect.OPENAI_CHAT].render_answer(answer))


def kept(
    request: bytes | None = None,
    answer: bytes | None = None,
    *,
    score: float | None = 1.0,
    search: SearchRecord | None = None,
    draws: Mapping[str, str] | None = None,
) -> StoredTrace:
    """A request whose texts are kept, and what a user found of it."""
    text = StoredText(
        asked() if request is None else request, said("It is 5.") if answer is None else answer, draws or {}
    )
    labels = () if score is None else (Label(identity(1), "user", score, 1.0, None),)
    return StoredTrace(
        identity(1), "key", Dialect.OPENAI_CHAT, False, "math", "easy", "fast", text, search, labels=labels
    )


def draw(number: int, *scores: float, parent: int | None = None, kept_steps: int | None = None) -> SearchDraw:
    """A draw of a search that came to its end."""
    return SearchDraw(number, parent, kept_steps, "main", "local", Fate.WHOLE, 9, ZERO, scores)


def search(*draws: SearchDraw) -> SearchRecord:
    """A search whose steps a verifier scored."""
    return SearchRecord("dvts", 7, "prm", "the best score", 0.9, draws)
