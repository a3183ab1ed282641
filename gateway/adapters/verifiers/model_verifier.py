"""What all verifiers that ask a model share: which parts of an answer are still to be scored, and who pays.

How a model is asked and what it means is a form's business: one file for each kind.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from gateway.adapters.verifiers.batching import Asked, Batches, Told
from gateway.adapters.verifiers.passages import Passage
from gateway.adapters.verifiers.remembered import Remembered
from gateway.domain.verification import Chain, ModelUse, Problem, Verdict
from gateway.errors import PonderError, Unavailable
from gateway.search.aggregate import Aggregation

_log = logging.getLogger(__name__)


class Form(Protocol):
    """How a model is asked for scores."""

    @property
    def scores_all_steps(self) -> bool:
        """Whether one reading of an answer brings the scores of all its steps; else that of the last one."""
        ...

    @property
    def most_texts(self) -> int:
        """How many passages go into one call at most."""
        ...

    @property
    def most_output_tokens(self) -> int:
        """How many tokens it has the model write for one passage, at most."""
        ...

    def passage(self, problem: Problem, steps: Sequence[str], *, is_whole: bool) -> Passage:
        """What is to be read to score these steps."""
        ...

    async def read(self, passages: Sequence[Passage], salt: str, deadline_s: float) -> Sequence[Told]:
        """What the model says of each passage: as many scores as it has steps. Raises UpstreamError."""
        ...


@dataclass(frozen=True, slots=True)
class Manner:
    """How a verifier scores: which parts of an answer, at most how many of them anew, and what scores mean.

    ``steps``: a score for ``each`` step, one for the ``last`` step there is, or ``none`` but for whole answers.
    """

    steps: Literal["each", "last", "none"]
    aggregation: Aggregation = Aggregation.MIN
    is_logit: bool = False
    max_steps: int = 1


class ModelVerifier:
    """Satisfies :class:`gateway.search_ports.Verifier`. What was scored is not asked about again."""

    def __init__(self, name: str, model: str, manner: Manner, form: Form) -> None:
        self.name = name
        self.model = model
        self.aggregation = manner.aggregation
        self.is_logit = manner.is_logit
        self.scores_steps = manner.steps != "none"
        self._manner = manner
        self._form = form
        self._batches = Batches(name, form.read, most=form.most_texts)
        self._remembered = Remembered()
        self._fault: str | None = None

    def is_like(self, other: object) -> bool:
        """Whether another scores just as this one does, so that what this one remembers holds for both."""
        return isinstance(other, ModelVerifier) and (self._manner, self._form) == (other._manner, other._form)

    @property
    def most_readings(self) -> int:
        """How often the model reads the ask and an answer, at most, to score it from its start."""
        return self._manner.max_steps if self._manner.steps == "each" and not self._form.scores_all_steps else 1

    @property
    def most_output_tokens(self) -> int:
        """How many tokens the model writes for one score, at most."""
        return self.most_readings * self._form.most_output_tokens

    async def score(self, problem: Problem, chain: Chain, *, deadline_s: float, salt: str) -> Verdict:
        """The chain's scores. Raises PonderError."""
        if not chain.is_whole and not self.scores_steps:
            raise Unavailable(f"verifier {self.name} scores whole answers only")
        steps = chain.steps or ("",)
        keys = self._remembered.keys(problem, steps, salt)
        wanted = range(len(steps)) if self._manner.steps == "each" else range(len(steps) - 1, len(steps))
        scores = {place: self._remembered.get(keys[place]) for place in wanted}
        missing = [place for place, score in scores.items() if score is None]
        if not missing:
            return Verdict(tuple(score for score in scores.values() if score is not None))
        read = missing[-1:] if self._form.scores_all_steps else _spread(missing, self._manner.max_steps)
        asked = [
            Asked(keys[place], self._form.passage(problem, steps[: place + 1], is_whole=chain.is_whole))
            for place in read
        ]
        told = await self._told(asked, salt, deadline_s)
        for place, each in zip(read, told, strict=True):
            first = place + 1 - len(each.scores)
            for number, score in enumerate(each.scores, first):
                scores[number] = score
                self._remembered.put(keys[number], score)
        uses = tuple(ModelUse(self.model, each.usage) for each in told if each.is_charged)
        return Verdict(_filled([scores[place] for place in wanted]), uses)

    async def _told(self, asked: Sequence[Asked], salt: str, deadline_s: float) -> list[Told]:
        """What is said of each passage. Why nothing is, is logged once, until something is again."""
        try:
            told = await self._batches.read(asked, salt=salt, deadline_s=deadline_s)
        except PonderError as fault:
            if fault.message != self._fault:
                self._fault = fault.message
                _log.warning("verifier %s gave no score: %s", self.name, fault.message)
            raise
        self._fault = None
        return told


def _spread(places: Sequence[int], most: int) -> list[int]:
    """At most so many of these places, evenly spaced, the last one among them."""
    if len(places) <= most:
        return list(places)
    return [places[(number + 1) * len(places) // most - 1] for number in range(most)]


def _filled(scores: Sequence[float | None]) -> tuple[float, ...]:
    """The scores, where a step without one has that of the next step that was scored: they were read together."""
    filled: list[float] = []
    following: float | None = None
    for score in reversed(scores):
        following = following if score is None else score
        if following is not None:
            filled.append(following)
    return tuple(reversed(filled))
