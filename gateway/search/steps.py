"""Where a step of a chain ends: at a blank line, a newline, a tag, or after so many tokens.

A chain's text is the concatenation of its steps: each keeps the mark that ended it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from gateway.errors import ConfigurationError


class Mark(StrEnum):
    """What ends a step."""

    BLANK_LINE = "blank_line"
    NEWLINE = "newline"
    TAG = "tag"
    TOKENS = "tokens"


@dataclass(frozen=True, slots=True)
class Boundary:
    """The end of a step: a mark in the text, or a number of tokens.

    ``text`` is the tag; ``tokens`` caps every step, and is all that ends one where the mark is tokens.
    """

    mark: Mark
    text: str = ""
    tokens: int | None = None

    def __post_init__(self) -> None:
        if (self.mark is Mark.TAG) != bool(self.text):
            raise ValueError("a tag, and nothing else, ends a step by a text")
        if self.mark is Mark.TOKENS and self.tokens is None:
            raise ValueError("steps that end after so many tokens need their number")
        if self.tokens is not None and self.tokens < 1:
            raise ValueError("a step has at least one token")

    @property
    def stop(self) -> str | None:
        """The text at which a model stops writing; None where only the number of tokens stops it."""
        return _STOPS.get(self.mark, self.text or None)


_STOPS: Final = {Mark.BLANK_LINE: "\n\n", Mark.NEWLINE: "\n"}

BLANK_LINE: Final = Boundary(Mark.BLANK_LINE)
"""Reasoning models separate their steps by blank lines."""


_STEP: Final = "step is blank_line or newline, or a mapping of mark or tag, and tokens, which cap every step"


def boundary_of(parameters: Mapping[str, Any]) -> Boundary:
    """The boundary that an arm's ``step`` names, in any of its forms; without one the blank line.

    Raises ConfigurationError for anything else.
    """
    step = parameters.get("step", Mark.BLANK_LINE)
    try:
        return _boundary(**({"mark": step} if isinstance(step, str) else step))
    except (TypeError, ValueError) as fault:
        raise ConfigurationError(_STEP) from fault


def _boundary(mark: str | None = None, tag: str | None = None, tokens: int | None = None) -> Boundary:
    bare = Mark.TOKENS if tag is None else Mark.TAG
    return Boundary(bare if mark is None else Mark(mark), tag or "", tokens)


def split(text: str, boundary: Boundary) -> list[str]:
    """The steps of a text. Marks that follow each other end one step; what stands after the last mark is a step.

    Steps that end by number of tokens leave no mark in the text: the whole is one step.
    """
    stop = boundary.stop
    if stop is None or not text:
        return [text] if text else []
    steps: list[str] = []
    start = position = 0
    while (found := text.find(stop, position)) >= 0:
        position = found + len(stop)
        while text.startswith(stop, position) or (stop.isspace() and text[position : position + 1] == "\n"):
            position += len(stop) if text.startswith(stop, position) else 1
        if text[start:position].strip():
            steps.append(text[start:position])
            start = position
    if text[start:].strip() or not steps:
        steps.append(text[start:])
    elif start < len(text):
        steps[-1] += text[start:]
    return steps


def normalized(step: str) -> str:
    """A step without the differences that mean nothing: blanks, case, and marks at its end."""
    return " ".join(step.split()).casefold().rstrip(".:;, ")
