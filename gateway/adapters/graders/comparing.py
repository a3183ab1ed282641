"""Answers compared with a truth as text, and the parts of answers that are checked; pure, in time that texts bound."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Final

from gateway.search.answers import find
from gateway.search.equivalence import meaning, same

LONGEST_COMPARED: Final = 2_000
"""Characters of a final answer that are compared, from its end."""

_PLAIN: Final = re.compile(r"-?\d{1,40}(?:\.\d{1,40})?")
_WRAPPED: Final = re.compile(r"\\(?:text|textbf|mathrm|mathbf|mbox)\s?\{([^{}]{0,200})\}")
_CHOSEN: Final = re.compile(
    r"[\s(*_\[$]*(?:(?:option|choice|answer)\s{1,3})?[(*_\[]*([A-Za-z]|\d{1,2})(?:[)\].:,*_$]|\s*$)", re.IGNORECASE
)
_FENCE: Final = "```"
_PYTHON: Final = frozenset(("python", "py", "python3"))


def final_answer(text: str) -> str:
    """The answer that a text ends with; its last characters where none is to be found."""
    found = find(text)
    return (text if found is None else found.answer).strip()[-LONGEST_COMPARED:]


def is_exactly(text: str, answers: Iterable[str]) -> bool:
    """Whether the whole text or its final answer is one of these, but for blanks."""
    said = {_spaced(text), _spaced(final_answer(text))}
    return any(_spaced(answer) in said for answer in answers)


def _spaced(text: str) -> str:
    return " ".join(unicodedata.normalize("NFC", text).split())


def choice_of(text: str) -> str | None:
    """The letter or number that a text chooses, in upper case; None where it chooses none."""
    last_line = text.rstrip().rpartition("\n")[2]
    for said in (final_answer(text), last_line):
        chosen = _CHOSEN.match(_WRAPPED.sub(r"\1", said)[:200])
        if chosen is not None:
            return chosen[1].upper()
    return None


def is_chosen(text: str, answers: Iterable[str]) -> bool:
    """Whether the text chooses one of these."""
    chosen = choice_of(text)
    return chosen is not None and any(chosen == answer.upper() for answer in answers)


def is_same_formula(answer: str, golds: Sequence[str]) -> bool | None:
    """Whether an answer means what a truth does; None where only a computer algebra can say."""
    said = meaning(answer)
    if any(same(said, meaning(gold)) for gold in golds):
        return True
    # Two numbers in plain digits are equal or not; of anything else a difference may be one of form.
    if all(_PLAIN.fullmatch(each.strip().replace(",", "")) for each in (answer, *golds)):
        return False
    return None


def json_of(text: str) -> str:
    """The JSON of an answer: the text as it stands, or what its last fence encloses."""
    stripped = text.strip()
    if stripped[:1] in ("{", "["):
        return stripped
    blocks = _blocks(stripped)
    return blocks[-1][1] if blocks else stripped


def code_of(text: str) -> str:
    """The code of an answer: its last fence of Python, else the last one that names no language, else the text."""
    blocks = _blocks(text)
    for languages in (_PYTHON, frozenset(("",))):
        for language, code in reversed(blocks):
            if language in languages:
                return code
    return text


def _blocks(text: str) -> list[tuple[str, str]]:
    """The language and the content of each fence; a last one that is never closed goes on to the end."""
    blocks: list[tuple[str, str]] = []
    opened: tuple[str, list[str]] | None = None
    for line in text.splitlines():
        stripped = line.strip()
        if opened is None:
            if stripped.startswith(_FENCE):
                opened = (stripped.strip("`").strip().lower(), [])
        elif stripped == _FENCE:
            blocks.append((opened[0], "\n".join(opened[1])))
            opened = None
        else:
            opened[1].append(line)
    if opened is not None:
        blocks.append((opened[0], "\n".join(opened[1])))
    return blocks
