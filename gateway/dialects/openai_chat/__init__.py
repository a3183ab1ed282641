"""The openai-chat dialect: ``POST /v1/chat/completions``, as OpenAI and its many followers speak it.

``CODEC`` is what others use. Fields beyond OpenAI's own are listed in ``extensions.py``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.dialects.codec import Codec, Rendered, StreamReader, StreamWriter
from gateway.dialects.openai_chat.answer import find_usage, read_answer, render_answer
from gateway.dialects.openai_chat.extensions import only_documented
from gateway.dialects.openai_chat.reader import Reader
from gateway.dialects.openai_chat.render import render_request
from gateway.dialects.openai_chat.request import read_request
from gateway.dialects.openai_chat.writer import Writer
from gateway.domain.chat import Answer, Conversation, Dialect
from gateway.domain.usage import Usage


class OpenAiChatCodec:
    """Reads and renders openai-chat; holds no state."""

    __slots__ = ()

    @property
    def dialect(self) -> Dialect:
        return Dialect.OPENAI_CHAT

    def read_request(self, body: Mapping[str, Any]) -> Conversation:
        return read_request(body)

    def render_request(self, conversation: Conversation, *, max_output_tokens: int) -> Rendered:
        """``max_output_tokens`` goes unused: chat demands no limit."""
        del max_output_tokens
        return render_request(conversation)

    def read_answer(self, body: Mapping[str, Any]) -> Answer:
        return read_answer(body)

    def render_answer(self, answer: Answer) -> dict[str, Any]:
        return render_answer(answer)

    def find_usage(self, body: Mapping[str, Any]) -> Usage | None:
        return find_usage(body)

    def reader(self) -> StreamReader:
        return Reader()

    def writer(self, *, include_usage: bool) -> StreamWriter:
        return Writer(include_usage=include_usage)


CODEC: Codec = OpenAiChatCodec()

__all__ = ["CODEC", "OpenAiChatCodec", "only_documented"]
