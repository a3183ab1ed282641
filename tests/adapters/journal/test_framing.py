"""Tests of gateway/adapters/journal/framing.py."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.adapters.journal.framing import HEADER_BYTES, LARGEST_PAYLOAD, MARK, Damage, Frame, frame, scan

PAYLOADS = st.lists(st.text(min_size=1, max_size=200).map(lambda text: text.encode("utf-8", "replace")), max_size=8)
THREE = (b'["o",1]', '["s",1,"höher"]'.encode(), b'["s",2]')


def payloads(data: bytes, *, is_last: bool = True) -> list[bytes]:
    """The payloads of the sound frames in ``data``."""
    return [found.payload for found in scan(data, is_last=is_last) if isinstance(found, Frame)]


def damages(data: bytes) -> list[Damage]:
    """The damaged places in ``data``."""
    return [found for found in scan(data, is_last=True) if isinstance(found, Damage)]


@given(PAYLOADS, st.booleans())
def test_what_was_framed_is_found(expected: list[bytes], is_last: bool) -> None:
    """Any payloads come back in their order, and no damage is seen."""
    data = b"".join(map(frame, expected))
    found = list(scan(data, is_last=is_last))
    assert [each.payload for each in found if isinstance(each, Frame)] == expected
    assert len(found) == len(expected)
    assert [each.end for each in found] == [each.start for each in found[1:]] + [len(data)] * bool(found)


@given(PAYLOADS.filter(bool), st.data())
def test_a_torn_tail_takes_only_the_last_frame(expected: list[bytes], data: st.DataObject) -> None:
    """However much of the last frame is missing, all before it come back, and what is left of it is a tail."""
    whole = b"".join(map(frame, expected))
    begin = len(whole) - len(frame(expected[-1]))
    cut = data.draw(st.integers(begin, len(whole) - 1))
    torn = whole[:cut]
    assert payloads(torn) == expected[:-1]
    assert damages(torn) == ([Damage(begin, cut, is_tail=True)] if cut > begin else [])


@pytest.mark.parametrize("bit", range(8))
def test_a_flipped_bit_takes_only_its_own_frame(bit: int) -> None:
    """Whichever bit of the middle frame flips, the frames around it come back, and one damage is seen where it lay."""
    first, middle, last = map(frame, THREE)
    for place in range(len(middle)):
        broken = bytearray(middle)
        broken[place] ^= 1 << bit
        data = first + bytes(broken) + last
        assert payloads(data) == [THREE[0], THREE[2]], place
        assert damages(data) == [Damage(len(first), len(first) + len(middle), is_tail=False)]


@given(PAYLOADS, st.binary(max_size=300), PAYLOADS)
def test_rubbish_between_frames_is_passed_over(before: list[bytes], rubbish: bytes, behind: list[bytes]) -> None:
    """Whatever bytes stand between frames, the frames before and behind them come back."""
    data = b"".join([*map(frame, before), rubbish, *map(frame, behind)])
    found = payloads(data)
    assert found[: len(before)] == before
    assert len(found) >= len(before) + len(behind) or rubbish.find(MARK[:1]) >= 0
    assert not behind or found[-1] == behind[-1] or rubbish.find(MARK[:1]) >= 0


def test_a_part_of_the_data_is_not_judged() -> None:
    """Without the rest of the segment, scanning stops before a frame that is incomplete or broken."""
    first, second, third = map(frame, THREE)
    assert payloads(first + second[:-1], is_last=False) == [THREE[0]]
    assert list(scan(first + b"?" + second + third, is_last=False)) == [Frame(THREE[0], 0, len(first))]


def test_no_payload_can_hold_a_frame() -> None:
    """The mark does not occur in UTF-8 text, so no prompt can forge a frame to be found behind damage."""
    with pytest.raises(UnicodeDecodeError):
        MARK.decode()


@pytest.mark.parametrize("length", [0, LARGEST_PAYLOAD + 1])
def test_an_impossible_length_is_damage(length: int) -> None:
    """A length of nothing, or beyond any request, is not waited for."""
    header = struct.pack("<2sII", MARK, length, 0)
    assert len(header) == HEADER_BYTES
    assert payloads(header + frame(b"next")) == [b"next"]
