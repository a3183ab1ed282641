"""Classifiers over vLLM's ``/classify``: what class the ask and the answer so far belong to.

The server reads its prefix cache for that, so asking anew after each step costs the new step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from gateway.adapters.verifiers.batching import Told, apportioned
from gateway.adapters.verifiers.calls import Calls
from gateway.adapters.verifiers.numbers import items, of_class, row
from gateway.adapters.verifiers.passages import Passage, Template
from gateway.adapters.verifiers.vllm_body import vllm_body
from gateway.dialects import openai_chat
from gateway.domain.verification import Problem


@dataclass(frozen=True, slots=True)
class Classify:
    """Satisfies :class:`gateway.adapters.verifiers.model_verifier.Form`; for steps as for whole answers."""

    calls: Calls
    template: Template
    label: int | None
    is_logit: bool
    most_texts: int
    scores_all_steps: ClassVar[bool] = False
    most_output_tokens: ClassVar[int] = 0

    def passage(self, problem: Problem, steps: Sequence[str], *, is_whole: bool) -> Passage:
        del is_whole  # the same head reads both
        return Passage(self.template.passage(problem, steps))

    async def read(self, passages: Sequence[Passage], salt: str, deadline_s: float) -> Sequence[Told]:
        body = vllm_body(self.calls, salt, input=[each.text for each in passages], use_activation=not self.is_logit)
        answer = await self.calls.post("/classify", body, deadline_s=deadline_s)
        usage = apportioned(openai_chat.CODEC.find_usage(answer), passages)
        rows = [row(each.get("probs")) for each in items(answer, "data", len(passages))]
        scores = [(of_class(each, self.label, is_logit=self.is_logit),) for each in rows]
        return [Told(*each) for each in zip(scores, usage, strict=True)]
