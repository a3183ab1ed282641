"""Tests of gateway/http/multipart.py: a form is read the same however it arrives, and never beyond its limits."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import InvalidRequest, TooLarge
from gateway.http.multipart import OVERHEAD_BYTES, Form, read_form

KIND = "multipart/form-data; boundary=cut"


def _part(name: str, value: bytes, file_name: str | None = None) -> bytes:
    file = "" if file_name is None else f'; filename="{file_name}"'
    return f'--cut\r\nContent-Disposition: form-data; name="{name}"{file}\r\n\r\n'.encode() + value + b"\r\n"


def _form(*parts: bytes) -> bytes:
    return b"".join(parts) + b"--cut--\r\n"


async def _read(body: bytes, cuts: tuple[int, ...] = (), *, most: int = 1000) -> tuple[Form, bytes]:
    written = bytearray()

    async def pieces() -> AsyncIterator[bytes]:
        edges = [0, *sorted(cut % (len(body) + 1) for cut in cuts), len(body)]
        for start, end in itertools.pairwise(edges):
            yield body[start:end]

    async def write(data: bytes) -> None:
        written.extend(data)

    form = await read_form(pieces(), KIND, file_field="file", most_bytes=most, write=write)
    return form, bytes(written)


@given(st.binary(max_size=300), st.lists(st.integers(min_value=0, max_value=2000), max_size=9), st.booleans())
async def test_a_form_does_not_depend_on_how_it_is_cut(data: bytes, cuts: list[int], file_first: bool) -> None:
    """The file's bytes and the fields are the same whatever the pieces, and whichever comes first."""
    parts = [_part("purpose", b"batch"), _part("file", data, "a.jsonl")]
    form, written = await _read(_form(*(parts[::-1] if file_first else parts)), tuple(cuts))
    assert (form.file_name, form.size, form.fields, written) == ("a.jsonl", len(data), {"purpose": "batch"}, data)


async def test_a_file_is_limited_to_the_byte() -> None:
    """As many bytes as the limit are taken, and one more is refused."""
    _, written = await _read(_form(_part("file", b"x" * 1000, "a")))
    assert len(written) == 1000
    with pytest.raises(TooLarge, match=r"background\.max_file_bytes"):
        await _read(_form(_part("file", b"x" * 1001, "a")))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"nothing of the kind",
        _form(_part("purpose", b"batch")),
        _form(_part("file", b"not a file")),
        _form(_part("file", b"a", "a"), _part("file", b"b", "b")),
        _part("file", b"cut off", "a"),
        _form(_part("purpose", b"x" * 5000), _part("file", b"a", "a")),
        _form(*(_part(f"f{number}", b"x") for number in range(17)), _part("file", b"a", "a")),
    ],
)
async def test_what_is_no_upload_is_refused(body: bytes) -> None:
    """No form, no file, two files, a form that is cut off, or fields too large or too many."""
    with pytest.raises(InvalidRequest):
        await _read(body)


async def test_what_surrounds_a_file_is_limited() -> None:
    """A form whose other parts never end is given up."""
    with pytest.raises((TooLarge, InvalidRequest)):
        await _read(_form(_part("purpose", b"x" * (OVERHEAD_BYTES + 2000)), _part("file", b"a", "a")))


async def test_a_file_s_name_is_printable_and_short() -> None:
    """Characters that could not be stored or shown are left out of it."""
    form, _ = await _read(_form(_part("file", b"a", "a\x00b" + "c" * 999)))
    assert form.file_name == ("ab" + "c" * 999)[:255]
