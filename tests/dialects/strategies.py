"""Hypothesis strategies for the dialect-neutral values: every part kind, every field.

What they draw is coherent (tool results answer calls just made, ``name`` stands exactly with a
named tool choice), so that what a dialect loses is the dialect's doing. A dialect's own tests
narrow these where it cannot say something, and say so there.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

from hypothesis import strategies as st

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
    ThinkingMode,
    ThinkingWish,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
    ToolUse,
    Turn,
)
from gateway.domain.events import (
    Delta,
    Finished,
    PartEnded,
    PartKind,
    PartStarted,
    Signed,
    Started,
    Stopped,
    StreamEvent,
    Used,
)
from gateway.domain.usage import Usage

LONE_SURROGATE = "\ud83d"

texts = st.one_of(
    st.text(min_size=1, max_size=12),
    st.sampled_from(
        [
            "Hello",
            "Zwölf Boxkämpfer",
            "日本語",
            "👋🏽",
            "a\nb\r\n\tc",
            '"quoted" \\ back',
            f"cut {LONE_SURROGATE} emoji",
        ]
    ),
)
"""Non-empty text, lone surrogates, escapes and newlines included."""

names = st.text("abcXYZ019_-", min_size=1, max_size=8).map(lambda rest: f"n{rest}")
"""What every dialect allows as a name of a tool, a format or a speaker."""

identifiers = st.integers(0, 2**32).map(lambda number: f"id_{number:08x}")

base64_data = st.binary(min_size=1, max_size=24).map(lambda raw: base64.b64encode(raw).decode("ascii"))

urls = st.integers(0, 999).map(lambda number: f"https://files.example/{number}?a=b#c")

cache_controls = st.one_of(
    st.none(),
    st.sampled_from([{"type": "ephemeral"}, {"type": "ephemeral", "ttl": "1h"}, {"type": "ephemeral", "ttl": "5m"}]),
)

json_scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**64 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    texts,
)

json_values: st.SearchStrategy[Any] = st.recursive(
    json_scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(names, inner, max_size=3)),
    max_leaves=6,
)
"""Any JSON value."""

json_objects: st.SearchStrategy[dict[str, Any]] = st.dictionaries(names, json_values, max_size=4)

arguments = st.one_of(
    json_objects.map(json.dumps),
    json_objects.map(lambda value: json.dumps(value, indent=2)),
    st.just("{}"),
)
"""Tool arguments as models write them: JSON objects, spaced as they please."""


@st.composite
def schemas(draw: st.DrawFn) -> dict[str, Any]:
    """A JSON Schema of an object."""
    properties = draw(st.dictionaries(names, st.sampled_from([{"type": "string"}, {"type": "integer"}]), max_size=3))
    return {"type": "object", "properties": properties, "required": sorted(properties), "additionalProperties": False}


plain_texts = st.builds(Text, text=texts, cache_control=cache_controls)

images = st.one_of(
    st.builds(
        Image,
        media_type=st.sampled_from(["image/png", "image/jpeg", "image/gif", "image/webp"]),
        data=base64_data,
        detail=st.sampled_from([None, "auto", "low", "high"]),
        cache_control=cache_controls,
    ),
    st.builds(Image, url=urls, detail=st.sampled_from([None, "auto", "low", "high"]), cache_control=cache_controls),
    st.builds(Image, file_id=identifiers, cache_control=cache_controls),
)

_document_labels: dict[str, st.SearchStrategy[Any]] = {
    "name": st.one_of(st.none(), names.map(lambda name: f"{name}.pdf")),
    "context": st.one_of(st.none(), texts),
    "cache_control": cache_controls,
}

documents = st.one_of(
    st.builds(Document, media_type=st.just("application/pdf"), data=base64_data, **_document_labels),
    st.builds(Document, media_type=st.just("text/plain"), text=texts, **_document_labels),
    st.builds(Document, url=urls, **_document_labels),
    st.builds(Document, file_id=identifiers, **_document_labels),
)

audios = st.builds(Audio, data=base64_data, format=st.sampled_from(["wav", "mp3"]))

thinkings = st.builds(Thinking, text=texts, signature=st.one_of(st.none(), base64_data))

redacted_thinkings = st.builds(RedactedThinking, data=base64_data)

refusals = st.builds(Refusal, text=texts)

tool_calls = st.builds(ToolCall, id=identifiers, name=names, arguments=arguments, cache_control=cache_controls)

tools = st.builds(
    Tool,
    name=names,
    description=st.one_of(st.none(), texts),
    schema=st.one_of(st.none(), schemas()),
    strict=st.sampled_from([None, True, False]),
    cache_control=cache_controls,
)


def tool_results(call_ids: st.SearchStrategy[str] = identifiers) -> st.SearchStrategy[ToolResult]:
    """Results of calls with these ids."""
    return st.builds(
        ToolResult,
        call_id=call_ids,
        parts=st.lists(st.one_of(plain_texts, images, documents), max_size=3).map(tuple),
        is_error=st.booleans(),
        cache_control=cache_controls,
    )


_speakers = st.one_of(st.none(), names)


def instruction_turns() -> st.SearchStrategy[Turn]:
    """A system or developer turn."""
    return st.builds(
        Turn,
        role=st.sampled_from([Role.SYSTEM, Role.DEVELOPER]),
        parts=st.lists(plain_texts, min_size=1, max_size=2).map(tuple),
        name=_speakers,
    )


def user_turns() -> st.SearchStrategy[Turn]:
    """A user turn without tool results."""
    parts = st.lists(st.one_of(plain_texts, images, documents, audios), min_size=1, max_size=4)
    return st.builds(Turn, role=st.just(Role.USER), parts=parts.map(tuple), name=_speakers)


@st.composite
def assistant_parts(draw: st.DrawFn, *, interleaved: bool = False) -> tuple[Part, ...]:
    """An assistant's parts: thinking, then text or a refusal, then tool calls; or in any order."""
    thinking: list[Part] = draw(st.lists(st.one_of(thinkings, redacted_thinkings), max_size=2))
    spoken: list[Part] = draw(st.one_of(st.lists(plain_texts, max_size=2), st.lists(refusals, max_size=1)))
    calls: list[ToolCall] = draw(st.lists(tool_calls, max_size=3, unique_by=lambda call: call.id))
    parts: list[Part] = [*thinking, *spoken, *calls] or [draw(plain_texts)]
    return tuple(draw(st.permutations(parts))) if interleaved else tuple(parts)


@st.composite
def exchanges(draw: st.DrawFn, *, interleaved: bool = False) -> tuple[Turn, ...]:
    """A user turn, the assistant's, and the results of the tools it called, if any."""
    asked = draw(user_turns())
    answered = Turn(Role.ASSISTANT, draw(assistant_parts(interleaved=interleaved)), name=draw(_speakers))
    calls = [part for part in answered.parts if isinstance(part, ToolCall)]
    if not calls:
        return asked, answered
    results: list[Part] = [draw(tool_results(st.just(call.id))) for call in calls]
    follow_up = draw(st.lists(st.one_of(plain_texts, images), max_size=1))
    return asked, answered, Turn(Role.USER, (*results, *follow_up))


_small_floats = st.floats(0, 2, allow_nan=False)

samplings = st.builds(
    Sampling,
    temperature=st.one_of(st.none(), _small_floats),
    top_p=st.one_of(st.none(), st.floats(0, 1)),
    top_k=st.one_of(st.none(), st.integers(1, 100)),
    seed=st.one_of(st.none(), st.integers(0, 2**31)),
    presence_penalty=st.one_of(st.none(), _small_floats),
    frequency_penalty=st.one_of(st.none(), _small_floats),
    candidates=st.one_of(st.none(), st.integers(1, 4)),
)

thinking_wishes = st.one_of(
    st.just(ThinkingWish()),
    st.builds(
        ThinkingWish,
        effort=st.sampled_from(["none", "minimal", "low", "medium", "high", "xhigh", "max"]),
        mode=st.sampled_from([None, ThinkingMode.ADAPTIVE]),
        display=st.sampled_from([None, "summarized", "omitted"]),
    ),
    st.builds(ThinkingWish, budget_tokens=st.integers(1024, 65536), mode=st.just(ThinkingMode.ENABLED)),
    st.just(ThinkingWish(mode=ThinkingMode.DISABLED)),
)

output_formats = st.one_of(
    st.sampled_from([OutputFormat(), OutputFormat(OutputKind.JSON)]),
    st.builds(
        OutputFormat,
        kind=st.just(OutputKind.SCHEMA),
        name=st.one_of(st.none(), names),
        description=st.one_of(st.none(), texts),
        schema=schemas(),
        strict=st.sampled_from([None, True, False]),
    ),
)


@st.composite
def tool_choices(draw: st.DrawFn, tool_names: tuple[str, ...]) -> ToolChoice | None:
    """A choice among tools of these names; none at all when there are no tools."""
    if not tool_names:
        return None
    parallel = draw(st.sampled_from([None, True, False]))
    use = draw(st.sampled_from([None, *ToolUse]))
    if use is None:
        return None
    return ToolChoice(use, draw(st.sampled_from(tool_names)) if use is ToolUse.NAMED else None, parallel)


@st.composite
def conversations(
    draw: st.DrawFn, *, interleaved: bool = False, extras: st.SearchStrategy[Mapping[str, Any]] | None = None
) -> Conversation:
    """A whole request; ``extras`` under the key of its source dialect, none unless given."""
    instructions = draw(st.lists(instruction_turns(), max_size=2))
    history = draw(st.lists(exchanges(interleaved=interleaved), max_size=2))
    turns = (*instructions, *(turn for exchange in history for turn in exchange), draw(user_turns()))
    declared = tuple(draw(st.lists(tools, max_size=3, unique_by=lambda tool: tool.name)))
    stream = draw(st.booleans())
    return Conversation(
        model=draw(names),
        turns=turns,
        tools=declared,
        tool_choice=draw(tool_choices(tuple(tool.name for tool in declared))),
        output_format=draw(output_formats),
        max_output_tokens=draw(st.one_of(st.none(), st.integers(1, 128_000))),
        stop=tuple(draw(st.lists(texts, max_size=3))),
        sampling=draw(samplings),
        thinking=draw(thinking_wishes),
        stream=stream,
        include_usage=stream and draw(st.booleans()),
        end_user=draw(st.one_of(st.none(), identifiers)),
        service_tier=draw(st.sampled_from([None, "auto", "default", "flex", "priority"])),
        verbosity=draw(st.sampled_from([None, "low", "medium", "high"])),
        extras=draw(extras) if extras is not None else {},
    )


_counts = st.integers(0, 200_000)


@st.composite
def usages(draw: st.DrawFn) -> Usage:
    """Counts that can occur: thinking within output, audio within input and output."""
    input_tokens, output_tokens = draw(_counts), draw(_counts)
    return Usage(
        input_tokens=input_tokens,
        cached_tokens=draw(_counts),
        cache_write_5m_tokens=draw(_counts),
        cache_write_1h_tokens=draw(_counts),
        output_tokens=output_tokens,
        thinking_tokens=draw(st.integers(0, output_tokens)),
        audio_input_tokens=draw(st.integers(0, input_tokens)),
        audio_output_tokens=draw(st.integers(0, output_tokens)),
        web_searches=draw(st.integers(0, 5)),
        service_tier=draw(st.sampled_from([None, "default", "priority"])),
    )


@st.composite
def answers(draw: st.DrawFn, *, interleaved: bool = False) -> Answer:
    """An answer whose stop reason agrees with its parts."""
    parts = tuple(
        ToolCall(part.id, part.name, part.arguments)
        if isinstance(part, ToolCall)
        else Text(part.text)
        if isinstance(part, Text)
        else part
        for part in draw(assistant_parts(interleaved=interleaved))
    )
    stop_sequence = None
    if any(isinstance(part, ToolCall) for part in parts):
        stop = StopReason.TOOL_CALLS
    elif any(isinstance(part, Refusal) for part in parts):
        stop = StopReason.REFUSAL
    else:
        stop = draw(st.sampled_from([reason for reason in StopReason if reason is not StopReason.TOOL_CALLS]))
        stop_sequence = draw(texts) if stop is StopReason.STOP_SEQUENCE else None
    return Answer(
        id=draw(identifiers),
        model=draw(names),
        parts=parts,
        stop=stop,
        usage=draw(usages()),
        created=draw(st.integers(0, 2**32)),
        stop_sequence=stop_sequence,
    )


@st.composite
def streams(draw: st.DrawFn, answer: Answer) -> tuple[StreamEvent, ...]:
    """``answer`` as an upstream might stream it: its texts cut anywhere."""
    events: list[StreamEvent] = [Started(answer.id, answer.model, answer.created)]
    for index, part in enumerate(answer.parts):
        events.append(_beginning(index, part))
        if not isinstance(part, RedactedThinking):
            events += [Delta(index, piece) for piece in draw(_pieces(_text_of(part)))]
        if isinstance(part, Thinking) and part.signature is not None:
            events.append(Signed(index, part.signature))
        events.append(PartEnded(index))
    return (*events, Stopped(answer.stop, answer.stop_sequence), Used(answer.usage), Finished())


@st.composite
def _pieces(draw: st.DrawFn, text: str) -> list[str]:
    cuts = sorted(draw(st.sets(st.integers(0, len(text)), max_size=3)))
    pieces = [text[start:stop] for start, stop in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    return [piece for piece in pieces if piece]


def _beginning(index: int, part: Part) -> PartStarted:
    match part:
        case Thinking():
            return PartStarted(index, PartKind.THINKING)
        case RedactedThinking(data):
            return PartStarted(index, PartKind.REDACTED_THINKING, data=data)
        case ToolCall(call_id, name):
            return PartStarted(index, PartKind.TOOL_CALL, call_id=call_id, name=name)
        case Refusal():
            return PartStarted(index, PartKind.REFUSAL)
        case _:
            return PartStarted(index, PartKind.TEXT)


def _text_of(part: Part) -> str:
    match part:
        case Text(text) | Thinking(text) | Refusal(text):
            return text
        case ToolCall():
            return part.arguments
        case _:
            raise TypeError(f"an answer does not stream a {type(part).__name__}")
