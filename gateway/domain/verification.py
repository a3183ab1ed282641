"""What a verifier is asked, and what it says: values only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gateway.domain.usage import Usage


@dataclass(frozen=True, slots=True)
class Problem:
    """What was asked, as far as a verifier needs it: the system's text and the last user turn.

    ``turns`` are the texts of the conversation, oldest first, by who said them; ``system`` is not among them.
    """

    turns: tuple[tuple[str, str], ...]
    system: str = ""

    @property
    def question(self) -> str:
        """The last thing that the user said."""
        return next((text for speaker, text in reversed(self.turns) if speaker == "user"), "")


@dataclass(frozen=True, slots=True)
class Chain:
    """An answer as far as it has come: its steps, whose concatenation is its text."""

    steps: tuple[str, ...]
    is_whole: bool

    @property
    def text(self) -> str:
        """The answer."""
        return "".join(self.steps)


@dataclass(frozen=True, slots=True)
class ModelUse:
    """What one call to a verifier's model used. ``usage`` is None where its server did not say."""

    model: str
    """The configured model's name."""
    usage: Usage | None


@dataclass(frozen=True, slots=True)
class Verdict:
    """Scores for the steps of a chain, or one for the whole, and the model calls that they took.

    No uses: it was computed here, or remembered.
    """

    scores: tuple[float, ...]
    uses: tuple[ModelUse, ...] = ()
    detail: Mapping[str, Any] = field(default_factory=dict)
    """What an operator may want to know, without text of the client or of the model: ``{"tests_passed": 3}``."""
