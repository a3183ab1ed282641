"""What a verifier's model is given to read, made of the ask, the answer and a template.

The ask and the answer are data: what a template sets its turns and steps apart by cannot stand in
them, or an answer could end its own turn and speak for the one who judges it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from gateway.domain.verification import Problem
from gateway.verifier_settings import NAMED

_MARK: Final = re.compile(r"<[^<>\s]{1,64}>|\[/?[A-Z_]{2,32}\]")
"""How the marks of chat formats are written: ``<|im_end|>``, ``</s>``, ``[INST]``."""


def plain(text: str) -> str:
    """Text without lone surrogates, which no server reads."""
    return text.encode("utf-8", "replace").decode()


@dataclass(frozen=True, slots=True)
class Passage:
    """One thing to read, and how many steps are to be scored in it.

    ``query`` stands apart from ``text`` where a server compares two texts. ``places`` say where in the text the
    steps begin, and where the last one ends, where that is needed.
    """

    text: str
    steps: int = 1
    query: str = ""
    places: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Template:
    """A template, what follows each step, and what stands between steps.

    With a ``tag`` or a ``gap`` the blanks around steps go; without, steps stand as they were written.
    """

    text: str
    tag: str = ""
    gap: str | None = None
    forbids_tag: bool = False
    """Whether the tag may not stand in a step: where the server finds the ends of steps by it."""

    def passage(self, problem: Problem, steps: Sequence[str]) -> str:
        """The ask and these steps, as the template has them."""
        values = {
            "system": self.harmless(problem.system),
            "question": self.harmless(problem.question),
            "steps": self._joined(steps),
        }
        return NAMED.sub(lambda match: match[0][0] if match[1] is None else values[match[1]], self.text)

    def harmless(self, text: str) -> str:
        """The text with a blank in everything that the template could take for a mark of its own."""
        text = plain(text)
        for mark in self._marks():
            if mark in text:
                text = text.replace(mark, f"{mark[0]} {mark[1:]}")
        return text

    def _joined(self, steps: Sequence[str]) -> str:
        if not self.tag and self.gap is None:
            return self.harmless("".join(steps))
        return (self.gap or "").join(self.harmless(step.strip()) + self.tag for step in steps)

    def _marks(self) -> list[str]:
        marks = set(_MARK.findall(f"{self.text}\0{self.tag}\0{self.gap or ''}"))
        if self.forbids_tag:
            marks.add(self.tag.strip() or self.tag)
        return sorted(marks, key=len, reverse=True)
