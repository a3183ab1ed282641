"""What can be measured of a prompt without understanding it: characters, lines, numbers, marks and cues.

Counts stand on a logarithmic scale, shares between 0 and 1. What depends on a language are the cues, in
twelve of them, and some marks that are English words; the rest is the same for a prompt and its translation.
"""

from __future__ import annotations

import re
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
_SCRIPT_EDGES = np.array([edge for _, first, last in _SCRIPTS for edge in (first, last + 1)])


def measure(text: str) -> Vector:
    """The hand features of a text, as :data:`FEATURES` names them."""
    return np.concatenate((_shape(text), _characters(text), _marks(text), count_cues(text)))


def _characters(text: str) -> Vector:
    """The share of each class of ASCII characters and of each script."""
    shares = np.zeros(len(_CLASSES) + len(_SCRIPTS), dtype=np.float32)
    size = max(1, len(text))
    if text.isascii():
        codes_of_ascii = np.frombuffer(text.encode(), dtype=np.uint8)
        shares[: len(_CLASSES)] = np.bincount(_CLASS_OF[codes_of_ascii], minlength=len(_CLASSES)) / size
        return shares
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
    plain = codes[codes < len(_CLASS_OF)]
    shares[: len(_CLASSES)] = np.bincount(_CLASS_OF[plain], minlength=len(_CLASSES)) / size
    # Between the first and the last of a script the count of edges passed is odd.
    passed = np.searchsorted(_SCRIPT_EDGES, codes[codes >= len(_CLASS_OF)], side="right")
    counts = np.bincount(passed, minlength=2 * len(_SCRIPTS))
    shares[len(_CLASSES) :] = counts[1 : 2 * len(_SCRIPTS) : 2] / size
    return shares


def _marks(text: str) -> Vector:
    return np.log1p(np.array([text.count(mark) for mark in _MARKS], dtype=np.float32))


def _shape(text: str) -> Vector:
    lines = text.split("\n")
    words = text.split()
    numbers = _NUMBER.findall(text)[:_MOST_NUMBERS]
    digits = [len(number) for number in numbers]
    lengths = [len(line) for line in lines]
    n_lines, n_words = len(lines), max(1, len(words))
    end = text.rstrip()[-1:]
    return np.array(
        (
            log1p(len(text)),
            log1p(len(words)),
            log1p(n_lines - 1),
            log1p(sum(map(len, words)) / n_words),
            log1p(len(text) / n_lines),
            log1p(max(lengths)),
            1 - len(set(lengths)) / n_lines,
            lengths.count(0) / n_lines,
            sum(line[:1] in {" ", "\t"} for line in lines) / n_lines,
            sum(len(word) == 1 for word in words) / n_words,
            len(numbers) / n_words,
            len(set(words)) / n_words,
            log1p(len(numbers)),
            log1p(len(set(numbers))),
            log1p(max(digits, default=0)),
            sum(digits) / max(1, len(digits)) / 8,
            log1p(max((_value(number) for number in numbers), default=0.0)) / 8,
            log1p(sum("." in number for number in numbers)),
            log1p(text.count(". ") + text.count(".\n") + text.count("。") + text.count("।")),
            log1p(text.count("?") + text.count("？") + text.count("؟")),
            float(end in {"?", "？", "؟"}),
            float(text[:1].islower()),
            float(text.isascii()),
        ),
        dtype=np.float32,
    )


_LARGEST = 1e12


def _value(number: str) -> float:
    plain = number.partition(".")[0].replace(",", "")
    return min(float(plain), _LARGEST) if plain.isascii() else 0.0
