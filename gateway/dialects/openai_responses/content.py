"""Content parts of messages and tool outputs, in both directions.

Inline files travel as data URLs (``data:image/png;base64,…``). Plain-text documents do too, since
the dialect has no other place for them, and are read back as text. A ``prompt_cache_breakpoint``
is read as the cache mark that it is; it is not written, because models before gpt-5.6 refuse it.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import Any, TypeAlias

from gateway.dialects.openai_responses.fields import Fields, shown
from gateway.domain.chat import Audio, Document, Image, Part, Refusal, Text

Content: TypeAlias = Text | Image | Document | Audio | Refusal
"""What messages and tool outputs are made of."""

INPUT_TYPES = ("input_text", "output_text", "input_image", "input_file", "input_audio")
ASSISTANT_TYPES = ("output_text", "refusal", "input_text")
TOOL_OUTPUT_TYPES = ("input_text", "input_image", "input_file")

DEFAULT_DETAIL = "auto"
_EPHEMERAL = {"type": "ephemeral"}
_DATA_URL = re.compile(r"data:([\w.+-]+/[\w.+-]+)?(?:;[\w.+-]+=[^;,]*)*;base64,", re.IGNORECASE)
_PLAIN_TEXT = "text/plain"

_EXTENSIONS = {
    "application/pdf": "pdf",
    "application/json": "json",
    "text/csv": "csv",
    "text/html": "html",
    "text/markdown": "md",
    _PLAIN_TEXT: "txt",
}
_MEDIA_TYPES = {extension: media_type for media_type, extension in _EXTENSIONS.items()}

_KNOWN: dict[str, frozenset[str]] = {
    "input_text": frozenset({"type", "text", "prompt_cache_breakpoint"}),
    "output_text": frozenset({"type", "text", "annotations"}),
    "refusal": frozenset({"type", "refusal"}),
    "input_image": frozenset({"type", "image_url", "file_id", "detail", "prompt_cache_breakpoint"}),
    "input_file": frozenset({"type", "file_data", "file_url", "file_id", "filename", "prompt_cache_breakpoint"}),
    "input_audio": frozenset({"type", "input_audio"}),
}


def read_part(part: Fields, accepted: tuple[str, ...], extras: dict[str, Any]) -> Content:
    """One content part; members that no neutral value holds go to ``extras`` by their paths."""
    kind = part.optional_text("type")
    if kind not in accepted:
        path = part.at("type")
        raise part.fault(path, f"`{path}` must be one of {', '.join(accepted)}; it is {shown(kind)}")
    extras.update(part.leftovers(_KNOWN[kind]))
    match kind:
        case "input_image":
            return _read_image(part)
        case "input_file":
            return _read_file(part)
        case "input_audio":
            return _read_audio(part)
        case "refusal":
            return Refusal(part.text("refusal"))
        case _:
            return Text(part.text("text"), _cache_mark(part))


def _cache_mark(part: Fields) -> dict[str, Any] | None:
    return None if part.mapping("prompt_cache_breakpoint") is None else dict(_EPHEMERAL)


def _exactly_one(part: Fields, keys: tuple[str, ...]) -> tuple[str, str]:
    given = [(key, value) for key in keys if (value := part.optional_text(key))]
    if len(given) != 1:
        names = " or ".join(f"`{part.at(key)}`" for key in keys)
        raise part.fault(part.at(keys[0]), f"exactly one of {names} must be a non-empty string; {len(given)} are")
    return given[0]


def _cut_data_url(part: Fields, key: str, url: str) -> tuple[str | None, str]:
    """Media type and base64 text of a data URL."""
    head = _DATA_URL.match(url)
    data = url[head.end() :] if head else ""
    if head is None or not data:
        raise part.fault(part.at(key), f"`{part.at(key)}` must be a data URL of the form data:TYPE;base64,DATA")
    return (head.group(1) or "").lower() or None, data


def _read_image(part: Fields) -> Image:
    detail = part.optional_text("detail")
    detail = None if detail == DEFAULT_DETAIL else detail
    mark = _cache_mark(part)
    key, value = _exactly_one(part, ("image_url", "file_id"))
    if key == "file_id":
        return Image(file_id=value, detail=detail, cache_control=mark)
    if not value.startswith("data:"):
        return Image(url=value, detail=detail, cache_control=mark)
    media_type, data = _cut_data_url(part, key, value)
    return Image(media_type=media_type, data=data, detail=detail, cache_control=mark)


def _read_file(part: Fields) -> Document:
    name = part.optional_text("filename") or None
    mark = _cache_mark(part)
    key, value = _exactly_one(part, ("file_data", "file_url", "file_id"))
    if key == "file_id":
        return Document(file_id=value, name=name, cache_control=mark)
    if key == "file_url":
        return Document(url=value, name=name, cache_control=mark)
    if value.startswith("data:"):
        media_type, data = _cut_data_url(part, key, value)
    else:
        media_type, data = _media_type_by_name(name), value
    if media_type == _PLAIN_TEXT and (text := _decoded(data)) is not None:
        return Document(media_type=media_type, text=text, name=name, cache_control=mark)
    return Document(media_type=media_type, data=data, name=name, cache_control=mark)


def _media_type_by_name(name: str | None) -> str | None:
    return _MEDIA_TYPES.get(name.rpartition(".")[2].lower()) if name else None


def _decoded(data: str) -> str | None:
    try:
        return base64.b64decode(data, validate=True).decode("utf-8", "surrogatepass")
    except (binascii.Error, ValueError):
        return None


def _read_audio(part: Fields) -> Audio:
    audio = part.inner("input_audio")
    if audio is None:
        raise part.wrong("input_audio", "an object with `data` (base64) and `format` (wav or mp3)")
    return Audio(data=audio.word("data"), format=audio.word("format"))


def render_part(part: Part, dropped: dict[str, None]) -> dict[str, Any] | None:
    """One input part; None, and named as dropped, for a part that input content cannot hold."""
    match part:
        case Text() | Image() | Document() if part.cache_control is not None:
            dropped["cache_control"] = None
    match part:
        case Text(text) | Refusal(text):
            return {"type": "input_text", "text": text}
        case Image():
            return _render_image(part)
        case Document():
            if part.context is not None:
                dropped["document.context"] = None
            return _render_file(part)
        case Audio():
            return {"type": "input_audio", "input_audio": {"data": part.data, "format": part.format}}
        case _:
            dropped[f"input.{type(part).__name__}"] = None
            return None


def _render_image(image: Image) -> dict[str, Any]:
    rendered: dict[str, Any] = {"type": "input_image", "detail": image.detail or DEFAULT_DETAIL}
    if image.file_id is not None:
        rendered["file_id"] = image.file_id
    elif image.url is not None:
        rendered["image_url"] = image.url
    else:
        rendered["image_url"] = _data_url(image.media_type or "image/png", image.data or "")
    return rendered


def _render_file(document: Document) -> dict[str, Any]:
    rendered: dict[str, Any] = {"type": "input_file"}
    if document.file_id is not None:
        return rendered | {"file_id": document.file_id}
    if document.url is not None:
        return rendered | {"file_url": document.url}
    if document.text is not None:
        media_type = document.media_type or _PLAIN_TEXT
        data = base64.b64encode(document.text.encode("utf-8", "surrogatepass")).decode("ascii")
    else:
        media_type, data = document.media_type or "application/pdf", document.data or ""
    # The API refuses inline data without a file name.
    name = document.name or f"document.{_EXTENSIONS.get(media_type, 'bin')}"
    return rendered | {"filename": name, "file_data": _data_url(media_type, data)}


def _data_url(media_type: str, data: str) -> str:
    return f"data:{media_type};base64,{data}"
