"""Records to be written in tests."""

from __future__ import annotations

import uuid
from dataclasses import replace
from typing import Any

from gateway.domain.arm import Arm, Strategy
from gateway.domain.chat import Dialect
from gateway.domain.money import ZERO, usd
from gateway.domain.plan import Ceilings, Dropped, Plan
from gateway.domain.prediction import Anchor
from gateway.domain.record import CallRecord, RequestRecord, Result, StoredText
from gateway.domain.search_record import Fate, SearchDraw, SearchRecord
from gateway.domain.usage import Usage, UsageSource

NOON = 1_795_348_800.0
"""2026-11-22 12:00:00 UTC."""
DAY_S = 86_400.0


def identity(number: int, started_at: float = NOON) -> str:
    """A UUIDv7 of this moment."""
    milliseconds = int(started_at * 1000)
    return str(uuid.UUID(int=milliseconds << 80 | 7 << 76 | 2 << 62 | number))


def call(**changes: Any) -> CallRecord:
    """An answered call that cost $0.000123."""
    answered = CallRecord(
        attempt=1,
        upstream="openai",
        model="gpt-mini",
        requested={"effort": "low"},
        sent={"reasoning_effort": "low"},
        result=Result.ANSWERED,
        started_at=NOON,
        total_s=0.5,
        first_byte_s=0.25,
        status=200,
        usage=Usage(input_tokens=12, output_tokens=120, raw={"prompt_tokens": 12, "completion_tokens": 120}),
        cost=usd("0.000123"),
    )
    return replace(answered, **changes)


def request(number: int = 1, **changes: Any) -> RequestRecord:
    """An answered request of one call."""
    started_at = changes.get("started_at", NOON)
    answered = RequestRecord(
        id=identity(number, started_at),
        started_at=started_at,
        key_id="default",
        dialect=Dialect.OPENAI_CHAT,
        endpoint="/v1/chat/completions",
        model_asked="gpt-mini",
        stream=False,
        result=Result.ANSWERED,
        status=200,
        cost=usd("0.000123"),
        is_cost_complete=True,
        total_s=0.5,
        first_byte_s=0.25,
        plan=Plan(Arm("gpt-mini", "gpt-mini"), Ceilings(None, 4096, 600.0), ("the model asked for",)),
        calls=(call(),),
    )
    return replace(answered, **changes)


FULL = request(
    7,
    started_at=NOON + 0.123456,
    dialect=Dialect.ANTHROPIC_MESSAGES,
    stream=True,
    plan=Plan(
        arm=Arm(
            "step-up",
            strategy=Strategy.CASCADE,
            parameters={"escalate_below": 0.7, "votes": 8},
            verifier="prm",
            cascade=("vote", "think"),
            escalate_below=0.7,
        ),
        ceilings=Ceilings(usd("0.25"), 4096, 60.0),
        reasons=("the rule for math", "höher"),
        dropped=(Dropped("tree", "no verifier"),),
        policy="default",
        policy_digest="sha256:1",
        profile_version=3,
        category="math",
        difficulty="hard",
        propensities={"step-up": 0.97, "think": 0.03},
        rule="checkable work",
        fallbacks=(Arm("think", "claude", effort="medium", like=Anchor.STRONG), Arm("fast", "gpt-mini")),
        fallback_output_tokens={"think": 2048},
        estimated_cost=usd("0.0123"),
        is_observed=True,
        facts={"category": "math", "tokens": 120, "tag": {"app": "tutor"}},
    ),
    calls=(
        call(
            result=Result.FAILED, status=None, usage=None, cost=None, error="upstream_failed: reset", first_byte_s=None
        ),
        call(
            attempt=2,
            upstream="anthropic",
            model="claude",
            started_at=NOON + 0.623456,
            usage=Usage(
                input_tokens=1,
                cached_tokens=2,
                cache_write_5m_tokens=3,
                cache_write_1h_tokens=4,
                output_tokens=5,
                thinking_tokens=6,
                audio_input_tokens=7,
                audio_output_tokens=8,
                web_searches=9,
                service_tier="priority",
                reported_cost_usd="0.0001",
                source=UsageSource.PARTIAL,
                raw={"nested": {"list": [1, None, True, "ü"]}},
            ),
            upstream_request_id="req_1",
        ),
    ),
    is_cost_complete=False,
    degraded=("effort_capped", "fell_back"),
    answer_id="msg_1",
    finish="end",
    error="upstream_failed: reset",
    tags={"team": "blue"},
    text=StoredText(request=b'{"model":"x\xff"}', answer=b"\x00answer"),
    charged=usd("0.25"),
    search=SearchRecord(
        strategy="dvts",
        seed=7,
        verifier="prm",
        reason="the best score of 2",
        confidence=0.9,
        draws=(
            SearchDraw(0, None, None, "main", "small", Fate.STEP, 31, usd("0.001"), (0.9,), None, is_chosen=True),
            SearchDraw(1, 0, 1, "main", "small", Fate.WHOLE, 12, usd("0.002"), (0.9, 0.8), 1, is_chosen=True),
            SearchDraw(2, None, None, "main", "small", Fate.CANCELLED, 3, usd("0")),
        ),
    ),
)
"""A request with every field set."""

BARE = request(
    8,
    result=Result.REFUSED,
    status=401,
    cost=ZERO,
    first_byte_s=None,
    plan=None,
    calls=(),
)
"""A request that was turned away before anything was decided."""
