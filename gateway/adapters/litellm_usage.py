"""The provider's own token counts and endings, read from the bytes of its answer as they pass by.

litellm normalises usage and loses part of it: ``reasoning_tokens`` reads 0 where a provider reports
thinking under another name (https://github.com/BerriAI/litellm/issues/36290), and where a provider
says nothing litellm estimates without saying so. So what counts here is what the provider sent.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.dialects.json_bytes import loads
from gateway.dialects.sse import EventSplitter, parse
from gateway.errors import InvalidRequest

_MARKS = (b"sage", b"finishReason", b"blockReason")
"""In ``usage``, ``usageMetadata`` and Gemini's endings: events without one are not worth parsing."""

_PLACES = (
    ("usage",),
    ("usageMetadata",),
    ("message", "usage"),  # Anthropic's message_start
    ("response", "usage"),  # a Responses stream's last event
    ("delta", "usage"),  # Cohere's message-end
    ("x_groq", "usage"),
    ("meta",),  # Cohere's embeddings
)


class UsageReader:
    """Reads one answer's bytes, whole or as server-sent events, and keeps the usage it reports."""

    __slots__ = ("_pieces", "_splitter", "can_read", "has_finish", "is_gemini", "usage")

    def __init__(self, content_type: str) -> None:
        kind = content_type.partition(";")[0].strip().lower()
        self._splitter = EventSplitter() if kind == "text/event-stream" else None
        self._pieces: list[bytes] = []
        self.can_read = kind in {"text/event-stream", "application/json"}
        """False for framings such as Bedrock's binary event stream, where litellm's view is all there is."""
        self.usage: dict[str, Any] = {}
        self.is_gemini = False
        self.has_finish = False
        """Gemini said why it stopped."""

    def feed(self, piece: bytes) -> None:
        """Take the next bytes. Raises UpstreamFailed for an event of absurd size."""
        if self._splitter is not None:
            for event in self._splitter.feed(piece):
                self._take(event)
        elif self.can_read:
            self._pieces.append(piece)

    def finish(self) -> None:
        """Take the end of the answer."""
        if self._splitter is not None:
            self._take(self._splitter.rest)
        elif self._pieces:
            self._note(b"".join(self._pieces))
            self._pieces.clear()

    def _take(self, event: bytes) -> None:
        if any(mark in event for mark in _MARKS) and (parsed := parse(event)) is not None:
            self._note(parsed.data)

    def _note(self, document: bytes) -> None:
        try:
            body = loads(document)
        except InvalidRequest:
            return  # litellm reads the same bytes, and complains of them itself
        # Later reports are cumulative; Anthropic's last one lacks the input's details.
        self.usage |= find_usage(body)
        if isinstance(body, Mapping) and ("candidates" in body or "promptFeedback" in body):
            self.is_gemini = True
            self.has_finish = self.has_finish or _has_finish(body)


def _has_finish(body: Mapping[str, Any]) -> bool:
    feedback = body.get("promptFeedback")
    candidates = body.get("candidates")
    return (isinstance(feedback, Mapping) and "blockReason" in feedback) or any(
        isinstance(candidate, Mapping) and candidate.get("finishReason") is not None
        for candidate in (candidates if isinstance(candidates, list) else ())
    )


def find_usage(body: object) -> Mapping[str, Any]:
    """The usage object of one document or event of any provider; empty if it has none."""
    for place in _PLACES:
        found = body
        for key in place:
            found = found.get(key) if isinstance(found, Mapping) else None
        if isinstance(found, Mapping):
            return {key: value for key, value in found.items() if value is not None}
    return {}


def answer_usage(normalised: object, raw: Mapping[str, Any], *, was_readable: bool) -> dict[str, Any] | None:
    """The ``usage`` of the answer: the provider's words where they are openai-chat's, else litellm's, mended.

    In the second case ``provider_usage`` holds the provider's words. None where the provider
    reported nothing: litellm's counts would be estimates that claim to be reports.
    """
    if "prompt_tokens" in raw:
        return dict(raw)
    if not isinstance(normalised, Mapping) or (was_readable and not raw):
        return None
    usage = _without_nulls(normalised)
    usage.pop("cost", None)  # litellm's own, from its price list: it would pass for the provider's
    if not raw:
        return usage
    if not usage.get("prompt_tokens"):
        usage["prompt_tokens"] = _count(raw.get("promptTokenCount"))  # embeddings: litellm looks elsewhere
    thinking = _thinking(raw)
    if thinking and not usage.setdefault("completion_tokens_details", {}).get("reasoning_tokens"):
        usage["completion_tokens_details"]["reasoning_tokens"] = thinking
    written = _count(raw.get("cache_creation_input_tokens")) or _count(raw.get("cacheWriteInputTokens"))
    if written:
        usage.setdefault("prompt_tokens_details", {})["cache_write_tokens"] = written
    if isinstance(raw.get("billed_units"), Mapping):
        # Cohere counts its own instructions among the tokens, and does not bill them.
        usage["prompt_tokens"] = _count(raw["billed_units"].get("input_tokens"))
        usage["completion_tokens"] = _count(raw["billed_units"].get("output_tokens"))
        usage["total_tokens"] = usage["prompt_tokens"] + usage["completion_tokens"]
    usage["provider_usage"] = dict(raw)
    return usage


def _thinking(raw: Mapping[str, Any]) -> int:
    details = raw.get("output_tokens_details")
    details = details if isinstance(details, Mapping) else {}
    return (
        _count(raw.get("thoughtsTokenCount"))
        or _count(details.get("thinking_tokens"))
        or _count(details.get("reasoning_tokens"))
    )


def _without_nulls(value: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: _without_nulls(item) if isinstance(item, Mapping) else item
        for key, item in value.items()
        if item is not None
    }


def _count(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0


def tidy(answer: Mapping[str, Any]) -> dict[str, Any]:
    """litellm's answer without the empty lists and objects that it adds around the dialect's fields."""
    choices = [_without_empty(choice) for choice in answer.get("choices", ())]
    for choice in choices:
        if "message" in choice:
            choice["message"] = _without_empty(choice["message"])
    return {**_without_empty(answer), "choices": choices}


def _without_empty(value: Mapping[str, Any]) -> dict[str, Any]:
    return {key: item for key, item in value.items() if key == "delta" or item not in ([], {})}
