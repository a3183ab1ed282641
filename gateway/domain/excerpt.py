"""The part of a long prompt that tells what is asked: its beginning and its end."""

from __future__ import annotations

FIRST = 1_000
LAST = 500


def excerpt(text: str) -> str:
    """The first 1,000 and the last 500 characters; the whole text if it is not longer."""
    return text if len(text) <= FIRST + LAST else f"{text[:FIRST]}\n{text[-LAST:]}"
