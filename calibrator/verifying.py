"""Verifying answers after they were given: which ones are sampled, what a verifier says, and what that cost.

Nothing here stands on the path of a request. What a verifier's model used is a record in the log like any
request's, under the name of the calibrator in the place of a key.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from calibrator.kept_text import Exchanged, read_exchange
from gateway.domain.bound import as_usd, cost_bound
from gateway.domain.chat import Dialect
from gateway.domain.identity import new_request_id
from gateway.domain.model import Model
from gateway.domain.money import ZERO, Usd
from gateway.domain.outcome import Outcome
from gateway.domain.pricing import cost
from gateway.domain.record import CallRecord, RequestRecord, Result
from gateway.domain.sticky import share_point
from gateway.domain.usage import Usage
from gateway.domain.verification import Chain, ModelUse
from gateway.errors import PonderError, Unpriced, UpstreamError
from gateway.flow.attempts import result_of
from gateway.ports import Clock
from gateway.search.aggregate import aggregate, as_share
from gateway.search.steps import BLANK_LINE, split
from gateway.search_ports import Verifier
from gateway.store.judgements import VERIFIER
from gateway.store.verifications import CALIBRATOR, Unverified

ENDPOINT: Final = "/verification"
"""Where the records of verifiers' calls say that they came in."""
_SALT: Final = "verification"
_FRAME_TOKENS: Final = 2_000
"""What a template or a judge's instructions put around an ask and its answer, at most."""
_ESCAPED: Final = 2
"""By how much quoting may lengthen a text."""
_ANSWERED_STATUS: Final = 200


def is_sampled(request_id: str, share: float) -> bool:
    """Whether a request is of the share that is verified: the same in every process, and at every look."""
    return share_point(request_id.encode(), _SALT) < share


def source_of(verifier: str) -> str:
    """The source under which a verifier's outcomes are kept; no client may use it."""
    return f"{VERIFIER}{verifier}"


@dataclass(frozen=True, slots=True)
class Subject:
    """An answer that can be verified."""

    request_id: str
    key_id: str
    exchanged: Exchanged

    @property
    def size(self) -> int:
        """The bytes of ask and answer: tokens are never more."""
        problem = self.exchanged.problem
        texts = (problem.system, self.exchanged.text, *(text for _, text in problem.turns))
        return sum(len(text.encode()) for text in texts)


def subject_of(kept: Unverified) -> Subject | None:
    """The answer to verify; None where it is none in words, or cannot be read."""
    exchanged = read_exchange(kept.dialect, is_stream=kept.is_stream, request=kept.request, answer=kept.answer)
    if exchanged is None or exchanged.calls_tools or not exchanged.text.strip():
        return None
    return Subject(kept.id, kept.key_id, exchanged)


@dataclass(frozen=True, slots=True)
class Verified:
    """What came of verifying an answer. ``charge`` is its cost, or its ceiling where nobody knows the cost."""

    outcome: Outcome | None
    record: RequestRecord | None
    charge: Usd
    fault: PonderError | None = None


@dataclass(frozen=True, slots=True)
class Inspector:
    """Verifies answers of one policy by one verifier; ``model`` is the one that it calls, and has a price."""

    policy: str
    verifier: Verifier
    model: Model | None
    probability: float
    """With which each request was chosen."""
    clock: Clock

    def ceiling(self, subject: Subject) -> Usd:
        """The most that verifying an answer can cost."""
        if self.model is None or self.model.price is None:
            return ZERO
        read = _ESCAPED * subject.size + _FRAME_TOKENS
        rates = cost_bound(self.model.price, None).at(read)
        verifier = self.verifier
        return as_usd(verifier.most_readings * read * rates.input + verifier.most_output_tokens * rates.output)

    async def verify(self, subject: Subject, *, deadline_s: float) -> Verified:
        """Have an answer scored. A verifier that fails gives no outcome: nothing is known of the answer then."""
        clock, begun = self.clock, self.clock.now()
        started = clock.monotonic()
        chain = Chain(tuple(split(subject.exchanged.text, BLANK_LINE)), is_whole=True)
        fault: PonderError | None = None
        try:
            verdict = await self.verifier.score(
                subject.exchanged.problem, chain, deadline_s=deadline_s, salt=f"{_SALT}:{subject.key_id}"
            )
            scores, uses = verdict.scores, verdict.uses
        except PonderError as raised:
            fault, scores, uses = raised, (), ()
        calls = self._calls(subject, uses, fault, begun, clock.monotonic() - started)
        known = all(call.cost is not None for call in calls)
        spent = Usd(sum((call.cost for call in calls if call.cost is not None), ZERO))
        charge = spent if known else max(spent, self.ceiling(subject))
        record = self._record(subject, calls, charge, fault) if calls else None
        score = aggregate(scores, self.verifier.aggregation)
        outcome = None if score is None else self._outcome(subject, score)
        return Verified(outcome, record, charge, fault)

    def _outcome(self, subject: Subject, score: float) -> Outcome:
        return Outcome(
            request_id=subject.request_id,
            source=source_of(self.verifier.name),
            score=as_share(score, is_logit=self.verifier.is_logit),
            at=self.clock.now(),
            key_id=CALIBRATOR,
            is_vouched=True,
            probability=self.probability,
        )

    def _calls(
        self, subject: Subject, uses: Sequence[ModelUse], fault: PonderError | None, begun: float, total_s: float
    ) -> tuple[CallRecord, ...]:
        model = self.model
        if model is None:
            return ()
        used = [use.usage for use in uses] if fault is None else [None]
        return tuple(
            CallRecord(
                attempt=1,
                upstream=model.upstream,
                model=model.upstream_name,
                requested={"verifier": self.verifier.name, "request": subject.request_id},
                sent={},
                result=_result(fault),
                started_at=begun,
                total_s=total_s,
                usage=usage,
                cost=_cost(model, usage, fault, begun),
                error=None if fault is None else f"{fault.code}: {fault.message}",
            )
            for usage in used
        )

    def _record(
        self, subject: Subject, calls: tuple[CallRecord, ...], charge: Usd, fault: PonderError | None
    ) -> RequestRecord:
        assert self.model is not None  # noqa: S101  it was called
        spent = Usd(sum((call.cost for call in calls if call.cost is not None), ZERO))
        return RequestRecord(
            id=new_request_id(calls[0].started_at),
            started_at=calls[0].started_at,
            key_id=CALIBRATOR,
            dialect=Dialect.OPENAI_CHAT,
            endpoint=ENDPOINT,
            model_asked=self.model.name,
            stream=False,
            result=_result(fault),
            status=_ANSWERED_STATUS if fault is None else fault.http_status,
            cost=spent,
            is_cost_complete=all(call.cost is not None for call in calls),
            total_s=calls[0].total_s,
            first_byte_s=None,
            plan=None,
            calls=calls,
            error=calls[0].error,
            tags={"verification": self.policy, "request": subject.request_id},
            charged=charge if charge != spent else None,
        )


def _result(fault: PonderError | None) -> Result:
    if fault is None:
        return Result.ANSWERED
    return result_of(fault) if isinstance(fault, UpstreamError) else Result.FAILED


def _cost(model: Model, usage: Usage | None, fault: PonderError | None, at: float) -> Usd | None:
    """What a call cost; None when nobody can know."""
    if usage is None or model.price is None:
        return ZERO if isinstance(fault, UpstreamError) and fault.is_unbilled else None
    try:
        return cost(usage, model.price, at=at)
    except Unpriced:
        return None
