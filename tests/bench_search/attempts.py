"""What is kept of every problem that was asked: one line of JSON each, so that a run can be taken up again."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tests.reasoner.tasks import Split


@dataclass(frozen=True, slots=True)
class Use:
    """The tokens of one model in one request: its prompts, what of them came from its cache, what it wrote."""

    prompt: int = 0
    cached: int = 0
    written: int = 0

    def plus(self, prompt: int, cached: int, written: int) -> Use:
        """With one more call."""
        return Use(self.prompt + prompt, self.cached + cached, self.written + written)


@dataclass(frozen=True, slots=True)
class Draw:
    """One draw of a search. ``is_right`` is None where it was no whole answer; ``read`` are its verifier's tokens."""

    tokens: int
    read: int
    score: float | None
    is_right: bool | None
    answer: int | None


@dataclass(frozen=True, slots=True)
class Attempt:
    """One problem as one arm answered it.

    ``setting`` is a digest of the arm and of the weights: an attempt of another setting is not taken for one
    of this. ``cacheable`` are the prompt tokens in whole cache blocks that the server had processed before,
    ``from_cache`` those of them that it did not process again.
    """

    setting: str
    arm: str
    split: Split
    operations: int
    question: str
    is_right: bool
    status: int
    wall_s: float
    uses: Mapping[str, Use]
    draws: Sequence[Draw] = ()
    degraded: str | None = None
    cacheable: int = 0
    from_cache: int = 0

    @property
    def key(self) -> tuple[str, str, str]:
        """What makes it another attempt."""
        return self.setting, self.arm, self.question

    @property
    def whole(self) -> list[Draw]:
        """The draws that are whole answers."""
        return [draw for draw in self.draws if draw.is_right is not None]


@dataclass(slots=True)
class Kept:
    """The attempts of this and earlier runs, in a file to which new ones are added as they come."""

    file: Path
    attempts: dict[tuple[str, str, str], Attempt] = field(default_factory=dict)

    @classmethod
    def at(cls, file: Path) -> Kept:
        """What the file holds; a line that a kill left unfinished counts as not written."""
        kept = cls(file)
        if file.exists():
            for line in file.read_text("utf-8").splitlines():
                try:
                    attempt = _read(json.loads(line))
                except json.JSONDecodeError:
                    continue
                kept.attempts[attempt.key] = attempt
        return kept

    def add(self, attempts: Iterable[Attempt]) -> None:
        """Keep more attempts."""
        new = list(attempts)
        self.file.parent.mkdir(parents=True, exist_ok=True)
        with self.file.open("a", encoding="utf-8") as out:
            out.writelines(json.dumps(asdict(attempt)) + "\n" for attempt in new)
        self.attempts |= {attempt.key: attempt for attempt in new}


def _read(line: Mapping[str, Any]) -> Attempt:
    uses = {model: Use(**use) for model, use in line["uses"].items()}
    return Attempt(**{**line, "uses": uses, "draws": tuple(Draw(**draw) for draw in line["draws"])})
