"""Messages read into turns.

Consecutive ``tool`` messages are one user turn of tool results. An assistant turn holds its
thinking first, then what it said, then its tool calls: a chat message has a field for each, and
no order between them.
"""

from __future__ import annotations

from collections.abc import Iterator

from gateway.dialects.openai_chat.content import ASSISTANT_PARTS, TEXT_PARTS, TOOL_PARTS, USER_PARTS, read_content
from gateway.dialects.openai_chat.fields import Fields, refused
from gateway.dialects.openai_chat.thinking import read_thinking
from gateway.domain.chat import Document, Image, Part, Refusal, Role, Text, ToolCall, ToolResult, Turn


def read_turns(body: Fields) -> tuple[Turn, ...]:
    """The turns that ``messages`` holds; at least one is required."""
    if not isinstance(body.get("messages"), list) or not body.get("messages"):
        raise refused(body.at("messages"), "is required and must be a list of at least one message")
    return tuple(_join_results(body.children("messages")))


def _join_results(messages: Iterator[Fields]) -> Iterator[Turn]:
    results: list[Part] = []
    for message in messages:
        if message.get("role") == "tool":
            results.append(_read_result(message))
            continue
        if results:
            yield Turn(Role.USER, tuple(results))
            results = []
        yield _read_turn(message)
    if results:
        yield Turn(Role.USER, tuple(results))


def _read_turn(message: Fields) -> Turn:
    name = message.optional_text("name")
    match message.get("role"):
        case "system" | "developer" as role:
            return Turn(Role(role), read_content(message, TEXT_PARTS), name)
        case "user":
            return Turn(Role.USER, read_content(message, USER_PARTS), name)
        case "assistant":
            return Turn(Role.ASSISTANT, _read_assistant(message), name)
        case "function":
            raise refused(message.at("role"), "function is no longer spoken: send a message of role tool instead")
        case _:
            raise refused(message.at("role"), "must be one of system, developer, user, assistant, tool")


def _read_result(message: Fields) -> ToolResult:
    parts = tuple(
        part
        for part in read_content(message, TOOL_PARTS)
        if isinstance(part, Text | Image | Document) and part != Text("")
    )
    return ToolResult(message.name("tool_call_id"), parts, cache_control=message.optional_mapping("cache_control"))


def _read_assistant(message: Fields) -> tuple[Part, ...]:
    if message.has("function_call"):
        raise refused(message.at("function_call"), "is no longer spoken: use tool_calls, beside tools, instead")
    if message.has("audio"):
        raise refused(message.at("audio"), "cannot be translated: send the transcript as content instead")
    said: tuple[Part, ...] = ()
    if message.has("content"):
        said = tuple(part for part in read_content(message, ASSISTANT_PARTS) if part != Text(""))
    refusal = message.optional_text("refusal")
    if refusal:
        said = (*said, Refusal(refusal))
    calls = tuple(_read_call(call) for call in message.children("tool_calls"))
    return (*read_thinking(message), *said, *calls)


def _read_call(call: Fields) -> ToolCall:
    kind = call.get("type")
    if kind not in ("function", None):
        raise refused(call.at("type"), "must be function: other kinds of tools cannot be translated")
    function = call.child("function")
    return ToolCall(
        id=call.name("id"),
        name=function.name("name"),
        arguments=function.text("arguments"),
        cache_control=call.optional_mapping("cache_control"),
    )
