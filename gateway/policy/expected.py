"""What an ask is expected to cost by an arm, from the usual length of the arm's answers."""

from __future__ import annotations

from decimal import Decimal

from gateway.domain.money import Usd, usd
from gateway.policy.arms import ReadyArm
from gateway.policy.facts import Facts, Snapshots


def expected_cost(arm: ReadyArm, facts: Facts, snapshots: Snapshots, output_tokens: int | None) -> Usd | None:
    """The expected cost with this output limit a call; None for an arm of several models, or of unknown length.

    A search reads the prompt once per call, so its prompt counts for as many calls as it may make.
    """
    usual = snapshots.latencies.usual_tokens(arm.arm.name)
    if usual is None or len(arm.legs) != 1:
        return None
    leg = arm.legs[0]
    if leg.model.price is None:
        return None
    rates = leg.model.price.standard.at(facts.prompt_tokens)
    limit = None if output_tokens is None else output_tokens * leg.calls
    written = usual.output if limit is None else min(usual.output, limit)
    return usd(facts.prompt_tokens * leg.calls * rates.input + Decimal(written) * rates.output)
