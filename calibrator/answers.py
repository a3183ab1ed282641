"""What is kept of an answer, however it was asked for: its score, its cost, and of a draw what it says."""

from __future__ import annotations

from calibrator.asking import Answer, Failure
from calibrator.judging import Judging
from calibrator.majority import final_answer
from calibrator.standing import Job
from gateway.domain.experiment import Measurement
from gateway.domain.money import Usd


async def measurement_of(
    job: Job, said: Answer | Failure, judging: Judging, *, at_most: Usd, now: float
) -> Measurement:
    """The measurement. What nobody knows of an answer, cost or tokens, is taken for the most that it can be."""
    text = said.text if isinstance(said, Answer) else ""
    answer = final_answer(text) if job.draw else None
    # Of a draw it is only known whether it says anything.
    score = float(answer is not None) if job.draw else await judging.score(job.item, text, job.truth)
    unknown = 0 if said.cost is not None else job.rule.most_tokens(job.arm)
    return Measurement(
        item=job.item.id,
        arm=job.name,
        category=job.item.cell[0],
        difficulty=job.item.cell[1],
        score=score,
        cost=at_most if said.cost is None else said.cost,
        tokens=said.tokens if isinstance(said, Answer) else unknown,
        latency_s=said.latency_s,
        observed_at=now,
        request_id=said.request_id if isinstance(said, Answer) else None,
        answer=answer,
    )
