"""Generative labels: a model writes one token after a step, and how likely that is ``+`` and not ``-`` is the score.

The server reads its prefix cache for that, so asking anew after each step costs the new step.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from gateway.adapters.verifiers.batching import Told, apportioned
from gateway.adapters.verifiers.calls import Calls
from gateway.adapters.verifiers.numbers import items, log_odds
from gateway.adapters.verifiers.passages import Passage, Template
from gateway.adapters.verifiers.vllm_body import vllm_body
from gateway.dialects import openai_chat
from gateway.domain.verification import Problem
from gateway.errors import UpstreamFailed
from gateway.search.aggregate import as_share

_LISTED: Final = 20
"""Likely tokens asked for: the most that vLLM gives unless it is told to give more."""


@dataclass(frozen=True, slots=True)
class Label:
    """Satisfies :class:`gateway.adapters.verifiers.model_verifier.Form`."""

    calls: Calls
    template: Template
    labels: tuple[str, str]
    is_logit: bool
    most_texts: int
    scores_all_steps: ClassVar[bool] = False
    most_output_tokens: ClassVar[int] = 1

    def passage(self, problem: Problem, steps: Sequence[str], *, is_whole: bool) -> Passage:
        del is_whole  # the label is asked for after any step
        return Passage(self.template.passage(problem, steps))

    async def read(self, passages: Sequence[Passage], salt: str, deadline_s: float) -> Sequence[Told]:
        prompts = [each.text for each in passages]
        body = vllm_body(self.calls, salt, prompt=prompts, max_tokens=1, temperature=0, logprobs=_LISTED)
        answer = await self.calls.post("/completions", body, deadline_s=deadline_s)
        usage = apportioned(openai_chat.CODEC.find_usage(answer), passages)
        scores = [(self._score(each),) for each in items(answer, "choices", len(passages))]
        return [Told(*each) for each in zip(scores, usage, strict=True)]

    def _score(self, choice: Mapping[str, Any]) -> float:
        logprobs = choice.get("logprobs")
        listed = logprobs.get("top_logprobs") if isinstance(logprobs, dict) else None
        odds = log_odds(listed[0] if isinstance(listed, list) and listed else None, *self.labels)
        if odds is None or not math.isfinite(odds):
            raise UpstreamFailed(
                f"verifier {self.calls.verifier}: neither label is among the {_LISTED} likeliest tokens; "
                "are labels and template the model's own?"
            )
        return odds if self.is_logit else as_share(odds, is_logit=True)
