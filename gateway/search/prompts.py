"""What searches say to models beyond the client's own conversation."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from gateway.search.protocol import Turn

_VERDICT: Final = re.compile(r"\bverdict\b[ \t:*]{0,6}(correct|incorrect|wrong)\b", re.IGNORECASE)
_ITEM: Final = re.compile(r"^[ \t]*(?:\d{1,2}[.):]|[-*•])[ \t]+(\S.{0,2000})$", re.MULTILINE)


def critique(attempt: str) -> tuple[Turn, ...]:
    """Have an attempt checked."""
    return (
        Turn("assistant", attempt),
        Turn(
            "user",
            "Check the answer above step by step. Name the first step that is wrong, and why. "
            "End with one line: 'Verdict: correct' or 'Verdict: incorrect'.",
        ),
    )


def finds_no_fault(text: str) -> bool:
    """Whether a check ends with the verdict that all is right."""
    verdicts = _VERDICT.findall(text)
    return bool(verdicts) and verdicts[-1].lower() == "correct"


def revise(attempt: str, remarks: str) -> tuple[Turn, ...]:
    """Have an attempt written anew, with remarks on it."""
    return (
        Turn("assistant", attempt),
        Turn("user", f"A check of the answer above says:\n\n{remarks}\n\nWrite the whole answer again, corrected."),
    )


def carry(attempt: str) -> tuple[Turn, ...]:
    """Hand an attempt that is doubted to another model."""
    return (
        Turn("assistant", attempt),
        Turn(
            "user",
            "The answer above may be wrong. Use of it what holds, and give the whole answer to my request yourself.",
        ),
    )


def plan(parts: int) -> tuple[Turn, ...]:
    """Have the request split into parts that can be solved apart."""
    return (
        Turn(
            "user",
            f"Do not answer yet. If my request consists of parts that can be solved independently, list them, at most "
            f"{parts}, one numbered line each, every line complete in itself. If it does not, write: 1. all of it",
        ),
    )


def parts_of(text: str, most: int) -> list[str]:
    """The parts that a plan lists."""
    return [item.strip() for item in _ITEM.findall(text)][:most]


def solve(part: str) -> tuple[Turn, ...]:
    """Have one part of the request solved."""
    return (Turn("user", f"Solve only this part of my request, and state its result clearly:\n\n{part}"),)


def compose(parts: Sequence[str], results: Sequence[str]) -> tuple[Turn, ...]:
    """Have the results of the parts put together."""
    listed = "\n\n".join(f"Part: {part}\nResult: {result}" for part, result in zip(parts, results, strict=True))
    return (Turn("user", f"The parts of my request are solved:\n\n{listed}\n\nGive the whole answer from these."),)
