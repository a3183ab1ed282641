"""Whether two answers mean the same: numbers, fractions, formulas, tuples and sets, JSON, words, program output.

Pure and bounded: nothing is evaluated by an interpreter, and what is too long is compared as text. It
errs on the side of telling apart, as two votes that were counted as one decide a search.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Any, Final

from gateway.search.expressions import LONGEST, Signature, signature

_LONGEST_JSON: Final = 50_000
_LEAST_DECIMALS: Final = 3
"""A decimal with so many places may be another answer's value, rounded."""

_MOST_PARTS: Final = 64
_LARGEST_DENOMINATOR: Final = 100_000
_NEAR: Final = 1e-10

_DROPPED: Final = re.compile(r"\\(?:left|right|big|Big|displaystyle|quad|qquad|,|!|;|:| )|\\\$|\$|~|\^\{?\\circ\}?|°")
_WRAPPED: Final = re.compile(r"\\(?:text|mathrm|mathbf|textbf|mbox|operatorname)\s?\{([^{}]*)\}")
_THOUSANDS: Final = re.compile(r"-?\d{1,3}(?:(?:,|\{,\})\d{3})+(?:\.\d+)?")
_NUMBER: Final = re.compile(r"(-?)(\d{1,60})?(?:\.(\d{1,40}))?(?:/(-?\d{1,60}))?(%)?")
_UNIT: Final = re.compile(r"(?<=\d) ?(?:[a-zA-Z]{2,}\.?)(?:\^?\{?[23]\}?)?(?: [a-z]{2,}){0,3}$")
_NAMED: Final = re.compile(r"^(?:\\?[a-zA-Z]{1,5}|[a-zA-Z]\([a-zA-Z0-9]\)) ?= ?(?=[^=])")
_CHOICE: Final = re.compile(r"^(?:option |choice )?\(?([A-Ja-j])\)?[.):]?$", re.IGNORECASE)
_AND: Final = re.compile(r",? \b(?:and|or)\b ")
_EDGES: Final = " \t\r\n.,;:?'\"`*"
_FRACTION: Final = re.compile(r"(-?)(\d{0,60}) ?\\frac ?\{ ?(-?)(\d{1,60}) ?\} ?\{ ?(\d{1,60}) ?\}")


@dataclass(frozen=True, slots=True)
class Meaning:
    """What an answer says, in a form that can be compared."""

    kind: str
    value: Any
    decimals: int | None = None


def same(left: Meaning, right: Meaning) -> bool:
    """Whether two answers mean the same."""
    if left.kind == right.kind == "number":
        return left.value == right.value or _is_rounded(left, right) or _is_rounded(right, left)
    return left.kind == right.kind and bool(left.value == right.value)


def _is_rounded(rough: Meaning, exact: Meaning) -> bool:
    """Whether one is the other to its last place: 0.333 of 1/3, and not 0.3."""
    if rough.decimals is None or rough.decimals < _LEAST_DECIMALS:
        return False
    return bool(abs(rough.value - exact.value) * 2 * 10**rough.decimals <= 1)


@lru_cache(maxsize=4096)
def meaning(answer: str) -> Meaning:
    """What an answer says."""
    stripped = answer.strip()
    found = _json(stripped)
    if found is not None:
        return found
    if "\n" in stripped or len(stripped) > LONGEST:
        return Meaning("text", "\n".join(line.rstrip() for line in stripped.splitlines()))
    cleaned = _cleaned(stripped)
    found = None if _CHOICE.match(cleaned) else _formula(cleaned)
    return found or Meaning("text", _folded(stripped))


def _json(text: str) -> Meaning | None:
    """JSON documents are equal whatever their spacing and the order of their keys. A list of numbers stays one."""
    if text[:1] not in ("{", "[") or len(text) > _LONGEST_JSON:
        return None
    try:
        return Meaning("json", _ordered(json.loads(text)))
    except (ValueError, RecursionError):
        return None


def _ordered(value: Any) -> Any:
    """A JSON value as something hashable, in which true is not 1."""
    match value:
        case dict():
            return ("object", frozenset((name, _ordered(each)) for name, each in value.items()))
        case list():
            return ("array", tuple(_ordered(each) for each in value))
        case bool() | None:
            return ("word", value)
        case _:
            return value


def _cleaned(text: str) -> str:
    """Without the marks of a sentence and of typesetting."""
    text = text.strip(_EDGES).replace("\\dfrac", "\\frac").replace("\\tfrac", "\\frac")
    text = _WRAPPED.sub(r" \1 ", _DROPPED.sub("", text.replace("\\%", "%"))).replace("−", "-")
    return " ".join(text.split()).strip(_EDGES)


def _folded(text: str) -> str:
    folded = _cleaned(text).casefold().rstrip("!")
    chosen = _CHOICE.match(folded)
    return chosen[1] if chosen else folded.replace("\\", "")


def _formula(text: str) -> Meaning | None:
    """A number, a formula, or several of them; None for words."""
    bare = _NAMED.sub("", text)
    number = _number(bare) or _fraction(bare) or _number(_UNIT.sub("", bare).strip())
    if number is not None:
        return number
    several = _several(bare)
    if several is not None:
        return several
    values: Signature | None = signature(bare) or signature(_UNIT.sub("", bare))
    if values is None:
        return None
    if values[0] == values[1] and not values[0].imag:  # no letter in it: a number after all
        return _whole(values[0].real)
    return Meaning("formula", values)


def _whole(value: float) -> Meaning:
    nearest = Fraction(value).limit_denominator(_LARGEST_DENOMINATOR)
    is_near = abs(float(nearest) - value) <= _NEAR * max(1.0, abs(value))
    return Meaning("number", nearest) if is_near else Meaning("number", Fraction(value))


def _number(text: str) -> Meaning | None:
    """An exact number: whole, decimal, a fraction, with thousands apart, or a percentage."""
    if _THOUSANDS.fullmatch(text):
        text = text.replace("{,}", "").replace(",", "")
    match = _NUMBER.fullmatch(text.replace(" ", ""))
    if match is None or not (match[2] or match[3]):
        return None
    sign, integer, decimals, divisor, percent = match.groups()
    value = Fraction(int((integer or "0") + (decimals or "")), 10 ** len(decimals or ""))
    if divisor is not None:
        if int(divisor) == 0:
            return None
        value /= int(divisor)
    value = value / 100 if percent else value
    places = len(decimals) + (2 if percent else 0) if decimals and divisor is None else None
    return Meaning("number", -value if sign else value, places)


def _fraction(text: str) -> Meaning | None:
    """An exact fraction in LaTeX, or a mixed number."""
    match = _FRACTION.fullmatch(text)
    if match is None or int(match[5]) == 0:
        return None
    sign, whole, below, numerator, denominator = match.groups()
    value = Fraction(int(below + numerator), int(denominator))
    if whole and not 0 < value < 1:
        return None
    value += int(whole or "0")
    return Meaning("number", -value if sign else value)


def _several(text: str) -> Meaning | None:
    """Tuples and intervals keep their order and brackets; sets, and numbers that are only listed, have none."""
    text = _AND.sub(", ", text.replace("\\{", "{").replace("\\}", "}"))
    opening, closing = text[:1], text[-1:]
    is_bracketed = opening in "({[" and closing in ")}]" and _closes_last(text) if text else False
    inner = text[1:-1] if is_bracketed else text
    parts = _parts(inner)
    if not 1 < len(parts) <= _MOST_PARTS:
        is_set = is_bracketed and opening == "{" and inner.strip()
        return Meaning("set", frozenset({_comparable(inner)})) if is_set else None
    values = [_comparable(part) for part in parts]
    if is_bracketed and opening in "([":
        return Meaning("tuple", (opening, closing, *values))
    return Meaning("set", frozenset(values))


def _comparable(part: str) -> tuple[str, Any]:
    found = _formula(part.strip()) or Meaning("text", _folded(part))
    return found.kind, found.value


def _closes_last(text: str) -> bool:
    """Whether the first bracket is closed by the last sign, and not before."""
    depth = 0
    for place, sign in enumerate(text):
        depth += (sign in "([{") - (sign in ")]}")
        if depth == 0:
            return place == len(text) - 1
    return False


def _parts(text: str) -> list[str]:
    """What commas outside of brackets separate."""
    parts, depth, start = [], 0, 0
    for place, sign in enumerate(text):
        depth += (sign in "([{") - (sign in ")]}")
        if sign == "," and depth == 0:
            parts.append(text[start:place])
            start = place + 1
    return [*parts, text[start:]]
