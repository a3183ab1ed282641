"""Requests and answers as they were kept: read back from their bytes, in whatever dialect the client spoke."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from gateway.dialects.codec import Codec
from gateway.dialects.join import join
from gateway.dialects.json_bytes import loads
from gateway.dialects.sse import EventSplitter, parse
from gateway.domain.chat import Answer, Conversation, Dialect, Role, Text, Thinking, ToolCall
from gateway.domain.verification import Problem
from gateway.errors import InvalidRequest, UpstreamFailed
from gateway.flow.search_task import problem_of
from gateway.wiring import CODECS

Message: TypeAlias = Mapping[str, str]
"""A role and a content, as OpenAI's Chat and TRL's conversational datasets have them."""
_SYSTEM: Final = "system"


@dataclass(frozen=True, slots=True)
class Exchanged:
    """What was asked, and the answer to it."""

    problem: Problem
    answer: Answer

    @property
    def text(self) -> str:
        """The answer's words, without its thinking."""
        return "".join(part.text for part in self.answer.parts if isinstance(part, Text))

    @property
    def calls_tools(self) -> bool:
        """Whether it asks for a tool: then its words are no answer yet."""
        return any(isinstance(part, ToolCall) for part in self.answer.parts)


def read_exchange(dialect: Dialect, *, is_stream: bool, request: bytes, answer: bytes) -> Exchanged | None:
    """What the bytes of a request and its answer say; None where they are no chat, or are broken off."""
    codec = CODECS[dialect]
    try:
        body = loads(request)
        if not isinstance(body, dict):
            return None
        problem = problem_of(codec.read_request(body))
        found = _streamed(codec, answer) if is_stream else _whole(codec, answer)
    except (InvalidRequest, UpstreamFailed):
        return None
    return None if found is None else Exchanged(problem, found)


def plain_messages(conversation: Conversation) -> tuple[Message, ...] | None:
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
        messages.append({"role": role, "content": content})
    return tuple(messages) if messages and messages[-1]["role"] == Role.USER.value else None


def item_of(messages: Sequence[Message]) -> str:
    """The digest of a conversation, whatever its blanks and capitals."""
    plain = [[message["role"], " ".join(message["content"].split()).casefold()] for message in messages]
    return hashlib.sha256(json.dumps(plain, ensure_ascii=False).encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _whole(codec: Codec, answer: bytes) -> Answer | None:
    body = loads(answer)
    return codec.read_answer(body) if isinstance(body, dict) else None


def _streamed(codec: Codec, answer: bytes) -> Answer:
    reader = codec.reader()
    events = (parse(each) for each in EventSplitter().feed(answer))
    return join(told for event in events if event is not None for told in reader.feed(event))
