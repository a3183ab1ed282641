"""The head over a language model's likelihoods, trained on step labels: ``ponder prm train --likelihood-of``.

The model reads each labelled chain once, through its configured upstream. What it held for unlikely becomes two
numbers a step (:mod:`gateway.adapters.verifiers.likelihood`), and a logistic regression on them, with weights that
are never negative, learns the labels: the cross-entropy against the fraction of rollouts that ended right, as
Math-Shepherd's soft estimation has it (Wang et al. 2024, arXiv 2312.08935). Nothing of the model is trained, and
any vLLM that generates serves it.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import numpy as np
from scipy.optimize import minimize

from calibrator.prm.labels import Chain, is_held_out
from calibrator.prm.purse import Purse
from calibrator.prm.quality import Scored
from calibrator.prm.scored import DESCRIPTION, HELD_OUT, write_scored
from gateway.adapters.verifiers.calls import Calls, CallTerms
from gateway.adapters.verifiers.likelihood import Likelihood, Surprise, score_of
from gateway.adapters.verifiers.passages import Template
from gateway.domain.model import Model
from gateway.domain.money import ZERO, Usd
from gateway.domain.pricing import Price, ceiling, cost
from gateway.domain.verification import Problem
from gateway.errors import ConfigurationError, Unpriced, UpstreamError
from gateway.ports import Upstream
from gateway.search.aggregate import as_share
from gateway.verifier_settings import LikelihoodWeights

KIND: Final = "likelihood"
_UNTRAINED: Final = LikelihoodWeights(bias=0, step=1, token=1)
_RIDGE: Final = 1e-4
_RETRIES: Final = 4


@dataclass(frozen=True, slots=True)
class Reading:
    """A chain, and the model's surprise after each of its steps."""

    chain: Chain
    surprises: tuple[Surprise, ...]


class Reader:
    """Has a configured model read chains, several at a time, each within the spending cap."""

    def __init__(
        self, model: Model, upstream: Upstream, template: str, *, timeout_s: float, concurrency: int, cap: Usd | None
    ) -> None:
        """Raises Unpriced for a model without a price: what it costs could not be told."""
        if model.price is None:
            raise Unpriced(
                f"model {model.name} has no price; set one in ponder.yaml, `free` for one that costs nothing"
            )
        self.model = model
        self.spent = ZERO
        self._price: Price = model.price
        self._timeout_s = timeout_s
        self._places = asyncio.Semaphore(concurrency)
        self._purse = Purse(cap, lambda: self.spent)
        terms = CallTerms(timeout_s, timeout_s, _RETRIES, is_vllm=True)
        calls = Calls(f"likelihood of {model.name}", model, upstream, terms)
        self._form = Likelihood(calls, Template(template), _UNTRAINED, is_logit=True, most_texts=1)

    async def read(self, chains: Sequence[Chain], advance: Callable[[float], None]) -> list[Reading]:
        """What the model makes of every chain. Raises UpstreamError or BudgetExhausted."""

        async def one(chain: Chain) -> Reading:
            async with self._places:
                reading = await self._read(chain)
            advance(1)
            return reading

        tasks = [asyncio.create_task(one(chain)) for chain in chains]
        try:
            return await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()

    async def _read(self, chain: Chain) -> Reading:
        passage = self._form.passage(Problem((("user", chain.question),)), chain.steps, is_whole=True)
        most = ceiling(self._price, len(passage.text.encode()) + 1, self._form.most_output_tokens, 1)
        async with self._purse.hold(most):
            try:
                surprises, usage = await self._form.surprises(passage, self._timeout_s)
            except UpstreamError as fault:
                self.spent = self.spent if fault.is_unbilled else Usd(self.spent + most)
                raise
            charged = most if usage is None else cost(usage, self._price, at=time.time())
            self.spent = Usd(self.spent + charged)
        return Reading(chain, tuple(surprises))


def fit(readings: Iterable[Reading]) -> LikelihoodWeights:
    """The weights under which the labels are likeliest. Raises ConfigurationError where no step is labelled."""
    judged = [
        (surprise, value)
        for reading in readings
        for surprise, value in zip(reading.surprises, reading.chain.values, strict=True)
        if value is not None
    ]
    if not judged:
        raise ConfigurationError("none of the steps has a label, so there is nothing to learn from")
    rows = np.array([[1.0, np.log1p(-each.step), np.log1p(-each.token)] for each, _ in judged])
    values = np.array([value for _, value in judged])
    signs = np.array([1.0, -1.0, -1.0])

    def loss(weights: Any) -> tuple[float, Any]:
        odds = rows @ (signs * weights)
        told = 1 / (1 + np.exp(-np.clip(odds, -500, 500)))
        mean = float(np.mean(np.logaddexp(0, odds) - values * odds)) + _RIDGE * float(weights @ weights)
        return mean, signs * (rows.T @ (told - values)) / values.size + 2 * _RIDGE * weights

    found = minimize(loss, np.ones(3), jac=True, method="L-BFGS-B", bounds=[(None, None), (0, None), (0, None)])
    bias, step, token = (round(float(each), 4) for each in found.x)
    return LikelihoodWeights(bias=bias, step=step, token=token)


def scored(readings: Iterable[Reading], weights: LikelihoodWeights) -> list[Scored]:
    """The chains that are known to be right or wrong, with the scores of their steps."""
    return [
        Scored(
            item=reading.chain.item,
            scores=tuple(as_share(score_of(each, weights), is_logit=True) for each in reading.surprises),
            is_right=reading.chain.is_right,
            answer=reading.chain.answer,
            values=reading.chain.values,
            difficulty=reading.chain.difficulty,
            tokens=reading.chain.tokens,
        )
        for reading in readings
        if reading.chain.is_right is not None and reading.surprises
    ]


def learn(readings: Sequence[Reading], labels: Path, out: Path, *, model: str, template: str, share: float) -> None:
    """Learn from the problems that are not held out; write the head and the held-out chains, scored."""
    kept = [each for each in readings if is_held_out(each.chain.item, share)]
    taught = [each for each in readings if not is_held_out(each.chain.item, share)]
    weights = fit(taught)
    made = {
        "kind": KIND,
        "model": model,
        "template": template,
        "weights": weights.model_dump(),
        "labels_sha256": sha256(labels.read_bytes()).hexdigest(),
        "chains": len(taught),
        "held_out_chains": len(kept),
        "held_out_share": share,
    }
    out.mkdir(parents=True, exist_ok=True)
    (out / DESCRIPTION).write_text(f"{json.dumps(made, indent=2)}\n", "utf-8")
    write_scored(out / HELD_OUT, scored(kept, weights))
