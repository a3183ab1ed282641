"""Process reward models with a head of their own, over vLLM's step pooling: ``/pooling``.

A server that pools by step answers with one row of classes for each step tag in the text. It does not
read its prefix cache for that, so an answer is read whole, and all its steps are scored at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from gateway.adapters.verifiers.batching import Told, apportioned
from gateway.adapters.verifiers.calls import Calls
from gateway.adapters.verifiers.numbers import items, of_class, row
from gateway.adapters.verifiers.passages import Passage, Template
from gateway.adapters.verifiers.vllm_body import vllm_body
from gateway.dialects import openai_chat
from gateway.domain.verification import Problem
from gateway.errors import UpstreamFailed


@dataclass(frozen=True, slots=True)
class StepRewards:
    """Satisfies :class:`gateway.adapters.verifiers.model_verifier.Form`."""

    calls: Calls
    template: Template
    label: int | None
    is_logit: bool
    most_texts: int
    scores_all_steps: ClassVar[bool] = True
    most_output_tokens: ClassVar[int] = 0

    def passage(self, problem: Problem, steps: Sequence[str], *, is_whole: bool) -> Passage:
        del is_whole  # the same head reads both
        return Passage(self.template.passage(problem, steps), len(steps))

    async def read(self, passages: Sequence[Passage], salt: str, deadline_s: float) -> Sequence[Told]:
        body = vllm_body(self.calls, salt, input=[each.text for each in passages], use_activation=not self.is_logit)
        answer = await self.calls.post("/pooling", body, deadline_s=deadline_s)
        usage = apportioned(openai_chat.CODEC.find_usage(answer), passages)
        rows = items(answer, "data", len(passages))
        scores = [self._scores(each, passage.steps) for each, passage in zip(rows, passages, strict=True)]
        return [Told(*each) for each in zip(scores, usage, strict=True)]

    def _scores(self, item: Mapping[str, Any], steps: int) -> tuple[float, ...]:
        rows = item.get("data")
        if not isinstance(rows, list) or len(rows) != steps:
            found = len(rows) if isinstance(rows, list) else "no"
            raise UpstreamFailed(
                f"verifier {self.calls.verifier}: {steps} steps were asked about, and {found} scored; the server must "
                "pool by step, and step_tag must be the one token that its step_tag_id names"
            )
        return tuple(of_class(row(each), self.label, is_logit=self.is_logit) for each in rows)
