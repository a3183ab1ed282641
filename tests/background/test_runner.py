"""The runner: whose jobs wait after a failure, and whose go on."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from gateway.background.runner import Runner
from gateway.domain.background import Claim, Job
from gateway.domain.chat import Dialect
from gateway.domain.key import Key
from gateway.errors import UpstreamFailed
from gateway.http.shelf import Shelf
from gateway.policy.reading import read_policy
from gateway.settings import BackgroundSettings
from gateway.steering import put_in_force
from tests.adapters.journal.samples import until
from tests.flow.scripted import FixedClock, Kept, Play, ScriptedUpstream, house_of

POLICY = "policy: default\narms: {only: {model: m}}\ndefaults: {arm: only, reference: only, max_cost_usd: 1}\n"


class OneJob:
    """Stands for jobs, batches, keys and the steward: one job is due, and what rests is noted."""

    def __init__(self, job: Job) -> None:
        self._due = [Claim(job, number=1, losses=0)]
        self.at_rest: set[str] = set()

    async def claim(self, *, now: float, lease_s: float, **more: Any) -> Sequence[Claim] | None:
        """The job, once; batches are asked for without saying what rests, and there are none."""
        if "at_rest" not in more:
            return None
        rests: Mapping[str, float] = more["at_rest"]
        self.at_rest |= rests.keys()
        claims, self._due = self._due, []
        return claims

    async def put_back(self, claim: Claim, *, due_at: float) -> int:
        """The job waits."""
        return 1

    async def sweep(self) -> None:
        """Nothing is over."""

    def find_by_id(self, key_id: str) -> Key | None:
        """The job's key."""
        return Key(key_id, "app")


@pytest.mark.parametrize(("model", "rests"), [("m", "m"), ("auto", "k1"), ("arm:only", "k1")])
async def test_what_waits_for_an_upstream_keeps_nobody_else_back(model: str, rests: str) -> None:
    """Jobs of a failing model wait; where a policy decides, which may be another for each key, those of that key."""
    fault = Play(refusal=UpstreamFailed("reset", is_unbilled=True))
    house = house_of(ScriptedUpstream(Dialect.OPENAI_CHAT, fault), Kept())
    policies = put_in_force({"default": read_policy("default", POLICY)}, house.catalog.models, house.catalog.defaults)
    house.catalog = replace(house.catalog, policies=policies)
    body = {"model": model, "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 50}
    now = FixedClock().now()
    job = Job("r1", "k1", "/v1/chat/completions", model, json.dumps(body).encode(), now, now + 100)
    due: Any = OneJob(job)
    shelf = Shelf(house, jobs=due, files=due, batches=due, terms=BackgroundSettings(), ring=lambda: None)
    runner = Runner(shelf, due, due)
    runner.start()
    await until(lambda: bool(due.at_rest))
    await runner.close(within_s=5)
    assert due.at_rest == {rests}
