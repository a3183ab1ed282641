"""A home with traffic, a profile and a run in its database, hostile texts among them, before its gateway starts."""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from gateway.domain.arm import Arm, Strategy
from gateway.domain.experiment import Experiment, Measurement
from gateway.domain.money import ZERO, usd
from gateway.domain.plan import Ceilings, Dropped, Plan
from gateway.domain.record import RequestRecord, Result
from gateway.domain.savings import Accuracy, ArmAnswers, Beside, Bounded, PolicySavings, Savings, Scope
from gateway.domain.search_record import Fate, SearchDraw, SearchRecord
from gateway.store import schema
from gateway.store.base import locate
from gateway.store.changes import Changes
from gateway.store.connections import Connections
from gateway.store.experiments import Experiments
from gateway.store.measurements import Measurements
from gateway.store.profiles import Profiles
from gateway.store.rollouts import Rollouts
from gateway.store.rollups import Rollups
from gateway.store.savings import StoredSavings
from gateway.store.sinks import open_sink
from tests.store.profiles import document
from tests.store.records import call, identity, request
from tests.store.tenants import OPERATOR

HOSTILE = "</td><script>alert(1)</script><img src=x onerror=alert(2)>\"'&"
"""What somebody might send as a model's name, to see whether a page runs it."""
RUN = "run_0192"
CONFIGURATION: dict[str, Any] = {
    "upstreams": {
        name: {"kind": "openai", "base_url": "http://127.0.0.1:9/v1", "allow_private": True}
        for name in ("anthropic", "gpu")
    },
    "models": {
        "haiku": {"upstream": "anthropic", "price": {"input_per_mtok": "0.8", "output_per_mtok": "4"}},
        "sonnet": {"upstream": "anthropic", "price": {"input_per_mtok": "3", "output_per_mtok": "15"}},
        "local": {"upstream": "gpu", "price": "free"},
    },
}
"""The models of that traffic. Nobody answers for them, as nobody is asked."""
DAY_S = 86_400.0

_ARMS = ("fast", "think", "think-hard", "vote")
_CATEGORIES = ("math", "code", "extraction", "chat", "knowledge")


def seed(home: Path, now: float, *, requests: int = 600, is_tidy: bool = False) -> str:
    """Fill the database of a home; returns the id of a request with a search, whose texts are hostile or tidy."""
    home.mkdir(parents=True, exist_ok=True)
    url = f"sqlite:///{home}/ponder.db"
    asyncio.run(_seed(url, now, requests, TIDY_TEXTS if is_tidy else HOSTILE_TEXTS))
    return identity(1, now - 5)


async def _seed(url: str, now: float, number: int, text: Texts) -> None:
    await schema.upgrade(url)
    database = locate(url)
    sink, connections, changes = open_sink(database), Connections(database, most=2), Changes(database)
    draw = random.Random(7)
    await sink.write([searched(now - 5, text), *(_usual(each, now, draw) for each in range(2, number + 2))])
    await Rollups(connections).sum_up(now, kept_since=now - 30 * DAY_S)
    await _calibrated(connections, changes, now, text)
    for each in _saved(now, text):
        await StoredSavings(connections).keep(each)
    for each in (sink, connections, changes):
        await each.close()


@dataclass(frozen=True, slots=True)
class Texts:
    """What one request holds that somebody else wrote."""

    model: str
    arm: str
    reason: str
    dropped: str
    rule: str
    tag: str
    effort: str
    drawn_by: str
    why: str
    category: str
    error: str | None


HOSTILE_TEXTS = Texts(*[HOSTILE] * 11)
TIDY_TEXTS = Texts(
    model="auto",
    arm="tree",
    reason="calibrated for math, very hard",
    dropped="its verifier is not configured",
    rule="checkable work follows the calibrated profile",
    tag="tutor",
    effort="none",
    drawn_by="local",
    why="the best score of 2 whole chains",
    category="code",
    error=None,
)


def searched(at: float, text: Texts) -> RequestRecord:
    """A request answered by a search, with these texts."""
    arm = Arm(text.arm, "local", strategy=Strategy.BEAM, parameters={"beams": 4}, verifier="prm")
    draws = (
        SearchDraw(0, None, None, "main", "local", Fate.STEP, 31, usd("0.001"), (0.9,), None, is_chosen=True),
        SearchDraw(1, None, None, "main", "local", Fate.STEP, 29, usd("0.001"), (0.4,)),
        SearchDraw(2, 0, None, "main", text.drawn_by, Fate.STEP, 40, usd("0.001"), (0.9, 0.8), None, is_chosen=True),
        SearchDraw(3, 0, None, "main", "local", Fate.CANCELLED, 3, ZERO),
        SearchDraw(4, 1, None, "main", "local", Fate.FAILED, 0, ZERO),
        SearchDraw(5, 2, None, "main", "local", Fate.WHOLE, 22, usd("0.002"), (0.9, 0.8, 0.95), 5, is_chosen=True),
        SearchDraw(6, 2, 1, "main", "local", Fate.WHOLE, 25, usd("0.002"), (0.9, 0.6, 0.7), 5),
    )
    plan = Plan(
        arm,
        Ceilings(usd("0.25"), 4096, 60.0),
        ("the rule for math", text.reason),
        dropped=(Dropped("vote", text.dropped), Dropped("think", "costs more than $0.25")),
        policy="default",
        category="math",
        difficulty="very_hard",
        propensities={text.arm: 0.97, "think": 0.03},
        rule=text.rule,
        fallbacks=(Arm("think", "claude"),),
        facts={"category": "math", "tag": {"app": text.tag}},
    )
    one = call(
        started_at=at, model="local", upstream="gpu", cost=usd("0.0087"), total_s=3.9, error=text.error,
        requested={"effort": text.effort},
    )  # fmt: skip
    return replace(
        request(1, started_at=at),
        key_id="default",
        model_asked=text.model,
        cost=usd("0.0087"),
        total_s=4.1,
        plan=plan,
        calls=(one,),
        error=text.error,
        tags={"app": text.tag},
        degraded=() if text.error is None else ("fell_back",),
        search=SearchRecord("beam", 7, "prm", text.why, 0.93, draws),
    )


def _usual(number: int, now: float, draw: random.Random) -> RequestRecord:
    """A request of the last week, more of them by day than by night."""
    at = now - 10 - 7 * DAY_S * draw.random() ** 1.5 if number > 40 else now - 8 * number
    category, arm = draw.choice(_CATEGORIES), draw.choice(_ARMS)
    model = {"fast": "haiku", "vote": "local"}.get(arm, "sonnet")
    cost = usd(str(round(draw.uniform(0.2, 2.5) * {"fast": 0.001, "vote": 0.002}.get(arm, 0.02), 9)))
    result = Result.ANSWERED if draw.random() < 0.97 else draw.choice([Result.FAILED, Result.TIMED_OUT])
    total_s = draw.uniform(0.3, 2.0) * {"fast": 1, "vote": 3}.get(arm, 6)
    upstream = "gpu" if model == "local" else "anthropic"
    one = call(
        model=model, upstream=upstream, cost=cost, result=result, started_at=at, total_s=total_s, first_byte_s=0.2
    )
    plan = Plan(
        Arm(arm, model), Ceilings(None, 4096, 60.0), ("the rule for it",),
        policy="default", category=category, difficulty=draw.choice(["easy", "medium", "hard"]),
    )  # fmt: skip
    return replace(
        request(number, started_at=at),
        key_id="default",
        model_asked="auto",
        result=result,
        status=200 if result is Result.ANSWERED else 502,
        cost=cost,
        total_s=total_s,
        first_byte_s=draw.uniform(0.1, 0.9),
        plan=plan,
        calls=(one,),
    )


async def _calibrated(connections: Connections, changes: Changes, now: float, text: Texts) -> None:
    """A run with measurements, two versions of a profile, and a canary of the second."""
    draw = random.Random(8)
    target = {"rules": {"checkable work": {"items": 150, "arms": ["fast", "vote", "think", "think-hard"]}}}
    about = Experiment(RUN, "default", "p" * 64, "d" * 64, 7, target, usd("5"), now - 4000, "calibrator")
    await Experiments(connections).create(about)
    costs = {"fast": 0.001, "vote": 0.003, "think": 0.01, "think-hard": 0.03}
    rights = {"fast": 0.7, "vote": 0.82, "think": 0.9, "think-hard": 0.92}
    measured = [
        Measurement(
            item=f"{category}-{number}",
            arm=arm,
            category=category,
            difficulty=None,
            score=float(draw.random() < right + (0.07 if category == "code" else 0)),
            cost=usd(str(round(costs[arm] * draw.uniform(0.5, 1.5), 9))),
            tokens=100,
            latency_s=1.0,
            observed_at=now - 3900,
        )
        for category in ("math", "code")
        for number in range(60)
        for arm, right in rights.items()
    ]
    await Measurements(connections).add(RUN, measured)
    profiles, rollouts = Profiles(changes), Rollouts(changes)
    for number, cells in ((1, {("math", None): "think"}), (2, {("math", None): "think", ("code", None): "vote"})):
        said = document("default", rule=text.rule if number == 1 else "checkable work", cells=cells)
        await profiles.publish(
            said, number=number, expires_at=now + 30 * DAY_S, by=OPERATOR, experiment_id=RUN, report="reports/1.html"
        )
    await rollouts.activate("default", 1, reason="certified", by=OPERATOR)
    await rollouts.begin_canary("default", 2, share=0.05, by=OPERATOR)


def _saved(now: float, text: Texts) -> tuple[PolicySavings, ...]:
    """What was estimated of two policies: of one in part, and of one that none can be told of."""
    reference = Beside(Bounded(0.62, 0.57, 0.66), Bounded(-0.004, -0.019, 0.011), 412.3, 380, (), ())
    unknown = Beside(None, None, 21.0, 3, ("the effective sample size is 21",), ("the effective sample size is 21",))
    doubt = "of the decisions whose value is known 12 are left as an effective sample size"
    arms = (
        ArmAnswers("fast", 2_900, 0.00131, (Accuracy("user", 212, Bounded(0.906, 0.859, 0.938)),)),
        ArmAnswers("think", 110, 0.0189, ()),
    )
    savings = Savings(
        reference="think-hard",
        decisions=7_420,
        left_out={"followed": 1_204, "named": 88},
        shares={"fast": 0.61, "think": 0.31, "think-hard": 0.08},
        scopes=(
            Scope(None, 7_420, 6_820, 0.0071, reference, ()),
            Scope("math", 4_410, 4_410, 0.0083, reference, arms),
            Scope(text.category, 3_010, 2_410, 0.0052, unknown, (ArmAnswers(text.arm, 3_010, None, ()),)),
        ),
        dealt=5_930,
        control=Beside(Bounded(0.064, 0.021, 0.108), None, 530.1, 12, (), (doubt,)),
    )
    note = "none of the requests that were looked at was decided afresh (40 observed)"
    return (
        PolicySavings("default", now - 7 * DAY_S, now, 8_712, savings, None),
        PolicySavings("thrift", now - 7 * DAY_S, now, 40, None, note),
    )


if __name__ == "__main__":
    # For tests whose own environment cannot import the gateway: a home, and whether its texts are tidy.
    made = seed(Path(sys.argv[1]), time.time(), is_tidy=sys.argv[2] == "tidy")
    print(json.dumps({"request_id": made, "configuration": CONFIGURATION, "run": RUN}))
