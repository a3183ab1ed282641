"""Formulas as values: two that are equal for all numbers get the same signature, without a computer algebra.

A formula is read by a small parser of its own and computed at fixed places for its letters; formulas that
agree there to eleven digits are taken as equal (Schwartz 1980, Zippel 1979: for polynomials the chance of a
mistake is the degree over the number of places to choose from). Nothing is handed to an interpreter, and
length, nesting and powers are bounded.
"""

from __future__ import annotations

import cmath
import hashlib
import math
import re
from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

LONGEST: Final = 400
"""Characters of a formula; longer ones are compared as text."""

_DEEPEST: Final = 40
_LARGEST_POWER: Final = 1000
_DIGITS: Final = 11
_SMALL: Final = 1e-12
"""Smaller values are what rounding leaves of a nought."""

_HUGE: Final = 1e290
_LONGEST_WORD: Final = 2
_TOKEN: Final = re.compile(r"\s*(\d+(?:\.\d+)?|\.\d+|\\[a-zA-Z]+|[a-zA-Z]+|\*\*|[-+*/^(){}\[\]!|])")

Signature: TypeAlias = tuple[complex, ...]

_FUNCTIONS: Final[Mapping[str, Callable[[complex], complex]]] = {
    "sqrt": cmath.sqrt, "sin": cmath.sin, "cos": cmath.cos, "tan": cmath.tan, "ln": cmath.log, "exp": cmath.exp,
    "log": cmath.log10, "arcsin": cmath.asin, "arccos": cmath.acos, "arctan": cmath.atan, "abs": abs,
}  # fmt: skip
_CONSTANTS: Final[Mapping[str, complex]] = {"pi": math.pi, "e": math.e, "i": 1j, "infty": math.inf}
_TIMES: Final = ("*", "cdot", "times")


def signature(text: str) -> Signature | None:
    """The values of a formula at two fixed places; None for what is no formula or has no finite value."""
    if not text or len(text) > LONGEST or (text.isalpha() and len(text) > 1):
        return None
    try:
        tokens = _tokens(text)
        values = tuple(_rounded(_Parser(list(tokens), place).value()) for place in ("first", "second"))
    except (ArithmeticError, ValueError):
        return None
    return values


def _tokens(text: str) -> list[str]:
    tokens: list[str] = []
    place = 0
    while place < len(text):
        match = _TOKEN.match(text, place)
        if match is None:
            if text[place:].strip():
                raise ValueError
            break
        token = match[1]
        place = match.end()
        if token.isalpha() and token not in _FUNCTIONS and token not in _CONSTANTS:
            if len(token) > _LONGEST_WORD:  # a word, not a product of letters
                raise ValueError
            tokens.extend(token)
        else:
            tokens.append("^" if token == "**" else token.removeprefix("\\"))  # noqa: S105 - a sign of a formula
    return tokens


def _rounded(value: complex) -> complex:
    """To eleven significant digits, so that the order of operations does not show."""
    size = abs(value)
    if not math.isfinite(size) or size > _HUGE:
        raise ValueError
    if size < _SMALL:
        return 0j
    digits = _DIGITS - 1 - math.floor(math.log10(size))
    # Adding 0 turns -0.0 into 0.0.
    return complex(round(value.real, digits) + 0.0, round(value.imag, digits) + 0.0)


class _Parser:
    """Reads a formula from left to right and computes it at one place."""

    def __init__(self, tokens: list[str], place: str) -> None:
        self.tokens = tokens
        self.at = 0
        self.depth = 0
        self.place = place

    def value(self) -> complex:
        """The value of the whole formula."""
        value = self._sum()
        if self.at < len(self.tokens):
            raise ValueError
        return value

    def _next(self) -> str:
        return self.tokens[self.at] if self.at < len(self.tokens) else ""

    def _take(self) -> str:
        token = self._next()
        self.at += 1
        return token

    def _sum(self) -> complex:
        self.depth += 1
        if self.depth > _DEEPEST:
            raise ValueError
        value = self._product()
        while self._next() in ("+", "-"):
            value = value + self._product() if self._take() == "+" else value - self._product()
        self.depth -= 1
        return value

    def _product(self) -> complex:
        value = self._signed()
        while token := self._next():
            if token in _TIMES:
                self.at += 1
                value *= self._signed()
            elif token in ("/", "div"):
                self.at += 1
                value /= self._signed()
            elif token in ("+", "-", ")", "}", "]", "|"):
                break
            else:
                value *= self._power()
        return value

    def _signed(self) -> complex:
        sign = 1
        while self._next() in ("+", "-"):
            sign = -sign if self._take() == "-" else sign
        return sign * self._power()

    def _power(self) -> complex:
        base = self._atom()
        while self._next() == "!":
            self.at += 1
            base = self._factorial(base)
        if self._next() != "^":
            return base
        self.at += 1
        self.depth += 1
        if self.depth > _DEEPEST:
            raise ValueError
        exponent = self._signed()
        self.depth -= 1
        if abs(exponent) > _LARGEST_POWER:
            raise ValueError
        return base**exponent

    @staticmethod
    def _factorial(value: complex) -> complex:
        number = round(value.real)
        if value != number or not 0 <= number <= 100:  # noqa: PLR2004 - 170! is the last that a float holds
            raise ValueError
        return float(math.factorial(number))

    def _atom(self) -> complex:
        token = self._take()
        if token in ("(", "{", "[", "|"):
            return self._grouped(token)
        if token[:1].isdigit() or token[:1] == ".":
            return self._number(token)
        if token in ("frac", "dfrac", "tfrac"):
            return self._argument() / self._argument()
        if token in _FUNCTIONS:
            return self._function(token)
        if token in _CONSTANTS:
            return _CONSTANTS[token]
        if (len(token) == 1 and token.isalpha()) or token in _GREEK:
            return _letter(token, self.place)
        raise ValueError

    def _grouped(self, opening: str) -> complex:
        value = self._sum()
        if self._take() != {"(": ")", "{": "}", "[": "]", "|": "|"}[opening]:
            raise ValueError
        return complex(abs(value)) if opening == "|" else value

    def _number(self, token: str) -> complex:
        value = float(token)
        if token.isdigit() and self._next() in ("frac", "dfrac", "tfrac"):
            # 1\frac{1}{10} is a mixed number and not a product, if its fraction is a proper one.
            numerator, denominator = self._fraction()
            if 0 < numerator.real < denominator.real and not numerator.imag and not denominator.imag:
                return value + numerator / denominator
            return value * numerator / denominator
        return value

    def _fraction(self) -> tuple[complex, complex]:
        self.at += 1
        return self._argument(), self._argument()

    def _argument(self) -> complex:
        """What a command takes: a group, or one sign; of 12 only the 1, as in LaTeX."""
        token = self._next()
        if token == "{":  # noqa: S105
            return self._atom()
        if len(token) > 1 and token.isdigit():
            self.tokens[self.at] = token[1:]
            return float(token[0])
        return self._atom()

    def _function(self, name: str) -> complex:
        if name == "sqrt" and self._next() == "[":
            root = self._atom()
            return self._argument() ** (1 / root)
        if self._next() in ("{", "("):
            return complex(_FUNCTIONS[name](self._atom()))
        return complex(_FUNCTIONS[name](self._argument() if name == "sqrt" else self._power()))


_GREEK: Final = frozenset({"alpha", "beta", "gamma", "delta", "theta", "lambda", "mu", "phi", "omega", "sigma"})


def _letter(name: str, place: str) -> float:
    """A fixed number between 1 and 2 for a letter at a place."""
    digest = hashlib.blake2b(f"{place} {name}".encode(), digest_size=6).digest()
    return 1 + int.from_bytes(digest) / 2**48
