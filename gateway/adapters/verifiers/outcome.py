"""Outcome reward models that compare an ask with an answer: vLLM's ``/score``.

Those that classify one text are asked as in :mod:`gateway.adapters.verifiers.classify`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from gateway.adapters.verifiers.batching import Told, apportioned
from gateway.adapters.verifiers.calls import Calls
from gateway.adapters.verifiers.numbers import items, of_class, row
from gateway.adapters.verifiers.passages import Passage, plain
from gateway.adapters.verifiers.vllm_body import vllm_body
from gateway.dialects import openai_chat
from gateway.domain.verification import Problem


@dataclass(frozen=True, slots=True)
class Pairs:
    """Satisfies :class:`gateway.adapters.verifiers.model_verifier.Form`; the server puts ask and answer together."""

    calls: Calls
    is_logit: bool
    most_texts: int
    scores_all_steps: ClassVar[bool] = False
    most_output_tokens: ClassVar[int] = 0

    def passage(self, problem: Problem, steps: Sequence[str], *, is_whole: bool) -> Passage:
        del is_whole  # it is only asked about whole answers
        return Passage(plain("".join(steps)), query=plain(problem.question))

    async def read(self, passages: Sequence[Passage], salt: str, deadline_s: float) -> Sequence[Told]:
        texts = {"text_1": [each.query for each in passages], "text_2": [each.text for each in passages]}
        body = vllm_body(self.calls, salt, **texts, use_activation=not self.is_logit)
        answer = await self.calls.post("/score", body, deadline_s=deadline_s)
        usage = apportioned(openai_chat.CODEC.find_usage(answer), passages)
        rows = [row(each.get("score")) for each in items(answer, "data", len(passages))]
        scores = [(of_class(each, None, is_logit=self.is_logit),) for each in rows]
        return [Told(*each) for each in zip(scores, usage, strict=True)]
