"""Words that tell what kind of work is asked for, in twelve languages.

A cue means the same in every language, so what is learned of it in one holds in the others. The words
are in ``cues.json``: ``words`` are compared with whole words, or with their beginnings where a ``*``
says so; ``pieces`` are looked for anywhere, for scripts that do not part words with spaces or that
bend them in front.
"""

from __future__ import annotations

import json
import re
from functools import lru_cache
from importlib.resources import files
from string import ascii_lowercase

_ZONE_WORDS = 14
"""Instructions stand at an end of a prompt; material to work on stands between."""
_ZONE_CHARACTERS = 60
_MOST_WORDS = 160
_WORD = re.compile(r"[^\W\d_]+(?:\+\+|['’][^\W\d_]+)?")
_ASCII_WORD = re.compile(r"[a-z]+(?:\+\+|'[a-z]+)?")
"""The same, and quicker, in a lower-case text of ASCII."""
_LETTERS = bytes(code if chr(code) in ascii_lowercase else ord(" ") for code in range(256))
_TABLE = json.loads(files("gateway.difficulty").joinpath("cues.json").read_text("utf-8"))

CUES = tuple(_TABLE)
"""The names of the cues, in the order of their features."""
ZONES = ("first", "last", "all")


def _whole_and_beginnings() -> tuple[dict[str, tuple[int, ...]], dict[str, tuple[int, ...]]]:
    whole: dict[str, tuple[int, ...]] = {}
    beginnings: dict[str, tuple[int, ...]] = {}
    for number, cue in enumerate(CUES):
        for word in dict.fromkeys(_TABLE[cue]["words"]):
            table, key = (beginnings, word[:-1]) if word.endswith("*") else (whole, word)
            table[key] = (*table.get(key, ()), number)
    return whole, beginnings


_WHOLE, _BEGINNINGS = _whole_and_beginnings()
_LENGTHS = sorted({len(each) for each in _BEGINNINGS})
_SCRIPTS = tuple(
    re.compile(f"[{first}-{last}]")
    for first, last in (("\u0600", "\u06ff"), ("\u0900", "\u097f"), ("\u3040", "\u9fff"), ("\uac00", "\ud7af"))
)
"""Arabic, Devanagari, kana with Han, and Hangul: the scripts of the pieces."""


def _pieces_by_script() -> tuple[tuple[tuple[int, str], ...], ...]:
    pieces = [(number, piece) for number, cue in enumerate(CUES) for piece in dict.fromkeys(_TABLE[cue]["pieces"])]
    return tuple(tuple(each for each in pieces if script.match(each[1])) for script in _SCRIPTS)


_PIECES = _pieces_by_script()


@lru_cache(maxsize=16_384)
def _cues_of(word: str) -> bytes:
    """The numbers of a word's cues, a byte each: most words have none, and a join passes over those quickly."""
    found = set(_WHOLE.get(word, ()))
    for length in _LENGTHS:
        if length > len(word):
            break
        found.update(_BEGINNINGS.get(word[:length], ()))
    return bytes(sorted(found))


def count_cues(text: str) -> list[int]:
    """How often each cue stands in the first words, in the last and anywhere: (zone, cue), flattened."""
    lower = text.lower()
    is_ascii = lower.isascii()
    words = _ascii_words(lower) if is_ascii else _WORD.findall(lower)
    if len(words) > _MOST_WORDS:
        words = words[: _MOST_WORDS // 2] + words[-_MOST_WORDS // 2 :]
    found = list(map(_cues_of, words))
    counts = [0] * (len(ZONES) * len(CUES))
    for zone, words_there in enumerate((found[:_ZONE_WORDS], found[-_ZONE_WORDS:], found)):
        begins = zone * len(CUES)
        for cue in b"".join(words_there):
            counts[begins + cue] += 1
    if not is_ascii:
        _count_pieces(lower, counts)
    return counts


def _ascii_words(lower: str) -> list[str]:
    if "'" in lower or "+" in lower:
        return _ASCII_WORD.findall(lower)
    return lower.encode().translate(_LETTERS).decode().split()  # the same, in a third of the time


def _count_pieces(lower: str, counts: list[int]) -> None:
    first, last = lower[:_ZONE_CHARACTERS], lower[-_ZONE_CHARACTERS:]
    for script, pieces in zip(_SCRIPTS, _PIECES, strict=True):
        if script.search(lower) is None:
            continue
        for cue, piece in pieces:
            if piece in lower:
                counts[cue] += piece in first
                counts[len(CUES) + cue] += piece in last
                counts[2 * len(CUES) + cue] += 1
