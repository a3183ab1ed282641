"""Calibrated decisions end to end: a real gateway follows what is published, tried and taken back beside it."""

from __future__ import annotations

import itertools
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway.adapters.policy_files import PolicyFiles
from gateway.domain.record import Result
from gateway.domain.rollout import CanaryStanding
from gateway.settings import load
from gateway.steering import put_in_force
from gateway.store.base import locate
from gateway.store.canary_evidence import CanaryEvidence, DrawnRequest
from gateway.store.changes import Changes
from gateway.store.connections import Connections
from gateway.store.profiles import Profiles
from gateway.store.rollouts import Rollouts
from gateway.wiring import catalog
from tests.store.profiles import changed, document
from tests.store.records import NOON
from tests.store.tenants import OPERATOR
from tests.upstreams import configuration
from tests.upstreams.anthropic_server import AnthropicServer
from tests.upstreams.gateway_process import GatewayProcess, awaited
from tests.upstreams.openai_server import OpenAIServer

pytest_plugins = ("tests.upstreams.fixtures",)

NEVER = NOON + 9e8
POLICY: dict[str, Any] = {
    "policy": "house",
    "arms": {"fast": {"model": "gpt-4.1-mini"}, "think": {"model": "claude-sonnet-4-6"}},
    "defaults": {"arm": "think", "reference": "think", "max_cost_usd": 0.5},
    "rules": [
        {
            "name": "checkable",
            "when": {"category": "math"},
            "calibrated": {
                "among": ["fast", "think"],
                "loss_at_most": 0.02,
                "confidence": 0.9,
                "until_certified": "think",
            },
        }
    ],
}
_numbers = itertools.count(3)


def _digest(home: Path) -> str:
    """What a certificate must have been made for to be the rule's, as a calibrator beside the gateway finds it."""
    settings = load(home / "ponder.yaml")
    known, _ = catalog(settings, configuration.SECRETS, embedded_url=None)
    policies = PolicyFiles(home / "ponder.yaml").read(settings)
    return put_in_force(policies, known.models, known.defaults)["house"].ready.rules[0].certificate_digest


@dataclass(frozen=True, slots=True)
class Site:
    """A gateway, and a calibrator beside it."""

    gateway: GatewayProcess
    digest: str

    def change(self, change: Callable[[Changes], Awaitable[object]]) -> None:
        """Change what is published or in force."""

        async def run(changes: Changes) -> None:
            await change(changes)

        changed(self.gateway.home, run)

    def publish(self, number: int, arm: str, *, digest: str | None = None, expires_at: float = NEVER) -> None:
        """A version that certifies an arm for mathematics."""
        certified = document("house", arm=arm, rule_digest=digest or self.digest)
        self.change(
            lambda changes: Profiles(changes).publish(certified, number=number, expires_at=expires_at, by=OPERATOR)
        )

    def activate(self, number: int) -> None:
        """Put a version in force."""
        self.change(lambda changes: Rollouts(changes).activate("house", number, reason="calibrated", by=OPERATOR))

    def roll_back(self) -> None:
        """Take back what came last."""
        self.change(lambda changes: Rollouts(changes).roll_back("house", reason="it harms", by=OPERATOR))

    def decided(self) -> tuple[str, int | None, str]:
        """The arm, the profile's version and the reason of a new conversation on mathematics."""
        sum_ = f"Compute the derivative of x^{next(_numbers)} * sin(x) and evaluate it at x = 2."
        asked = {"model": "auto", "messages": [{"role": "user", "content": sum_}], "ponder": {"category": "math"}}
        answer = self.gateway.post("/v1/chat/completions", json=asked).raise_for_status()
        plan = self.gateway.record(answer.headers["x-ponder-request-id"])["plan"]
        return plan["arm"], plan["profile_version"], " ".join(plan["reasons"])

    def comes_to(self, arm: str, version: int | None) -> None:
        """Wait until a new conversation is decided like this."""
        awaited(lambda: self.decided()[:2] == (arm, version), f"{arm} by version {version}")


@pytest.fixture
def site(
    tmp_path: Path, openai_server: OpenAIServer, anthropic_server: AnthropicServer, compatible_server: OpenAIServer
) -> Iterator[Site]:
    """Nothing published yet."""
    settings = configuration.providers(openai_server.address, anthropic_server.address, compatible_server.address)
    settings["policy"] = "house"
    (tmp_path / "policies" / "house").mkdir(parents=True)
    (tmp_path / "policies" / "house" / "policy.yaml").write_text(yaml.safe_dump(POLICY, sort_keys=False), "utf-8")
    with GatewayProcess(tmp_path, settings, configuration.SECRETS) as process:
        yield Site(process, _digest(tmp_path))


def test_decisions_follow_what_is_published_and_taken_back(site: Site) -> None:
    """From the policy's own arm to the certified one, on to the next version, and back, without a reload or restart."""
    assert site.decided()[:2] == ("think", None)
    site.publish(1, "fast")
    assert site.decided()[:2] == ("think", None)
    site.activate(1)
    site.comes_to("fast", 1)
    site.publish(2, "think")
    site.activate(2)
    site.comes_to("think", 2)
    site.roll_back()
    site.comes_to("fast", 1)
    site.roll_back()
    site.comes_to("think", None)


def test_a_canary_takes_its_share_of_conversations(site: Site) -> None:
    """Some new conversations have the tried version and the others the present one; widened to all, all have it."""
    site.publish(1, "think")
    site.publish(2, "fast")
    site.activate(1)
    site.comes_to("think", 1)
    site.change(lambda changes: Rollouts(changes).begin_canary("house", 2, share=0.5, by=OPERATOR))
    site.comes_to("fast", 2)
    site.comes_to("think", 1)

    async def widen(changes: Changes) -> None:
        rollouts = Rollouts(changes)
        canary = (await rollouts.find("house")).canary
        assert canary is not None
        await rollouts.widen_canary(canary, share=1, by=OPERATOR)

    site.change(widen)
    awaited(lambda: {site.decided()[:2] for _ in range(8)} == {("fast", 2)}, "the canary for all")
    site.roll_back()
    awaited(lambda: {site.decided()[:2] for _ in range(4)} == {("think", 1)}, "the version before")


def test_what_conversations_drew_is_on_record_for_the_guard(site: Site) -> None:
    """By key and opening: the same one draws the same version again, and the record says which, with its chance."""
    site.publish(1, "think")
    site.publish(2, "fast")
    site.activate(1)
    site.comes_to("think", 1)
    began: list[CanaryStanding] = []

    async def begin(changes: Changes) -> None:
        began.append(await Rollouts(changes).begin_canary("house", 2, share=0.5, by=replace(OPERATOR, at=time.time())))

    site.change(begin)
    site.comes_to("fast", 2)
    asked = {"model": "auto", "messages": [{"role": "user", "content": "2+2?"}], "ponder": {"category": "math"}}
    for _ in range(3):
        site.gateway.post("/v1/chat/completions", json=asked).raise_for_status()
    _, version, _ = site.decided()

    async def drawn(_: Changes) -> list[DrawnRequest]:
        connections = Connections(locate(f"sqlite:///{site.gateway.home}/ponder.db"), most=1)
        evidence = CanaryEvidence(connections)
        found = await evidence.served(began[0], since=0.0, until=time.time(), limit=99)
        await connections.close()
        return list(found)

    *_, first, second, third, last = changed(site.gateway.home, drawn)
    assert first.point == second.point == third.point != last.point
    assert (first.is_new, last.is_new) == (second.is_new, version == 2)
    assert (last.share, last.rule, last.category, last.result) == (0.5, "checkable", "math", Result.ANSWERED)


def test_what_a_certificate_does_not_cover_is_not_decided_by_it(site: Site) -> None:
    """A certificate of another rule's targets or models, and one whose time is over, leave the policy's own arm."""
    site.publish(1, "fast", digest="0" * 64)
    site.activate(1)
    awaited(lambda: "does not certify this rule as it is now" in site.decided()[2], "the reason")
    assert site.decided()[:2] == ("think", None)
    site.publish(2, "fast", expires_at=OPERATOR.at + 1)
    site.activate(2)
    awaited(lambda: "profile 2 has expired" in site.decided()[2], "the reason")
    assert site.decided()[:2] == ("think", None)


def test_a_reload_keeps_the_profile(site: Site) -> None:
    """Configuration that is taken up anew is decided by the same profile, and what is flipped meanwhile holds."""
    site.publish(1, "fast")
    site.activate(1)
    site.comes_to("fast", 1)
    file = site.gateway.home / "ponder.yaml"
    site.gateway.configure({**yaml.safe_load(file.read_text("utf-8")), "cors": {"allow_origins": ["http://x.test"]}})
    awaited(lambda: "configuration loaded" in site.gateway.log, "the reload")
    assert site.decided()[:2] == ("fast", 1)
