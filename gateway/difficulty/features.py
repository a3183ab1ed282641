"""What can be measured of a prompt without understanding it: characters, lines, numbers, marks and cues.

Counts stand on a logarithmic scale, shares between 0 and 1. What depends on a language are the cues, in
twelve of them, and some marks that are English words; the rest is the same for a prompt and its translation.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable
from math import log1p

import numpy as np
from numpy.typing import NDArray

from gateway.difficulty.cues import CUES, ZONES, count_cues

Vector = NDArray[np.float32]

_CLASSES = ("digit", "upper", "lower", "space", "newline", "operator", "bracket", "quote", "stop", "other_mark")
_SCRIPTS = (
    ("latin", 0x80, 0x24F),
    ("greek_and_signs", 0x370, 0x3FF),
    ("cyrillic", 0x400, 0x52F),
    ("arabic", 0x600, 0x6FF),
    ("indic", 0x900, 0xDFF),
    ("signs", 0x2000, 0x2BFF),
    ("kana", 0x3000, 0x30FF),
    ("han", 0x3400, 0x9FFF),
    ("hangul", 0xAC00, 0xD7AF),
    ("pictures", 0x1F000, 0x1FAFF),
)
_MARKS = (
    "```", "def ", "return", "import ", "class ", "function", "</", "();", " = ", "==", "->", "=>", "{\n", ");",
    "SELECT ", "\\frac", "\\", "$", "**", "^", "∫", "√", "→", "∧", "_ _", "| ", "http", "@", "[[", "(A)", "\n- ",
    "\n1.", "\n2.", "%", "°", "e.g.", "xample", "nput", "utput", "nswer", "\n\n", ": ", " if ", " not ", " each ",
    " all ", " or ", " than ", " after ", " my ", " your ", " you ", " I ", " he ", " she ", " his ", " her ",
    "How many", "how many", "much", "half", "twice", "times", "more", "less", "per ", "every", "total", "left",
    "Which", "What", "____", "would", "should", "best", "grid", "rule", "move", "string", "matrix", "number",
)  # fmt: skip
"""Literal pieces that are counted; with capitals where only the beginning of a sentence counts."""
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_ASCII_NUMBER = re.compile(r"[0-9]+(?:[.,][0-9]+)*")
"""The same, and quicker, in a text of ASCII."""
_MOST_NUMBERS = 100
_OPERATORS = b"+-*/=<>^%|&~"
_BRACKETS = b"()[]{}"
_QUOTES = b"\"'`"
_STOPS = b".,;:!?"

SHAPE = (
    "characters", "words", "lines", "word_length", "line_length", "longest_line", "even_lines", "blank_lines",
    "indented_lines", "single_characters", "numeric_words", "distinct_words", "numbers", "distinct_numbers",
    "longest_number", "mean_digits", "largest_number", "decimals", "sentences", "questions", "ends_asking",
    "starts_lower", "ascii",
)  # fmt: skip
FEATURES: tuple[str, ...] = (
    *SHAPE,
    *(f"share_{name}" for name in _CLASSES),
    *(f"script_{name}" for name, _, _ in _SCRIPTS),
    *(f"mark_{mark.strip() or 'blank_line'}" for mark in _MARKS),
    *(f"cue_{cue}_{zone}" for zone in ZONES for cue in CUES),
)
"""The names of the features, in order."""
_PACKING = struct.Struct(f"{len(FEATURES)}f")
"""Makes numbers of all kinds into an array in half of numpy's time."""
_FIRST_COUNT = len(SHAPE) + len(_CLASSES) + len(_SCRIPTS)
"""From here on features are counts, of marks and of cues."""
DIFFICULTY = (
    "characters", "words", "sentences", "numbers", "distinct_numbers", "largest_number", "longest_number", "decimals",
)  # fmt: skip
"""The few that tell harder from easier prompts of one kind; more of them fit noise (training_report.md)."""


def _ascii_classes() -> NDArray[np.uint8]:
    table = np.full(128, _CLASSES.index("other_mark"), dtype=np.uint8)
    for code in range(128):
        character = bytes([code])
        if character.isdigit():
            table[code] = 0
        elif character.isupper():
            table[code] = 1
        elif character.islower():
            table[code] = 2
        elif character == b"\n":
            table[code] = 4
        elif character.isspace():
            table[code] = 3
        else:
            for number, members in ((5, _OPERATORS), (6, _BRACKETS), (7, _QUOTES), (8, _STOPS)):
                if character in members:
                    table[code] = number
    return table


_CLASS_OF = _ascii_classes()
_CLASS_TABLE = _CLASS_OF.tobytes().ljust(256, bytes([len(_CLASSES)]))
_NO_SCRIPTS = (0.0,) * len(_SCRIPTS)
_SCRIPT_EDGES = np.array([edge for _, first, last in _SCRIPTS for edge in (first, last + 1)])


def measure(text: str) -> Vector:
    """The hand features of a text, as :data:`FEATURES` names them."""
    values = _PACKING.pack(*_shape(text), *_characters(text), *map(text.count, _MARKS), *count_cues(text))
    vector = np.frombuffer(bytearray(values), dtype=np.float32)
    counts = vector[_FIRST_COUNT:]
    np.log1p(counts, out=counts)
    return vector


def _characters(text: str) -> Iterable[float]:
    """The share of each class of ASCII characters and of each script."""
    size = max(1, len(text))
    if text.isascii():
        classes = text.encode().translate(_CLASS_TABLE)
        return (*[classes.count(number) / size for number in range(len(_CLASSES))], *_NO_SCRIPTS)
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
    plain = codes[codes < len(_CLASS_OF)]
    classes_of_plain = np.bincount(_CLASS_OF[plain], minlength=len(_CLASSES))
    # Between the first and the last of a script the count of edges passed is odd.
    passed = np.searchsorted(_SCRIPT_EDGES, codes[codes >= len(_CLASS_OF)], side="right")
    counts = np.bincount(passed, minlength=2 * len(_SCRIPTS))
    return np.concatenate((classes_of_plain, counts[1 : 2 * len(_SCRIPTS) : 2])) / size


def _shape(text: str) -> Iterable[float]:
    is_ascii = text.isascii()
    words = text.split()
    word_lengths = list(map(len, words))
    line_lengths = list(map(len, text.split("\n")))
    numbers = (_ASCII_NUMBER if is_ascii else _NUMBER).findall(text)[:_MOST_NUMBERS]
    digits = list(map(len, numbers))
    n_lines, n_words = len(line_lengths), max(1, len(words))
    indented = text.startswith((" ", "\t")) + text.count("\n ") + text.count("\n\t")
    end = text.rstrip()[-1:]
    stops, questions = text.count(". ") + text.count(".\n"), text.count("?")
    if not is_ascii:
        stops += text.count("。") + text.count("।")
        questions += text.count("？") + text.count("؟")
    return (
        *map(log1p, (len(text), len(words), n_lines - 1, sum(word_lengths) / n_words, len(text) / n_lines)),
        log1p(max(line_lengths)),
        1 - len(set(line_lengths)) / n_lines,
        line_lengths.count(0) / n_lines,
        indented / n_lines,
        word_lengths.count(1) / n_words,
        len(numbers) / n_words,
        len(set(words)) / n_words,
        log1p(len(numbers)),
        log1p(len(set(numbers))),
        log1p(max(digits, default=0)),
        sum(digits) / max(1, len(digits)) / 8,
        log1p(_largest(numbers)) / 8,
        log1p(len([number for number in numbers if "." in number])),
        log1p(stops),
        log1p(questions),
        end in {"?", "？", "؟"},
        text[:1].islower(),
        is_ascii,
    )


_LARGEST = 1e12


def _largest(numbers: list[str]) -> float:
    """The largest of these by its whole part; those in other digits than ours count as nothing."""
    together = " ".join(numbers)
    if together.isascii() and "." not in together and "," not in together:
        return min(max(map(float, numbers), default=0.0), _LARGEST)
    wholes = {number.partition(".")[0].replace(",", "") for number in numbers}
    return min(max((float(whole) for whole in wholes if whole.isascii()), default=0.0), _LARGEST)
