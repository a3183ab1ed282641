"""The share that is verified, what a verdict may cost, and what it says."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import pytest

from calibrator.kept_text import read_exchange
from calibrator.verifying import Inspector, Subject, is_sampled
from gateway.clock import SystemClock
from gateway.dialects.json_bytes import dumps
from gateway.domain.chat import Dialect
from gateway.domain.model import Model
from gateway.domain.money import ZERO, Usd, usd
from gateway.domain.pricing import FREE, Price, per_mtok
from gateway.domain.usage import Usage
from gateway.domain.verification import Chain, ModelUse, Problem, Verdict
from gateway.errors import PonderError, Unavailable, UpstreamFailed, UpstreamTimedOut
from gateway.search.aggregate import Aggregation
from gateway.store.verifications import CALIBRATOR
from tests.store.records import NOON, identity

PRICE: Price = per_mtok(input_per_mtok=Decimal(1), output_per_mtok=Decimal(2))
READ = Usage(input_tokens=1_000, output_tokens=10)


class Scores:
    """A verifier of steps that says what it was told to."""

    name = "prm"
    model = "small"
    scores_steps = True
    most_readings = 3
    most_output_tokens = 48

    def __init__(
        self, *scores: float, uses: int = 1, is_logit: bool = False, usage: Usage | None = READ, fault: Any = None
    ) -> None:
        self.is_logit = is_logit
        self.aggregation = Aggregation.MIN
        self.seen: list[tuple[Problem, Chain]] = []
        self._verdict = Verdict(scores, (ModelUse("small", usage),) * uses)
        self._fault = fault

    async def score(self, problem: Problem, chain: Chain, *, deadline_s: float, salt: str) -> Verdict:
        self.seen.append((problem, chain))
        if self._fault is not None:
            raise self._fault
        return self._verdict


def _subject(text: str = "First.\n\nSecond.") -> Subject:
    asked = {"model": "auto", "messages": [{"role": "user", "content": "2+3?"}]}
    message: Mapping[str, Any] = {"role": "assistant", "content": text}
    said = {"id": "x", "model": "m", "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}
    found = read_exchange(Dialect.OPENAI_CHAT, is_stream=False, request=dumps(asked), answer=dumps(said))
    assert found is not None
    return Subject(identity(1), "key_1", found)


def _inspector(verifier: Scores, price: Price | None = PRICE) -> Inspector:
    return Inspector("work", verifier, Model("small", "gpu", "small-1", price), 0.25, SystemClock())


def test_the_share_is_kept_and_grows() -> None:
    """As many as the share says are chosen, whoever asks, and a greater share keeps those that it had."""
    ids = [identity(number, NOON + number) for number in range(10_000)]
    few, more = ({each for each in ids if is_sampled(each, share)} for share in (0.05, 0.2))
    assert few < more
    assert 400 < len(few) < 600
    assert 1_850 < len(more) < 2_150
    assert all(is_sampled(each, 1.0) for each in ids)


async def test_a_verdict_is_an_outcome_and_a_record() -> None:
    """The chain goes to the verifier by its steps; their scores are one, and each call's use is priced."""
    verifier = Scores(0.9, 0.6, uses=2)
    found = await _inspector(verifier).verify(_subject(), deadline_s=1)
    ((problem, chain),) = verifier.seen
    assert (problem.question, chain) == ("2+3?", Chain(("First.\n\n", "Second."), is_whole=True))
    assert found.outcome is not None
    assert (found.outcome.score, found.outcome.source, found.outcome.probability) == (0.6, "verifier:prm", 0.25)
    assert found.record is not None
    assert (found.record.key_id, found.record.model_asked) == (CALIBRATOR, "small")
    assert [call.cost for call in found.record.calls] == [usd("0.00102")] * 2
    assert (found.record.cost, found.charge, found.record.charged) == (usd("0.00204"), usd("0.00204"), None)


async def test_log_odds_become_chances() -> None:
    """An outcome is from 0 to 1, whatever the verifier's scale."""
    found = await _inspector(Scores(0.0, 3.0, is_logit=True)).verify(_subject(), deadline_s=1)
    assert found.outcome is not None
    assert found.outcome.score == 0.5


async def test_what_is_remembered_costs_nothing() -> None:
    """No call, no record."""
    found = await _inspector(Scores(1.0, uses=0)).verify(_subject(), deadline_s=1)
    assert (found.record, found.charge) == (None, ZERO)
    assert found.outcome is not None


async def test_no_score_is_no_outcome() -> None:
    """What was paid for it is on record all the same."""
    found = await _inspector(Scores(float("nan"))).verify(_subject(), deadline_s=1)
    assert found.outcome is None
    assert found.charge == usd("0.00102")


@pytest.mark.parametrize(
    ("verifier", "is_known"),
    [
        (Scores(1.0, usage=None), False),
        (Scores(fault=UpstreamFailed("no")), False),
        (Scores(fault=Unavailable("no")), False),
        (Scores(fault=UpstreamTimedOut("no", is_unbilled=True)), True),
    ],
)
async def test_a_cost_that_nobody_knows_is_the_ceiling(verifier: Scores, is_known: bool) -> None:
    """Unless it is certain that nothing was charged."""
    inspector = _inspector(verifier)
    found = await inspector.verify(_subject(), deadline_s=1)
    assert found.charge == (ZERO if is_known else inspector.ceiling(_subject()))
    assert found.record is not None
    assert found.record.is_cost_complete is is_known
    assert found.record.charge == found.charge
    fault: PonderError | None = found.fault
    assert (found.outcome is None) == (fault is not None)


@pytest.mark.parametrize(("text", "price", "most"), [("5", PRICE, "0.006126"), ("5" * 1_000, PRICE, "0.01212")])
def test_the_ceiling_grows_with_the_texts(text: str, price: Price, most: str) -> None:
    """By every reading of ask and answer, with what is put around them, and all that may be written."""
    assert _inspector(Scores(1.0), price).ceiling(_subject(text)) == usd(most)


def test_a_free_model_costs_nothing() -> None:
    """Nothing has to be set aside for it."""
    assert _inspector(Scores(1.0), FREE).ceiling(_subject()) == Usd(ZERO)
