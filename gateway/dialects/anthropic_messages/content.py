"""Reading the content blocks of a client's messages into neutral parts.

What a block says beyond its neutral part (citations, ``caller``, image transformations) is kept
under its path in ``unread``, so that renderers can name it. Blocks that only Anthropic's own
servers understand (server tools and their results, containers) are refused: they are served by
byte pass-through to an Anthropic upstream, never by translation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from gateway.dialects.anthropic_messages.arguments import write_arguments
from gateway.dialects.anthropic_messages.fields import Field
from gateway.domain.chat import (
    Document,
    Image,
    Part,
    RedactedThinking,
    Role,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
)
from gateway.errors import InvalidRequest

Unread: TypeAlias = dict[str, Any]
"""What a request says beyond its neutral value, by path."""

BlockReader: TypeAlias = Callable[[Field, Unread], tuple[Part, ...]]

_PLAIN_TEXT = "text/plain"


def read_content(content: Field, role: Role, unread: Unread) -> tuple[Part, ...]:
    """The parts of a message's ``content``: a string, or an array of the blocks that ``role`` may hold."""
    if isinstance(content.value, str):
        return (Text(content.value),)
    return _read_blocks(content, _BLOCKS_BY_ROLE[role], f"a message of role {role.value}", unread)


def read_system(system: Field, unread: Unread) -> tuple[Part, ...]:
    """The parts of the top-level ``system``; an empty string is no system prompt."""
    if not system.is_given or system.value == "":
        return ()
    return read_content(system, Role.SYSTEM, unread)


def note_unread(block: Field, known: frozenset[str], unread: Unread) -> None:
    """Keep the members of ``block`` that no neutral field covers."""
    for key, value in block.object().items():
        if key not in known and value is not None:
            unread[f"{block.path}.{key}"] = value


def read_cache_control(block: Field) -> Mapping[str, Any] | None:
    """The cache mark of a block or tool, as it came."""
    return block.get("cache_control").object_or_none()


def _read_blocks(blocks: Field, readers: Mapping[str, BlockReader], holder: str, unread: Unread) -> tuple[Part, ...]:
    parts: list[Part] = []
    for block in blocks.items("a string or an array of content blocks"):
        kind = block.get("type")
        reader = readers.get(kind.value) if isinstance(kind.value, str) else None
        if reader is None:
            raise InvalidRequest(
                f"{kind.path}: {kind.shown()} is no block that {holder} may hold in a translated request; "
                f"accepted are {', '.join(readers)}. Server tools and their blocks are served only by a model "
                "whose upstream speaks the Anthropic Messages API",
                param=kind.path,
            )
        parts.extend(reader(block, unread))
    return tuple(parts)


def _read_text(block: Field, unread: Unread) -> tuple[Part, ...]:
    note_unread(block, frozenset({"type", "text", "cache_control"}), unread)
    return (Text(block.get("text").text(), read_cache_control(block)),)


def _read_image(block: Field, unread: Unread) -> tuple[Part, ...]:
    note_unread(block, frozenset({"type", "source", "cache_control"}), unread)
    source = block.get("source")
    mark = read_cache_control(block)
    match source.get("type").choice(("base64", "url", "file")):
        case "base64":
            media_type = source.get("media_type").name()
            return (Image(media_type=media_type, data=source.get("data").name(), cache_control=mark),)
        case "url":
            return (Image(url=source.get("url").name(), cache_control=mark),)
        case _:
            return (Image(file_id=source.get("file_id").name(), cache_control=mark),)


def _read_document(block: Field, unread: Unread) -> tuple[Part, ...]:
    note_unread(block, frozenset({"type", "source", "title", "context", "cache_control"}), unread)
    source = block.get("source")
    name = block.get("title").text_or_none()
    context = block.get("context").text_or_none()
    mark = read_cache_control(block)
    match source.get("type").choice(("base64", "text", "content", "url", "file")):
        case "base64":
            media_type, data = source.get("media_type").name(), source.get("data").name()
            return (Document(media_type, data=data, name=name, context=context, cache_control=mark),)
        case "text":
            text = source.get("data").text()
            return (Document(_PLAIN_TEXT, text=text, name=name, context=context, cache_control=mark),)
        case "content":
            return _read_block_document(block, source.get("content"), unread)
        case "url":
            return (Document(url=source.get("url").name(), name=name, context=context, cache_control=mark),)
        case _:
            file_id = source.get("file_id").name()
            return (Document(file_id=file_id, name=name, context=context, cache_control=mark),)


def _read_block_document(block: Field, content: Field, unread: Unread) -> tuple[Part, ...]:
    """A document made of blocks: its texts as one document, its images after it, in their order.

    The block boundaries matter only to citations; ``source.type`` is noted as unread for them.
    """
    unread[f"{block.path}.source.type"] = "content"
    blocks: tuple[Part, ...]
    if isinstance(content.value, str):
        blocks = (Text(content.value),)
    else:
        blocks = _read_blocks(content, _DOCUMENT_BLOCKS, "a document", unread)
    texts = [part.text for part in blocks if isinstance(part, Text)]
    images = [part for part in blocks if isinstance(part, Image)]
    document = Document(
        _PLAIN_TEXT,
        text="\n\n".join(texts),
        name=block.get("title").text_or_none(),
        context=block.get("context").text_or_none(),
        cache_control=read_cache_control(block),
    )
    return (document, *images)


def _read_search_result(block: Field, unread: Unread) -> tuple[Part, ...]:
    """A search result that the client brings along: a document with its source as context."""
    note_unread(block, frozenset({"source", "title", "content", "cache_control"}), unread)
    texts = _read_blocks(block.get("content"), _TEXT_ONLY, "a search_result", unread)
    document = Document(
        _PLAIN_TEXT,
        text="\n\n".join(part.text for part in texts if isinstance(part, Text)),
        name=block.get("title").text(),
        context=block.get("source").text(),
        cache_control=read_cache_control(block),
    )
    return (document,)


def _read_tool_result(block: Field, unread: Unread) -> tuple[Part, ...]:
    note_unread(block, frozenset({"type", "tool_use_id", "content", "is_error", "cache_control"}), unread)
    content = block.get("content")
    parts: tuple[Part, ...] = ()
    if isinstance(content.value, str):
        parts = (Text(content.value),)
    elif content.is_given:
        parts = _read_blocks(content, _RESULT_BLOCKS, "a tool_result", unread)
    return (
        ToolResult(
            call_id=block.get("tool_use_id").name(),
            parts=tuple(part for part in parts if isinstance(part, Text | Image | Document)),
            is_error=block.get("is_error").flag_or_none() or False,
            cache_control=read_cache_control(block),
        ),
    )


def _read_tool_use(block: Field, unread: Unread) -> tuple[Part, ...]:
    note_unread(block, frozenset({"type", "id", "name", "input", "cache_control"}), unread)
    return (
        ToolCall(
            id=block.get("id").name(),
            name=block.get("name").name(),
            arguments=write_arguments(block.get("input").object_or_none()),
            cache_control=read_cache_control(block),
        ),
    )


def _read_thinking(block: Field, unread: Unread) -> tuple[Part, ...]:
    """An empty signature is none: servers without signatures send it to satisfy the type."""
    note_unread(block, frozenset({"type", "thinking", "signature"}), unread)
    return (Thinking(block.get("thinking").text(), block.get("signature").text_or_none() or None),)


def _read_redacted_thinking(block: Field, unread: Unread) -> tuple[Part, ...]:
    note_unread(block, frozenset({"type", "data"}), unread)
    return (RedactedThinking(block.get("data").text()),)


_TEXT_ONLY: Mapping[str, BlockReader] = {"text": _read_text}
_DOCUMENT_BLOCKS: Mapping[str, BlockReader] = {"text": _read_text, "image": _read_image}
_RESULT_BLOCKS: Mapping[str, BlockReader] = {
    "text": _read_text,
    "image": _read_image,
    "document": _read_document,
    "search_result": _read_search_result,
}
_BLOCKS_BY_ROLE: Mapping[Role, Mapping[str, BlockReader]] = {
    Role.SYSTEM: _TEXT_ONLY,
    Role.USER: {**_RESULT_BLOCKS, "tool_result": _read_tool_result},
    Role.ASSISTANT: {
        "text": _read_text,
        "thinking": _read_thinking,
        "redacted_thinking": _read_redacted_thinking,
        "tool_use": _read_tool_use,
    },
}
