"""Uploads: a multipart form whose one file is handed on as it arrives, and whose fields are small."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from gateway.errors import InvalidRequest, TooLarge

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks  # declared for type checkers only

_FIELD_BYTES = 4096
_FIELDS = 16
_NAME_LENGTH = 255
OVERHEAD_BYTES = 64 * 1024
"""What boundaries, headers and fields may add to a file."""


@dataclass(slots=True)
class Form:
    """What came with a file: its name, its size, and the fields beside it."""

    file_name: str | None = None
    size: int = 0
    fields: dict[str, str] = field(default_factory=dict)


async def read_form(
    body: AsyncIterator[bytes],
    content_type: str,
    *,
    file_field: str,
    most_bytes: int,
    write: Callable[[bytes], Awaitable[None]],
) -> Form:
    """Read an upload, giving the file's bytes to ``write`` piece by piece; no more than one piece is kept here.

    Raises InvalidRequest for what is no such form, and TooLarge as soon as the file has more than
    ``most_bytes``.
    """
    kind, options = parse_options_header(content_type)
    boundary = options.get(b"boundary")
    if kind != b"multipart/form-data" or not boundary:
        raise InvalidRequest(
            f"the body must be multipart/form-data with a boundary, its file in the field {file_field!r}", param="file"
        )
    reading = _Reading(file_field)
    try:
        parser = MultipartParser(boundary, reading.callbacks())
        arrived = 0
        async for piece in body:
            arrived += len(piece)
            parser.write(piece)
            if reading.form.size > most_bytes or arrived > most_bytes + OVERHEAD_BYTES:
                raise TooLarge(f"the file has more than {most_bytes} bytes, the limit set by background.max_file_bytes")
            for data in reading.taken():
                await write(data)
        parser.finalize()
    except FormParserError as fault:
        raise InvalidRequest("the body is not the multipart form that its content-type says", param="file") from fault
    if not reading.has_ended:
        raise InvalidRequest("the body ends before its multipart form does", param="file")
    if reading.form.file_name is None:
        raise InvalidRequest(f"the form must hold a file in the field {file_field!r}", param="file")
    return reading.form


class _Reading:
    """The parser's callbacks and what they have learned."""

    def __init__(self, file_field: str) -> None:
        self._file_field = file_field
        self.form = Form()
        self.has_ended = False
        self._header = [bytearray(), bytearray()]
        self._headers: dict[bytes, bytes] = {}
        self._field: str | None = None
        self._value = bytearray()
        self._is_file = False
        self._pieces: list[bytes] = []

    def callbacks(self) -> MultipartCallbacks:
        return {
            "on_part_begin": self._begin_part,
            "on_header_field": lambda data, start, end: self._header[0].extend(data[start:end]),
            "on_header_value": lambda data, start, end: self._header[1].extend(data[start:end]),
            "on_header_end": self._end_header,
            "on_headers_finished": self._end_headers,
            "on_part_data": self._take,
            "on_part_end": self._end_part,
            "on_end": self._end,
        }

    def taken(self) -> list[bytes]:
        """The file's bytes that have come since the last call."""
        pieces, self._pieces = self._pieces, []
        return pieces

    def _begin_part(self) -> None:
        self._headers = {}
        self._value.clear()

    def _end_header(self) -> None:
        name, value = self._header
        self._headers[bytes(name).lower()] = bytes(value)
        self._header = [bytearray(), bytearray()]

    def _end_headers(self) -> None:
        _, options = parse_options_header(self._headers.get(b"content-disposition"))
        self._field = options.get(b"name", b"").decode("utf-8", "replace")
        self._is_file = self._field == self._file_field and b"filename" in options
        if self._is_file:
            if self.form.file_name is not None:
                raise InvalidRequest("the form must hold one file", param="file")
            name = options[b"filename"].decode("utf-8", "replace")
            self.form.file_name = "".join(letter for letter in name if letter.isprintable())[:_NAME_LENGTH]

    def _take(self, data: bytes, start: int, end: int) -> None:
        if self._is_file:
            self.form.size += end - start
            self._pieces.append(data[start:end])
        else:
            self._value += data[start:end]
            if len(self._value) > _FIELD_BYTES:
                raise _too_much()

    def _end_part(self) -> None:
        if not self._is_file and self._field:
            self.form.fields[self._field] = self._value.decode("utf-8", "replace")
            if len(self.form.fields) > _FIELDS:
                raise _too_much()
        self._is_file = False

    def _end(self) -> None:
        self.has_ended = True


def _too_much() -> InvalidRequest:
    return InvalidRequest(f"beside its file the form may have {_FIELDS} fields of {_FIELD_BYTES} bytes", param="file")
