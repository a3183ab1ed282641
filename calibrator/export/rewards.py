"""The reward function of exported prompts, for TRL's GRPOTrainer: what Ponder's own checks say of a completion.

    from calibrator.export.rewards import graded
    GRPOTrainer(model=…, reward_funcs=graded, train_dataset=…)

TRL hands it the columns of the set by their names (huggingface.co/docs/trl/grpo_trainer, custom reward functions).
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Sequence
from typing import Any, Final

from gateway.adapters.graders.grading import Graders
from gateway.domain.check import read_check
from gateway.domain.verification import Problem
from gateway.errors import Forbidden, Unavailable
from gateway.settings import GraderSettings

_DEADLINE_S: Final = 60.0
_THINKING: Final = re.compile(r"\A\s*<think>.*?</think>", re.DOTALL)
_NOBODY_ASKED: Final = Problem(())
RUNS_CODE: Final = GraderSettings(code=True)
"""Tests run in Ponder's own walls; where this machine cannot build them, rows with tests have no reward."""


def graded(completions: Sequence[Any], check: Sequence[str], **_columns: Any) -> list[float | None]:
    """From 0 to 1 for each completion, by its row's check; None, which TRL leaves out, where it cannot be made here."""
    return asyncio.run(_graded([_text(each) for each in completions], check))


async def _graded(texts: Sequence[str], checks: Sequence[str]) -> list[float | None]:
    graders = Graders(RUNS_CODE)
    try:
        return [await _one(graders, text, check) for text, check in zip(texts, checks, strict=True)]
    finally:
        await graders.close()


async def _one(graders: Graders, text: str, check: str) -> float | None:
    try:
        verdict = await graders.grade(
            read_check(json.loads(check), "check"), _NOBODY_ASKED, text, deadline_s=_DEADLINE_S
        )
    except (Forbidden, Unavailable):
        return None
    return min(max(verdict.scores[-1], 0.0), 1.0)


def _text(completion: Any) -> str:
    """A completion's words after its thinking: it is a text, or a list of messages."""
    said = completion if isinstance(completion, str) else "".join(each["content"] for each in completion)
    return _THINKING.sub("", said)
