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

_ZONE_WORDS = 14
"""Instructions stand at an end of a prompt; material to work on stands between."""
_ZONE_CHARACTERS = 60
_MOST_WORDS = 160
_WORD = re.compile(r"[^\W\d_]+(?:\+\+|['’][^\W\d_]+)?")
_ASCII_WORD = re.compile(r"[a-z]+(?:\+\+|'[a-z]+)?")
"""The same, and quicker, in a lower-case text of ASCII."""
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
def _cues_of(word: str) -> tuple[int, ...]:
    found = set(_WHOLE.get(word, ()))
    for length in _LENGTHS:
        if length > len(word):
            break
        found.update(_BEGINNINGS.get(word[:length], ()))
    return tuple(sorted(found))


def count_cues(text: str) -> list[int]:
    """How often each cue stands in the first words, in the last and anywhere: (zone, cue), flattened."""
    lower = text.lower()
    is_ascii = lower.isascii()
    words = (_ASCII_WORD if is_ascii else _WORD).findall(lower)
    counts = [[0] * len(CUES) for _ in ZONES]
    first_zone, last_zone, anywhere = counts
    if len(words) > _MOST_WORDS:
        words = words[: _MOST_WORDS // 2] + words[-_MOST_WORDS // 2 :]
    last_begins = len(words) - _ZONE_WORDS
    for position, cues in enumerate(map(_cues_of, words)):
        for cue in cues:
            anywhere[cue] += 1
            if position < _ZONE_WORDS:
                first_zone[cue] += 1
            if position >= last_begins:
                last_zone[cue] += 1
    if not is_ascii:
        _count_pieces(lower, counts)
    return [*first_zone, *last_zone, *anywhere]


def _count_pieces(lower: str, counts: list[list[int]]) -> None:
    first, last = lower[:_ZONE_CHARACTERS], lower[-_ZONE_CHARACTERS:]
    for script, pieces in zip(_SCRIPTS, _PIECES, strict=True):
        if script.search(lower) is None:
            continue
        for cue, piece in pieces:
            if piece in lower:
                counts[2][cue] += 1
                counts[0][cue] += piece in first
                counts[1][cue] += piece in last
