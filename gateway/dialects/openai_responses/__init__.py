"""The openai-responses dialect: ``POST /v1/responses`` and its event grammar."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.dialects.codec import Codec, Rendered
from gateway.dialects.openai_responses.answer import read_answer, read_response_usage, render_answer
from gateway.dialects.openai_responses.fields import Fields, upstream_fault
from gateway.dialects.openai_responses.render import render_request
from gateway.dialects.openai_responses.request import read_request
from gateway.dialects.openai_responses.stream_reader import ResponsesReader
from gateway.dialects.openai_responses.stream_writer import ResponsesWriter
from gateway.dialects.openai_responses.usage import read_usage
from gateway.domain.chat import Answer, Conversation, Dialect
from gateway.domain.usage import Usage
from gateway.errors import UpstreamFailed


class ResponsesCodec:
    """Reads and renders the Responses API."""

    @property
    def dialect(self) -> Dialect:
        return Dialect.OPENAI_RESPONSES

    def read_request(self, body: Mapping[str, Any]) -> Conversation:
        return read_request(body)

    def render_request(self, conversation: Conversation, *, max_output_tokens: int) -> Rendered:
        # This dialect demands no limit, so the client's silence stays silence.
        return render_request(conversation)

    def read_answer(self, body: Mapping[str, Any]) -> Answer:
        return read_answer(body)

    def render_answer(self, answer: Answer) -> dict[str, Any]:
        return render_answer(answer)

    def find_usage(self, body: Mapping[str, Any]) -> Usage | None:
        raw = body.get("usage")
        if not isinstance(raw, Mapping):
            return None
        try:
            return read_response_usage(Fields(body, "", upstream_fault))
        except UpstreamFailed:  # something beside the counts is odd; the counts are not
            return read_usage(raw)

    def reader(self) -> ResponsesReader:
        return ResponsesReader()

    def writer(self, *, include_usage: bool) -> ResponsesWriter:
        # The terminal event always carries the usage; no client has to ask for it.
        return ResponsesWriter()


CODEC: Codec = ResponsesCodec()
