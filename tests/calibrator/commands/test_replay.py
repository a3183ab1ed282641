"""`ponder policy replay`, on a log that a policy left behind."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from gateway.domain.outcome import Outcome
from gateway.domain.record import RequestRecord
from gateway.store.base import locate
from gateway.store.connections import Connections
from gateway.store.outcomes import Outcomes
from gateway.store.schema import upgrade
from gateway.store.sinks import open_sink
from tests.calibrator.commands.conftest import Ponder
from tests.calibrator.replay.traffic import answered, policy_text, ready_policy, write_site

THEN = ("--since", "2026-11-22", "--until", "2026-11-24")


@pytest.fixture
def url(config: Path, environment: Mapping[str, str | None]) -> str:
    """A configuration with two policies, and an empty database."""
    write_site(config, work=policy_text(), newer=policy_text("newer", arms="low medium high"))
    home = Path(str(environment["PONDER_HOME"]))
    home.mkdir(parents=True)
    url = f"sqlite:///{home}/ponder.db"
    asyncio.run(upgrade(url))
    return url


def _keep(url: str, records: Sequence[RequestRecord], outcomes: Sequence[Outcome]) -> None:
    async def run() -> None:
        sink, connections = open_sink(locate(url)), Connections(locate(url), most=1)
        await sink.write(records)
        await Outcomes(connections).add(outcomes)
        await sink.close()
        await connections.close()

    asyncio.run(run())


def _log(url: str, count: int = 3_000, *, probability: float | None = 0.5) -> None:
    """Traffic of policy ``work``, every second answer of which was judged."""
    traffic = list(answered(ready_policy(policy_text(explore=0.2)), count))
    judged = [each.outcome(probability=probability) for each in traffic[::2]]
    _keep(url, [each.record for each in traffic], judged)


def _replayed(run: Ponder, *arguments: str) -> dict[str, Any]:
    result = run("policy", "replay", *arguments, *THEN, "--json")
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def test_it_tells_what_another_policy_would_have_come_to(run: Ponder, url: str) -> None:
    """Cost, latency and accuracy with intervals and effective sample sizes, overall and by category."""
    _log(url)
    found = _replayed(run, "newer")
    assert (found["decisions"], found["labelled"]) == (3_000, 1_500)
    overall = found["overall"]
    assert 0.45 < overall["moved"] < 0.6
    assert 100 < overall["effective_sample_size"] < 1_000
    for quantity in ("accuracy", "cost_usd", "latency_s"):
        measured = overall[quantity]
        assert measured["can_tell"]
        assert measured["estimate"]["lower"] < measured["estimate"]["mean"] < measured["estimate"]["upper"]
        assert measured["weighted"] is not None
    assert overall["cost_usd"]["change"]["lower"] > 0
    assert overall["cost_usd"]["known"] == 3_000
    assert {each["category"] for each in found["categories"]} == {"math", "code", "logic", "chat"}
    talk = next(each for each in found["categories"] if each["category"] == "chat")
    assert talk["moved"] == 0
    assert talk["accuracy"]["change"]["upper"] == 0


def test_the_policy_that_was_logged_gets_what_was_logged(run: Ponder, url: str) -> None:
    """With its own share of exploration nothing moves; a draft can be named by its file."""
    _log(url)
    draft = Path(url.removeprefix("sqlite:///")).parent / "draft.yaml"
    draft.write_text(policy_text(explore=0.2))
    overall = _replayed(run, str(draft))["overall"]
    assert overall["moved"] == pytest.approx(0)
    assert overall["cost_usd"]["change"]["mean"] == pytest.approx(0)
    assert overall["cost_usd"]["weighted"]["mean"] == pytest.approx(overall["cost_usd"]["logged"]["mean"])


def test_an_arm_that_was_redefined_is_out_of_reach(run: Ponder, url: str) -> None:
    """Its name is no evidence of what it does now."""
    _log(url)
    draft = Path(url.removeprefix("sqlite:///")).parent / "draft.yaml"
    draft.write_text(policy_text(explore=0.2).replace("medium: {model: sonnet", "medium: {model: haiku"))
    overall = _replayed(run, str(draft))["overall"]
    assert overall["out_of_reach"]["medium"] > 0.4
    assert not overall["accuracy"]["can_tell"]


def test_sources_are_told_apart_and_assumptions_said(run: Ponder, url: str) -> None:
    """A source that there is not is refused with those that there are; unknown probabilities are an assumption."""
    _log(url, probability=None)
    assert any("nobody said with what probability" in each for each in _replayed(run, "newer")["assumptions"])
    assert _replayed(run, "newer", "--reward-source", "tests")["labelled"] == 1_500
    result = run("policy", "replay", "newer", *THEN, "--reward-source", "user")
    assert result.exit_code == 1
    assert "there is tests" in result.stderr


def test_it_says_when_the_log_cannot_tell(run: Ponder, url: str) -> None:
    """Too little of it, none of it in the period, or another policy's alone."""
    _log(url, 100)
    shown = run("policy", "replay", "newer", *THEN).stdout
    assert "fewest that tell" in shown
    before = ("--since", "2026-11-01", "--until", "2026-11-22")
    assert "no decision is left" in run("policy", "replay", "newer", *before).stdout
    assert _replayed(run, "newer", "--policy", "newer")["decisions"] == 0


def test_a_faulty_time_is_refused(run: Ponder, url: str) -> None:
    """With what would be accepted."""
    result = run("policy", "replay", "newer", "--since", "yesterday")
    assert result.exit_code == 2
    assert "7d" in result.stderr
    assert url


def test_a_published_version_can_be_followed_before_it_is_in_force(run: Ponder, url: str) -> None:
    """One that there is not is refused by its number."""
    _log(url, 100)
    result = run("policy", "replay", "newer", *THEN, "--profile", "3")
    assert result.exit_code == 1
    assert "has no version 3" in result.stderr
    assert _replayed(run, "newer", "--profile", "0")["profile_version"] is None
