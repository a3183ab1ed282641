"""What must survive from any dialect to any other, and the ways there.

``sayable`` narrows a generated conversation to what all dialects have words for; ``asked`` and
``answered`` reduce values to their meaning, where dialects differ only in how they cut it.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from gateway.dialects.anthropic_messages import CODEC as ANTHROPIC
from gateway.dialects.codec import Codec
from gateway.dialects.json_bytes import dumps, loads
from gateway.dialects.openai_chat import CODEC as CHAT
from gateway.dialects.openai_responses import CODEC as RESPONSES
from gateway.dialects.sse import EventSplitter, parse
from gateway.domain.chat import (
    Answer,
    Audio,
    Conversation,
    Document,
    Image,
    OutputFormat,
    OutputKind,
    Part,
    RedactedThinking,
    Refusal,
    Role,
    Sampling,
    StopReason,
    Text,
    Thinking,
    ThinkingWish,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
    ToolUse,
    Turn,
)
from gateway.domain.events import StreamEvent

CODECS = (CHAT, RESPONSES, ANTHROPIC)
PAIRS = [(source, target) for source in CODECS for target in CODECS if source is not target]
PAIR_NAMES = [f"{source.dialect}-to-{target.dialect}" for source, target in PAIRS]

MAX_OUTPUT_TOKENS = 4096
_INSTRUCTING = (Role.SYSTEM, Role.DEVELOPER)


def through_request(codec: Codec, conversation: Conversation) -> tuple[Conversation, tuple[str, ...]]:
    """``conversation`` as a server that speaks ``codec`` understands it, and what was dropped on the way."""
    rendered = codec.render_request(conversation, max_output_tokens=MAX_OUTPUT_TOKENS)
    return codec.read_request(loads(dumps(rendered.body))), rendered.dropped


def through_answer(codec: Codec, answer: Answer) -> Answer:
    """``answer`` as a client that speaks ``codec`` understands it."""
    return codec.read_answer(loads(dumps(codec.render_answer(answer))))


def through_stream(codec: Codec, events: tuple[StreamEvent, ...]) -> tuple[StreamEvent, ...]:
    """A stream as a client that speaks ``codec`` understands it."""
    writer, reader = codec.writer(include_usage=True), codec.reader()
    splitter = EventSplitter()
    read: list[StreamEvent] = []
    for event in events:
        for raw in splitter.feed(writer.write(event)):
            parsed = parse(raw)
            assert parsed is not None
            read += reader.feed(parsed)
    assert splitter.rest == b""
    return tuple(read)


def sayable(conversation: Conversation) -> Conversation:
    """What of ``conversation`` every dialect can say, its instructions first."""
    turns = [turn for turn in map(_sayable_turn, conversation.turns) if turn.parts]
    if all(turn.role in _INSTRUCTING for turn in turns):
        turns.append(Turn(Role.USER, (Text("Hi"),)))
    wish = conversation.thinking
    return Conversation(
        model=conversation.model,
        turns=tuple(turns),
        tools=tuple(replace(tool, cache_control=None) for tool in conversation.tools),
        tool_choice=_sayable_choice(conversation),
        output_format=_sayable_format(conversation.output_format),
        max_output_tokens=max(16, conversation.max_output_tokens or 0),
        sampling=Sampling(temperature=min(1.0, conversation.sampling.temperature or 0.0)),
        thinking=ThinkingWish(effort=wish.effort if wish.effort in ("low", "medium", "high") else None),
        stream=conversation.stream,
        end_user=conversation.end_user,
    )


def _sayable_turn(turn: Turn) -> Turn:
    parts = tuple(part for part in map(_sayable_part, turn.parts) if part is not None)
    return Turn(turn.role, parts)


def _sayable_part(part: Part) -> Part | None:
    match part:
        case Text(text):
            return Text(text) if text == text.strip() and text else Text(f"<{text}>")
        case Image(_, _, _, str()) | Audio() | Document(url=str()) | Document(text=str()):
            return None
        case Image():
            return replace(part, detail=None, cache_control=None)
        case Document(file_id=str(file_id)):
            return Document(file_id=file_id)
        case Document():
            return replace(part, context=None, cache_control=None, name=part.name or "document.pdf")
        case Thinking() | RedactedThinking():
            return None
        case Refusal(text):
            return Refusal(f"<{text}>")
        case ToolCall():
            return replace(part, cache_control=None)
        case ToolResult():
            texts = [_sayable_part(inner) for inner in part.parts if isinstance(inner, Text)]
            return ToolResult(part.call_id, tuple(text for text in texts if isinstance(text, Text)))


def _sayable_choice(conversation: Conversation) -> ToolChoice | None:
    choice = conversation.tool_choice
    if choice is None or not conversation.tools:
        return None
    return replace(choice, parallel=None) if choice.use is ToolUse.NONE else choice


def _sayable_format(form: OutputFormat) -> OutputFormat:
    if form.kind is not OutputKind.SCHEMA:
        return OutputFormat()
    return OutputFormat(OutputKind.SCHEMA, "answer", schema=form.schema, strict=True)


def asked(conversation: Conversation) -> dict[str, Any]:
    """What a conversation asks for, whatever the cut into turns."""
    choice = conversation.tool_choice
    return {
        "model": conversation.model,
        "said": [_said(turn.role, part) for turn in conversation.turns for part in turn.parts],
        "tools": [_declared(tool) for tool in conversation.tools],
        "choice": choice and (choice.use, choice.name, choice.parallel),
        "format": (conversation.output_format.kind, conversation.output_format.schema),
        "limit": conversation.max_output_tokens,
        "temperature": conversation.sampling.temperature,
        "effort": conversation.thinking.effort,
        "stream": conversation.stream,
        "end user": conversation.end_user,
    }


def _declared(tool: Tool) -> Any:
    return tool.name, tool.description, tool.schema or {"type": "object", "properties": {}}, tool.strict is True


def _said(role: Role, part: Part) -> Any:
    speaker = "instructions" if role in _INSTRUCTING else role.value
    return speaker, meaning(part)


def meaning(part: Part) -> Any:
    """A part, where its spelling is the dialect's: refusals may be text, arguments are JSON."""
    match part:
        case Text(text) | Refusal(text):
            return "says", text
        case ToolCall():
            return "calls", part.id, part.name, json.loads(part.arguments)
        case _:
            return part


def visible_texts(conversation: Conversation) -> list[str]:
    """Every text that the user or the assistant said, in results too, that is more than white space."""
    texts: list[str] = []
    for turn in conversation.turns:
        for part in turn.parts:
            inner = part.parts if isinstance(part, ToolResult) else (part,)
            texts += [said.text for said in inner if isinstance(said, Text | Refusal) and said.text.strip()]
    return texts


_STOPS = {
    StopReason.END: "ended",
    StopReason.STOP_SEQUENCE: "ended",
    StopReason.PAUSED: "ended",
    StopReason.TOOL_CALLS: "calls tools",
    StopReason.MAX_TOKENS: "cut",
    StopReason.CONTEXT_FULL: "cut",
    StopReason.REFUSAL: "refused",
    StopReason.CONTENT_FILTER: "refused",
}


def answered(answer: Answer) -> dict[str, Any]:
    """What an answer says, does and costs, whatever the cut into parts."""
    parts, usage = answer.parts, answer.usage
    return {
        "id": answer.id,
        "model": answer.model,
        "thinking": [part for part in parts if isinstance(part, Thinking | RedactedThinking)],
        "text": "".join(part.text for part in parts if isinstance(part, Text | Refusal)),
        "calls": [meaning(part) for part in parts if isinstance(part, ToolCall)],
        "stop": _STOPS[answer.stop],
        "input": (usage.input_tokens, usage.cached_tokens),
        "written": usage.cache_write_5m_tokens + usage.cache_write_1h_tokens,
        "output": (usage.output_tokens, usage.thinking_tokens),
    }
