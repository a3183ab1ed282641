"""What an answered request teaches: how long its arm takes, and which arm its conversation has."""

from __future__ import annotations

from typing import Final

from gateway.dialects.conversation_id import after_answer
from gateway.domain.arm import Arm
from gateway.domain.chat import Dialect
from gateway.domain.latency import measured_as
from gateway.domain.model import Model
from gateway.domain.record import RequestRecord, Result
from gateway.domain.sticky import StickyArm, Turn
from gateway.flow.house import House

STICKY_S: Final = 3600.0
"""How long a conversation keeps its arm after its latest turn: the longest that providers keep prompts cached."""
_TELLING = (Result.ANSWERED, Result.TIMED_OUT)
"""A request given up for its deadline had at least that long; to leave it out would make slow arms look fast."""


def learn(house: House, record: RequestRecord, *, policy: str, arm: Arm, model: Model, turn: Turn | None) -> None:
    """Note what a decided request has shown. Never blocks and never fails."""
    if record.result not in _TELLING:
        return
    usages = [call.usage for call in record.calls if call.usage is not None]
    house.latencies.note(
        measured_as(policy, arm.name),
        prompt_tokens=usages[-1].prompt_tokens if usages else 0,
        output_tokens=sum(usage.output_tokens for usage in usages),
        thinking_tokens=sum(usage.thinking_tokens for usage in usages),
        load=house.lanes.to(model.upstream).under_way,
        first_byte_s=record.first_byte_s,
        total_s=record.total_s,
    )
    if record.result is Result.ANSWERED:
        kept_under = [] if turn is None else [turn.ask]
        if record.answer_id is not None and record.dialect is Dialect.OPENAI_RESPONSES:  # no other continues by an id
            kept_under.append(after_answer(record.key_id, record.answer_id))
        for ask in kept_under:
            root = ask if turn is None else turn.root
            house.sticky.put(ask, StickyArm(policy, arm.name, model.name, root), expires_s=STICKY_S)
