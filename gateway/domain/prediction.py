"""What is predicted of an ask before it is answered: what kind of work it is, and who is likely to succeed at it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from gateway.domain.construction import quick_value


class Category(StrEnum):
    """Kinds of work. A path refines one: ``code/python`` is matched by rules for ``code``."""

    MATH = "math"
    CODE = "code"
    LOGIC = "logic"
    PLANNING = "planning"
    CONSTRAINT = "constraint"
    KNOWLEDGE = "knowledge"
    EXTRACTION = "extraction"
    SUMMARIZATION = "summarization"
    REWRITING = "rewriting"
    CREATIVE = "creative"
    CHAT = "chat"
    OTHER = "other"


class Difficulty(StrEnum):
    """Tiers cut from ``p_success``, the predicted success of the cheap arm; a policy sets the cuts."""

    EASY = "easy"
    MEDIUM = "medium"
    HARD = "hard"
    VERY_HARD = "very_hard"


class Anchor(StrEnum):
    """The two kinds of model that success is predicted for until an arm has counts of its own."""

    WEAK = "weak"
    STRONG = "strong"


class Source(StrEnum):
    """Who predicted."""

    HINT = "hint"
    RULES = "rules"
    LEARNED = "learned"
    LLM = "llm"


@quick_value
class Prompt:
    """What a classifier may look at; never the whole request.

    ``text`` is the last user turn, cut to its beginning and end, without the text of documents and
    tool results. ``tokens`` estimates the whole prompt. ``system_digest`` is the SHA-256 of the
    system prompt in hexadecimal, for rules that know an application by it.
    """

    text: str
    tokens: int = 0
    turns: int = 1
    has_tools: bool = False
    has_images: bool = False
    has_schema: bool = False
    is_tool_turn: bool = False
    """The last turn brings tool results: the ask is the last one that a user put in words."""
    system_digest: str | None = None


@dataclass(frozen=True, slots=True)
class Prediction:
    """``success`` is P(correct) by anchor (``weak``, ``strong``); empty when nothing is known.

    ``confidence`` is the calibrated probability that ``category`` is right, from 0 to 1. A prompt far
    from everything known is ``other`` with a low one, and belongs to the reference arm.
    """

    category: str
    confidence: float
    source: Source
    success: Mapping[str, float] = field(default_factory=dict)
    difficulty: Difficulty | None = None
    """Set where the predictor says the tier itself (a hint, a rule, an LLM); else it is cut from ``success``."""
