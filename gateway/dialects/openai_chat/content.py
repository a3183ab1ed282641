"""Content parts of messages, read and rendered.

Beside what OpenAI itself documents, these forms of compatible servers are read, and rendered
where nothing else can say it: ``cache_control`` on a part (OpenRouter, litellm) and an http(s)
address in ``file_data`` (OpenRouter). ``extensions.py`` removes them again for servers that
refuse unknown fields.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from gateway.dialects.openai_chat.fields import Fields, refused
from gateway.domain.chat import Audio, Document, Image, Part, Refusal, Text

_DATA_URL = re.compile(r"data:([^;,]*)(?:;[^;,]*)*;base64,(.*)", re.DOTALL | re.IGNORECASE)
_WEB_URL = re.compile(r"https?://", re.IGNORECASE)

SaidPart = Text | Image | Document | Audio

USER_PARTS = ("text", "image_url", "input_audio", "file")
TEXT_PARTS = ("text",)
ASSISTANT_PARTS = ("text", "refusal")
TOOL_PARTS = ("text", "image_url", "file")


def read_content(message: Fields, accepted: tuple[str, ...]) -> tuple[Part, ...]:
    """The parts of a message's ``content``: a string, or a list of parts of the ``accepted`` types."""
    content = message.get("content")
    if isinstance(content, str):
        return (Text(content),)
    if isinstance(content, list):
        return tuple(_read_part(part, accepted) for part in message.children("content"))
    raise refused(message.at("content"), "is required and must be a string or a list of content parts")


def _read_part(part: Fields, accepted: tuple[str, ...]) -> Part:
    kind = part.get("type")
    if kind not in accepted:
        raise refused(part.at("type"), f"must be one of {', '.join(accepted)} in a message of this role")
    cache_control = part.optional_mapping("cache_control")
    match kind:
        case "text":
            return Text(part.text("text"), cache_control)
        case "image_url":
            return _read_image(part, cache_control)
        case "input_audio":
            audio = part.child("input_audio")
            return Audio(audio.text("data"), audio.name("format"))
        case "file":
            return _read_file(part.child("file"), cache_control)
        case _:
            return Refusal(part.text("refusal"))


def _read_image(part: Fields, cache_control: Mapping[str, Any] | None) -> Image:
    image = part.child("image_url")
    url = image.text("url")
    detail = image.optional_text("detail")
    if _WEB_URL.match(url):
        return Image(url=url, detail=detail, cache_control=cache_control)
    data = _DATA_URL.fullmatch(url)
    if data is None:
        raise refused(image.at("url"), "must be an http(s) URL or a data URL in base64, as data:image/png;base64,…")
    return Image(media_type=data[1] or None, data=data[2], detail=detail, cache_control=cache_control)


def _read_file(file: Fields, cache_control: Mapping[str, Any] | None) -> Document:
    name = file.optional_text("filename")
    file_id = file.optional_text("file_id")
    content = file.optional_text("file_data")
    if (file_id is None) == (content is None):
        raise refused(file.path, "must have exactly one of file_data and file_id")
    if content is None:
        return Document(file_id=file_id, name=name, cache_control=cache_control)
    if _WEB_URL.match(content):
        return Document(url=content, name=name, cache_control=cache_control)
    data = _DATA_URL.fullmatch(content)
    if data is not None:
        return Document(media_type=data[1] or None, data=data[2], name=name, cache_control=cache_control)
    if content[:5].lower() == "data:":
        raise refused(file.at("file_data"), "must be in base64, as data:application/pdf;base64,…")
    return Document(data=content, name=name, cache_control=cache_control)


def render_content(parts: Sequence[SaidPart]) -> str | list[dict[str, Any]]:
    """A string where one plain text is all there is, as every compatible server reads it."""
    said = [_as_text(part) if isinstance(part, Document) else part for part in parts]
    match said:
        case []:
            return ""
        case [Text(text, None)]:
            return text
        case _:
            return [_render_part(part) for part in said]


def _as_text(document: Document) -> Text | Document:
    """Chat takes no plain-text documents: their text is said, below their name and context."""
    if document.text is None:
        return document
    heading = "\n".join(label for label in (document.name, document.context) if label)
    return Text(f"{heading}\n\n{document.text}" if heading else document.text, document.cache_control)


def _render_part(part: SaidPart) -> dict[str, Any]:
    match part:
        case Text(text):
            rendered: dict[str, Any] = {"type": "text", "text": text}
        case Image(file_id=str(file_id)):
            # Chat has no image by id; its file part takes any uploaded file.
            rendered = {"type": "file", "file": {"file_id": file_id}}
        case Image():
            rendered = {"type": "image_url", "image_url": _image_url(part)}
        case Document():
            rendered = {"type": "file", "file": _file(part)}
        case Audio(data, audio_format):
            return {"type": "input_audio", "input_audio": {"data": data, "format": audio_format}}
    if part.cache_control is not None:
        rendered["cache_control"] = dict(part.cache_control)
    return rendered


def _image_url(image: Image) -> dict[str, Any]:
    url = image.url if image.url is not None else f"data:{image.media_type or ''};base64,{image.data or ''}"
    return {"url": url} if image.detail is None else {"url": url, "detail": image.detail}


def _file(document: Document) -> dict[str, Any]:
    if document.file_id is not None:
        file = {"file_id": document.file_id}
    elif document.url is not None:
        file = {"file_data": document.url}
    elif document.media_type is None:
        file = {"file_data": document.data or ""}
    else:
        file = {"file_data": f"data:{document.media_type};base64,{document.data or ''}"}
    if document.name is not None:
        file["filename"] = document.name
    elif document.file_id is None:
        # OpenAI refuses file_data without a filename.
        file["filename"] = "document.pdf" if document.media_type == "application/pdf" else "document"
    return file
