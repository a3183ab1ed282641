"""Traces in the forms that TRL's trainers load (huggingface.co/docs/trl/dataset_formats).

``grpo``  prompt-only, conversational, with columns that the reward functions are given (GRPOTrainer)
``sft``   prompt-completion, conversational (SFTTrainer)
``prm``   stepwise supervision: a text, its steps, and for each whether it is right (PRMTrainer)

Each row says which item it is of, so that sets can be split and joined. All rows of a set have the same columns, of
the same types, as the loader demands.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, TypeAlias

from calibrator.export.redaction import redact
from calibrator.export.trace import Trace
from calibrator.kept_text import Message, item_of
from calibrator.prm.labels import Chain
from gateway.domain.check import Kind
from gateway.domain.search_record import Fate, SearchDraw
from gateway.errors import ConfigurationError
from gateway.search.steps import Boundary, boundary_of, split

Row: TypeAlias = Mapping[str, Any]
REWARD: Final = "calibrator.export.rewards.graded"
"""The reward function that reads the column ``check``."""


class Thoughts(StrEnum):
    """Where a thought-out answer has its thinking."""

    TAGS = "tags"
    """Before the answer, between <think> and </think>."""
    FIELD = "field"
    """Under the message's key ``thinking``, as templates of the harmony format read it."""
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which traces become rows: those with at least this score; ``None`` takes those of which nothing is known too."""

    min_score: float | None
    right_from: float = 0.5
    """The least score of a step that counts as right."""
    thoughts: Thoughts = Thoughts.TAGS

    def takes(self, trace: Trace) -> bool:
        """Whether the trace is good enough. Without a label nothing is known of it."""
        return self.min_score is None or (trace.score is not None and trace.score >= self.min_score)


def grpo_rows(trace: Trace, wanted: Wanted) -> Iterator[Row]:
    """The prompt with its check, if it has one: the truth, and the name of the function that rewards by it."""
    if trace.check is None or not wanted.takes(trace):
        return
    kind, truth = str(trace.check["kind"]), trace.check.get("answer")
    answers = truth if isinstance(truth, list) else [truth]
    yield {
        "prompt": list(trace.messages),
        # The column that TRL's own accuracy_reward reads; a formula, so of no use to other kinds.
        "solution": str(answers[0]) if kind == Kind.MATH else None,
        "check": json.dumps(trace.check, ensure_ascii=False, sort_keys=True),
        "reward_function": REWARD,
        **_about(trace),
    }


def sft_rows(trace: Trace, wanted: Wanted) -> Iterator[Row]:
    """The conversation, and as its completion a verified answer with the thinking that led to it."""
    if not trace.is_whole or not trace.answer.strip() or not wanted.takes(trace):
        return
    said = {"role": "assistant", "content": trace.answer.strip("\n")}
    if wanted.thoughts is Thoughts.FIELD:
        said = {**said, "thinking": trace.thinking}
    elif wanted.thoughts is Thoughts.TAGS and trace.thinking:
        said = {**said, "content": f"<think>\n{trace.thinking.strip()}\n</think>\n\n{said['content']}"}
    yield {"prompt": list(trace.messages), "completion": [said], "score": trace.score, **_about(trace)}


def prm_rows(trace: Trace, wanted: Wanted) -> Iterator[Row]:
    """Each chain of the request's search of which a verifier scored every step."""
    search, question = trace.stored.search, _question(trace.messages)
    if search is None or question is None or search.verifier is None:
        return
    try:
        boundary = boundary_of(trace.stored.parameters)
    except ConfigurationError:
        return
    draws = {draw.draw: draw for draw in search.draws}
    continued = {draw.parent for draw in search.draws if draw.scores}
    for draw in search.draws:
        if draw.scores and draw.draw not in continued and draw.fate in _ENDED:
            steps = _steps(draw, draws, trace.stored.text.draws, boundary)
            if len(steps) == len(draw.scores):
                labels = [score >= wanted.right_from for score in draw.scores]
                yield _stepwise(question, steps, labels, trace.item, search.verifier)


_ENDED: Final = frozenset((Fate.WHOLE, Fate.STEP, Fate.CUT))


def labelled_rows(chain: Chain, wanted: Wanted) -> Iterator[Row]:
    """A chain that ``ponder prm label`` labelled, as far as its steps have values without a gap."""
    if not chain.question.strip():
        return
    known = next((place for place, value in enumerate(chain.values) if value is None), len(chain.values))
    values = [value for value in chain.values[:known] if value is not None]
    if values:
        question = redact(chain.question)
        item = item_of(({"role": "user", "content": question},))
        labels = [value >= wanted.right_from for value in values]
        yield _stepwise(question, chain.steps[:known], labels, item, "rollouts")


def _stepwise(question: str, steps: Sequence[str], labels: Sequence[bool], item: str, source: str) -> Row:
    """A row without the marks between the steps: the trainer puts its own separator there."""
    return {
        "prompt": question,
        "completions": [redact(step).strip() for step in steps],
        "labels": list(labels),
        "item": item,
        "labelled_by": source,
    }


def _steps(
    draw: SearchDraw, draws: Mapping[int, SearchDraw], texts: Mapping[str, str], boundary: Boundary
) -> list[str]:
    """The steps of a draw's chain from its beginning; empty where a text of it was not kept."""
    text = texts.get(str(draw.draw))
    if not text:
        return []
    before: list[str] = []
    if draw.parent is not None:
        parent = draws.get(draw.parent)
        before = [] if parent is None else _steps(parent, draws, texts, boundary)
        if not before:
            return []
        before = before if draw.kept_steps is None else before[: draw.kept_steps]
    return [*before, *split(text, boundary)]


def _question(messages: Sequence[Message]) -> str | None:
    """The only thing that the user said, below what the system says; None for longer conversations."""
    roles = [message["role"] for message in messages]
    if roles.count("user") != 1 or "assistant" in roles:
        return None
    return "\n\n".join(message["content"] for message in messages)


def _about(trace: Trace) -> Row:
    return {"item": trace.item, "category": trace.category, "difficulty": trace.difficulty}
