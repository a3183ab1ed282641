"""Rendering neutral parts as content blocks that Anthropic accepts in a request.

Anthropic refuses text without a visible character, thinking that it did not sign, and tool ids
outside ``[a-zA-Z0-9_-]``: the first two are left out, and named unless there was nothing to lose;
the third are mapped, the same id always to the same one, so that calls and results still meet.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Mapping
from typing import Any, TypeAlias

from gateway.dialects.anthropic_messages.arguments import parse_arguments
from gateway.dialects.seals import is_foreign
from gateway.domain.chat import (
    Audio,
    Document,
    Image,
    Part,
    RedactedThinking,
    Refusal,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
)
from gateway.errors import InvalidRequest

Block: TypeAlias = dict[str, Any]

_TOOL_ID = re.compile(r"[a-zA-Z0-9_-]+\Z")
_ODD_CHARACTER = re.compile(r"[^a-zA-Z0-9_-]")

_PDF = "application/pdf"
_MEDIA_TYPE_BY_PREFIX = {
    "JVBERi": _PDF,
    "iVBORw0KGgo": "image/png",
    "/9j/": "image/jpeg",
    "R0lGOD": "image/gif",
    "UklGR": "image/webp",
}
"""How base64 of the formats that Anthropic reads begins: the files' magic numbers, encoded."""


def render_part(part: Part, place: str, dropped: list[str]) -> Block | None:
    """The block for ``part``, or None where Anthropic has none; ``place`` names it in ``dropped``."""
    match part:
        case Text():
            return render_text(part, place, dropped)
        case Refusal(text):
            dropped.append(f"{place}: refusal→text")
            return render_text(Text(text), place, dropped)
        case Image():
            return _render_image(part, place, dropped)
        case Document():
            return _render_document(part, place, dropped)
        case Audio():
            dropped.append(f"{place}: audio")
            return None
        case Thinking() | RedactedThinking():
            return _render_thinking(part, place, dropped)
        case ToolCall():
            return _render_tool_call(part, place)
        case ToolResult():
            return _render_tool_result(part, place, dropped)


def render_text(text: Text, place: str, dropped: list[str]) -> Block | None:
    """A text block; None for text without a visible character, which Anthropic refuses."""
    if not text.text.strip():
        if text.text:
            dropped.append(f"{place}: blank text")
        return None
    return _marked({"type": "text", "text": text.text}, text.cache_control)


def tool_id(call_id: str) -> str:
    """``call_id`` where Anthropic accepts it, else an id made from it that no other id maps to."""
    if _TOOL_ID.match(call_id):
        return call_id
    digest = hashlib.sha256(call_id.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    return f"{_ODD_CHARACTER.sub('_', call_id)[:40]}_{digest}"


def _marked(block: Block, cache_control: Mapping[str, Any] | None) -> Block:
    if cache_control is not None:
        block["cache_control"] = dict(cache_control)
    return block


def _render_image(image: Image, place: str, dropped: list[str]) -> Block:
    if image.detail is not None:
        dropped.append(f"{place}: image detail")
    source: Block
    if image.data is not None:
        media_type = image.media_type or _recognized(image.data)
        if media_type is None:
            raise InvalidRequest(
                f"{place}: an image of unknown format; name its media type: image/jpeg, image/png, image/gif "
                "or image/webp",
                param=place,
            )
        source = {
            "type": "base64",
            "media_type": "image/jpeg" if media_type == "image/jpg" else media_type,
            "data": image.data,
        }
    else:
        source = _reference(image.url, image.file_id, place)
    return _marked({"type": "image", "source": source}, image.cache_control)


def _render_document(document: Document, place: str, dropped: list[str]) -> Block:
    block: Block = {"type": "document", "source": _document_source(document, place, dropped)}
    if document.name is not None:
        block["title"] = document.name
    if document.context is not None:
        block["context"] = document.context
    return _marked(block, document.cache_control)


def _document_source(document: Document, place: str, dropped: list[str]) -> Block:
    if document.text is not None:
        return {"type": "text", "media_type": "text/plain", "data": document.text}
    if document.data is None:
        return _reference(document.url, document.file_id, place)
    media_type = document.media_type or _recognized(document.data)
    if media_type == _PDF:
        return {"type": "base64", "media_type": _PDF, "data": document.data}
    text = _decoded_text(document.data) if media_type is not None and media_type.startswith("text/") else None
    if text is None:
        raise InvalidRequest(
            f"{place}: a document in a format that Anthropic does not read; accepted are application/pdf "
            "and UTF-8 text",
            param=place,
        )
    if media_type != "text/plain":
        dropped.append(f"{place}: document media type→text/plain")
    return {"type": "text", "media_type": "text/plain", "data": text}


def _reference(url: str | None, file_id: str | None, place: str) -> Block:
    if url is not None:
        return {"type": "url", "url": url}
    if file_id is not None:
        return {"type": "file", "file_id": file_id}
    raise InvalidRequest(f"{place}: no content; give its data, a url or a file_id", param=place)


def _recognized(data: str) -> str | None:
    for prefix, media_type in _MEDIA_TYPE_BY_PREFIX.items():
        if data.startswith(prefix):
            return media_type
    return None


def _decoded_text(data: str) -> str | None:
    try:
        return base64.b64decode(data, validate=True).decode("utf-8")
    except (binascii.Error, ValueError):
        return None


def _render_thinking(part: Thinking | RedactedThinking, place: str, dropped: list[str]) -> Block | None:
    if isinstance(part, RedactedThinking):
        if is_foreign(part.data):
            dropped.append(f"{place}: thinking of another provider")
            return None
        return {"type": "redacted_thinking", "data": part.data}
    if not part.signature or is_foreign(part.signature):
        dropped.append(f"{place}: thinking that Anthropic did not sign")
        return None
    return {"type": "thinking", "thinking": part.text, "signature": part.signature}


def _render_tool_call(call: ToolCall, place: str) -> Block:
    arguments = parse_arguments(call.arguments)
    if arguments is None:
        raise InvalidRequest(
            f"{place}: the arguments of tool call {tool_id(call.id)} are not a JSON object; Anthropic accepts "
            "nothing else",
            param=place,
        )
    block = {"type": "tool_use", "id": tool_id(call.id), "name": call.name, "input": arguments}
    return _marked(block, call.cache_control)


def _render_tool_result(result: ToolResult, place: str, dropped: list[str]) -> Block:
    block: Block = {"type": "tool_result", "tool_use_id": tool_id(result.call_id)}
    inner = [render_part(part, f"{place}.content[{index}]", dropped) for index, part in enumerate(result.parts)]
    content = [part for part in inner if part is not None]
    if content:
        block["content"] = content
    if result.is_error:
        block["is_error"] = True
    return _marked(block, result.cache_control)
