"""The likelihood of steps: a language model reads ask and answer, and what it held for unlikely is taken for wrong.

A server that echoes its prompt tells how likely each token was, given all before it. Two numbers of that are
weighed by a head that was trained on step labels (``ponder prm train --likelihood-of``): how likely the least
likely step so far was, and the least likely token. No model has to be trained for it; a better one than that which
writes makes a good verifier. The server reads no prefix cache for that, so an answer is read whole, and all its
steps are scored at once.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar, Final

from gateway.adapters.verifiers.batching import Told, apportioned
from gateway.adapters.verifiers.calls import Calls
from gateway.adapters.verifiers.numbers import items, row
from gateway.adapters.verifiers.passages import Passage, Template
from gateway.adapters.verifiers.vllm_body import vllm_body
from gateway.dialects import openai_chat
from gateway.domain.usage import Usage
from gateway.domain.verification import Problem
from gateway.errors import UpstreamFailed
from gateway.search.aggregate import as_share
from gateway.verifier_settings import LikelihoodWeights

_DRIFT: Final = 8
"""Characters within which a token is looked for: those cut amid a character are told as something else."""


@dataclass(frozen=True, slots=True)
class Surprise:
    """The log-likelihoods, 0 or less, of the least likely step of a chain up to here, and of its least likely token."""

    step: float
    token: float


def score_of(surprise: Surprise, weights: LikelihoodWeights) -> float:
    """The log-odds that the chain is right so far.

    Logarithms of likelihoods enter as -log(1 - x): at -5 a step is as good as wrong, and at -50 no worse.
    """
    return weights.bias - weights.step * math.log1p(-surprise.step) - weights.token * math.log1p(-surprise.token)


@dataclass(frozen=True, slots=True)
class Likelihood:
    """Satisfies :class:`gateway.adapters.verifiers.model_verifier.Form`."""

    calls: Calls
    template: Template
    weights: LikelihoodWeights
    is_logit: bool
    most_texts: int
    scores_all_steps: ClassVar[bool] = True
    most_output_tokens: ClassVar[int] = 1
    """The server writes one, though it is told to write none."""

    def passage(self, problem: Problem, steps: Sequence[str], *, is_whole: bool) -> Passage:
        del is_whole  # the same reading
        begins = [self.template.passage(problem, steps[:number]) for number in range(len(steps) + 1)]
        return Passage(begins[-1], len(steps), places=tuple(map(len, begins)))

    async def read(self, passages: Sequence[Passage], salt: str, deadline_s: float) -> Sequence[Told]:
        told, usage = await self._read(passages, salt, deadline_s)
        scores = [tuple(self._score(each) for each in surprises) for surprises in told]
        return [Told(*each) for each in zip(scores, apportioned(usage, passages), strict=True)]

    async def surprises(self, passage: Passage, deadline_s: float) -> tuple[list[Surprise], Usage | None]:
        """What a head is trained on: the surprise after each step, and the usage. Raises UpstreamError."""
        ((surprises,), usage) = await self._read([passage], "", deadline_s)
        return surprises, usage

    async def _read(
        self, passages: Sequence[Passage], salt: str, deadline_s: float
    ) -> tuple[list[list[Surprise]], Any]:
        prompts = [each.text for each in passages]
        body = vllm_body(self.calls, salt, prompt=prompts, echo=True, max_tokens=0, temperature=0, logprobs=0)
        answer = await self.calls.post("/completions", body, deadline_s=deadline_s)
        choices = items(answer, "choices", len(passages))
        told = [self._surprises(choice, passage) for choice, passage in zip(choices, passages, strict=True)]
        return told, openai_chat.CODEC.find_usage(answer)

    def _score(self, surprise: Surprise) -> float:
        odds = score_of(surprise, self.weights)
        return odds if self.is_logit else as_share(odds, is_logit=True)

    def _surprises(self, choice: Mapping[str, Any], passage: Passage) -> list[Surprise]:
        told = choice.get("logprobs")
        tokens, logprobs = (told.get("tokens"), told.get("token_logprobs")) if isinstance(told, dict) else (None, None)
        if (
            not isinstance(tokens, list)
            or not isinstance(logprobs, list)
            or not 0 < len(tokens) == len(logprobs)
            or not all(isinstance(token, str) for token in tokens)
        ):
            raise UpstreamFailed(
                f"verifier {self.calls.verifier}: the server tells no likelihoods of what it read; "
                "kind likelihood needs a vLLM that generates"
            )
        known = [0.0 if each is None else min(0.0, row(each)[0]) for each in logprobs]
        return list(surprises(passage, zip(starts(passage.text, tokens), known, strict=True)))


def surprises(passage: Passage, likelihoods: Iterable[tuple[int, float]]) -> Iterable[Surprise]:
    """The surprise after each step, by where each token of the passage begins, in order, and how likely it was."""
    tokens = list(likelihoods)
    begins = [place for place, _ in tokens]
    least_step = least_token = 0.0
    for begin, end in pairwise(passage.places):
        within = [logprob for _, logprob in tokens[bisect_left(begins, begin) : bisect_left(begins, end)]]
        least_step = min(least_step, math.fsum(within))
        least_token = min(least_token, *within, 0.0)
        yield Surprise(least_step, least_token)


def starts(text: str, tokens: Sequence[str]) -> Iterable[int]:
    """Where in a text its tokens begin; one that does not stand there, as the first of all, where the next one does."""
    place = 0
    for token in tokens:
        found = text.find(token, place, place + len(token) + _DRIFT) if token else -1
        yield max(found, place)
        if found >= 0:
            place = found + len(token)
