"""Where in a model's text its final answer stands.

Pure text work in time proportional to the text: nothing is evaluated and no pattern backtracks.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

_READ: Final = 20_000
"""Characters from the end of a text that are looked at: a final answer stands last."""

_SHORT: Final = 200
_FEW_WORDS: Final = 6
_FEW_WORDS_AND_A_NUMBER: Final = 2
"""A text of one line that is no longer than these is an answer as it stands."""

_BOXED: Final = ("\\boxed", "\\fbox")
_TAG: Final = ("<answer>", "</answer>")
_FENCE: Final = "```"
_HASHES: Final = re.compile(r"^#### ?([^\n#]{1,200})$", re.MULTILINE)
_SAID: Final = re.compile(
    r"\b(?:final answer|answer|result|output) ?(?:is|:|=|should be|will be)"
    r"[ \t*:]{0,4}(?:\n{1,2}(?=\S))?([^\n]{1,200})",
    re.IGNORECASE,
)
_MATH: Final = re.compile(r"\\\(([^\n]{1,200}?)\\\)|\$\$?([^$\n]{1,200})\$\$?|\\\[\s{0,4}([^\n]{1,200}?)\s{0,4}\\\]")
_BOLD: Final = re.compile(r"\*\*([^*\n]{1,120})\*\*")
_JSON_OPENS: Final = ("{", "[")
_JSON_CLOSES: Final = ("}", "]")
_NUMBER: Final = re.compile(r"-?\d[\d,]{0,30}(?:\.\d{1,30})?(?:/\d{1,30})?%?")


class Found(NamedTuple):
    """An answer, and whether the text marks it as such: by a box, a tag, four hashes or the words."""

    answer: str
    is_marked: bool


def find(text: str, *, is_cut: bool = False) -> Found | None:
    """The final answer that a text gives; None where it gives none. Of a text that was cut off only a marked one."""
    read = text[-_READ:]
    for marked in (_tagged, _boxed, _hashed, _said):
        answer = marked(read)
        if answer:
            return Found(answer, is_marked=True)
    if is_cut or any(name in read for name in _BOXED):  # a box that was never closed is a text that was cut off
        return None
    for shown in (_json, _fenced, _shown, _short, _number):
        answer = shown(read)
        if answer:
            return Found(answer, is_marked=False)
    return None


def answer_of(text: str) -> str | None:
    """The final answer that a text gives, marked or not."""
    found = find(text)
    return None if found is None else found.answer


def _last(pattern: re.Pattern[str], text: str) -> str | None:
    matches = pattern.findall(text)
    if not matches:
        return None
    last = matches[-1]
    return (last if isinstance(last, str) else next(filter(None, last), "")).strip()


def _tagged(text: str) -> str | None:
    opening, closing = _TAG
    end = text.rfind(closing)
    start = text.rfind(opening, 0, end) if end >= 0 else -1
    return None if start < 0 else text[start + len(opening) : end].strip()


def _boxed(text: str) -> str | None:
    """What stands in the last box, up to the brace that closes it; a box that is never closed is none."""
    start = max(text.rfind(name) for name in _BOXED)
    if start < 0:
        return None
    opening = text.find("{", start)
    if opening < 0 or text[start:opening].strip() not in _BOXED:
        return None
    depth = 0
    for place in range(opening, len(text)):
        if text[place] == "{":
            depth += 1
        elif text[place] == "}":
            depth -= 1
            if depth == 0:
                return text[opening + 1 : place].strip()
    return None


def _hashed(text: str) -> str | None:
    return _last(_HASHES, text)


def _said(text: str) -> str | None:
    said = _last(_SAID, text)
    if said is None:
        return None
    return _last(_MATH, said) or _last(_BOLD, said) or _sentence(said)


def _sentence(text: str) -> str:
    """The text up to the end of its sentence, without the marks around it."""
    end = text.find(". ")
    return (text if end < 0 else text[:end]).strip().rstrip(".").strip("*").rstrip(".").strip()


def _json(text: str) -> str | None:
    stripped = text.strip()
    is_json = stripped[:1] in _JSON_OPENS and stripped[-1:] in _JSON_CLOSES
    return stripped if is_json else None


def _fenced(text: str) -> str | None:
    """What the last fence encloses, without the name of its language."""
    end = text.rfind(_FENCE)
    start = text.rfind(_FENCE, 0, end) if end > 0 else -1
    return None if start < 0 else text[start + len(_FENCE) : end].partition("\n")[2].rstrip()


def _shown(text: str) -> str | None:
    """The last formula or emphasis of the last paragraph; of an equation its right side."""
    paragraph = _last_paragraph(text)
    formula = _last(_MATH, paragraph)
    if formula is not None:
        return formula.rpartition("=")[2].strip() or formula
    return _last(_BOLD, paragraph)


def _short(text: str) -> str | None:
    """The whole text, if it is a few words; one with a number in it only if there is little else."""
    stripped = text.strip()
    words = stripped.split()
    most = _FEW_WORDS_AND_A_NUMBER if any(sign.isdigit() for sign in stripped) else _FEW_WORDS
    return stripped if "\n" not in stripped and len(stripped) <= _SHORT and len(words) <= most else None


def _number(text: str) -> str | None:
    return _last(_NUMBER, _last_paragraph(text))


def _last_paragraph(text: str) -> str:
    return text.rstrip().rpartition("\n\n")[2]
