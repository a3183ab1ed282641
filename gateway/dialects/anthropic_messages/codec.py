"""The anthropic-messages codec: the parts of this package behind the one protocol."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.dialects.anthropic_messages.answer import read_answer, render_answer
from gateway.dialects.anthropic_messages.render import render_request
from gateway.dialects.anthropic_messages.request import read_request
from gateway.dialects.anthropic_messages.stream_reader import AnthropicStreamReader
from gateway.dialects.anthropic_messages.stream_writer import AnthropicStreamWriter
from gateway.dialects.anthropic_messages.usage import read_usage
from gateway.dialects.codec import Codec, Rendered
from gateway.domain.chat import Answer, Conversation, Dialect
from gateway.domain.usage import Usage


class AnthropicMessages:
    """Anthropic's Messages API, as the anthropic package 2.8 types it."""

    __slots__ = ()

    @property
    def dialect(self) -> Dialect:
        return Dialect.ANTHROPIC_MESSAGES

    def read_request(self, body: Mapping[str, Any]) -> Conversation:
        return read_request(body)

    def render_request(self, conversation: Conversation, *, max_output_tokens: int) -> Rendered:
        return render_request(conversation, max_output_tokens=max_output_tokens)

    def read_answer(self, body: Mapping[str, Any]) -> Answer:
        return read_answer(body)

    def render_answer(self, answer: Answer) -> dict[str, Any]:
        return render_answer(answer)

    def find_usage(self, body: Mapping[str, Any]) -> Usage | None:
        raw = body.get("usage")
        return read_usage(raw) if isinstance(raw, Mapping) else None

    def reader(self) -> AnthropicStreamReader:
        return AnthropicStreamReader()

    def writer(self, *, include_usage: bool) -> AnthropicStreamWriter:
        """This dialect always tells usage, whatever ``include_usage`` says."""
        return AnthropicStreamWriter()


CODEC: Codec = AnthropicMessages()
