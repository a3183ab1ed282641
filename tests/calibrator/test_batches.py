"""Runs that ask in their provider's batches: half the price, nothing twice, and what batches leave is asked live."""

from __future__ import annotations

import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from click.testing import CliRunner, Result

from gateway.adapters.price_list import PriceList
from gateway.cli import ponder
from gateway.domain.money import from_nanos, to_nanos
from gateway.domain.pricing import cost
from gateway.domain.usage import Usage
from tests.calibrator.scripted import environment, policy, truth, write_policy
from tests.upstreams.configuration import SECRETS
from tests.upstreams.gateway_process import GatewayProcess, awaited
from tests.upstreams.openai_batches import BatchingOpenAI
from tests.upstreams.replies import Counts, Reply

CHEAP, DEAR = "gpt-4.1-mini", "gpt-5.4"
COUNTS = Counts(prompt=100, cached=0, completion=100)
CHAT = "/v1/chat/completions"
_NUMBER = re.compile(r"Item (\d+)")


class Scripted(BatchingOpenAI):
    """OpenAI with its batches; the cheap model is wrong about every fifth item. ``asked`` has model and item."""

    def __init__(self, *, is_prompt: bool = True) -> None:
        super().__init__(is_prompt=is_prompt)
        self.asked: list[tuple[str, int]] = []
        self._says = ""

    async def _chat(self, request: web.Request, body: Any) -> web.StreamResponse:
        found = _NUMBER.search(body["messages"][-1]["content"])
        assert found is not None
        number = int(found[1])
        self.asked.append((body["model"], number))
        self._says = f"Answer: {truth(number) if body['model'] == DEAR or number % 5 else 0}"
        return await super()._chat(request, body)

    def next_reply(self, model: str) -> Reply:
        return Reply(text=self._says, counts=COUNTS)

    @property
    def live(self) -> int:
        """How many chat completions came by themselves."""
        return sum(each.path == CHAT for each in self.requests)

    @property
    def batched(self) -> list[tuple[str, str]]:
        """Model and prompt of every line that was submitted."""
        lines = [json.loads(row) for file in self.files.values() if b'"method"' in file for row in file.splitlines()]
        return [(line["body"]["model"], line["body"]["messages"][-1]["content"]) for line in lines]


def _settings(address: str, **background: Any) -> dict[str, Any]:
    return {
        "policy": "work",
        "upstreams": {
            "openai": {
                "kind": "openai",
                "base_url": f"{address}/v1",
                "api_key_env": "LOOPBACK_OPENAI",
                "provider": "openai",
                "dialects": ["openai-chat"],
            }
        },
        "models": {CHEAP: {"upstream": "openai"}, DEAR: {"upstream": "openai"}},
        "background": background,
    }


def _policy(**calibrate: Any) -> dict[str, Any]:
    given = {"spend_at_most_usd": 50, "wait": "1d", **calibrate}
    document = policy(0.2, **{name: value for name, value in given.items() if value is not None})
    document["arms"] = {"cheap": {"model": CHEAP}, "dear": {"model": DEAR}}
    document["rules"][0]["calibrated"]["among"] = ["cheap", "dear"]
    return document


@contextmanager
def _site(home: Path, server: Scripted, items: int = 40, **calibrate: Any) -> Iterator[GatewayProcess]:
    write_policy(home, _policy(**calibrate), items)
    with GatewayProcess(home, _settings(server.address), SECRETS) as gateway:
        yield gateway


@pytest.fixture(name="gpt")
def _gpt() -> Iterator[Scripted]:
    with Scripted() as server:
        yield server


def _ponder(gateway: GatewayProcess, *arguments: str) -> Result:
    return CliRunner().invoke(ponder, ("calibrate", *arguments), env={**environment(gateway), **SECRETS})


def _json(result: Result) -> Any:
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def _rows(gateway: GatewayProcess, statement: str) -> list[Any]:
    with closing(sqlite3.connect(gateway.home / "ponder.db", timeout=30)) as database:
        rows = database.execute(statement).fetchall()
        database.commit()
        return rows


def _price(model: str, tier: str) -> int:
    listed = PriceList.read().find("openai", model)
    assert listed is not None
    assert listed.price is not None
    return to_nanos(cost(Usage(input_tokens=100, output_tokens=100, service_tier=tier), listed.price, at=0.0))


def test_a_run_that_may_wait_pays_half(tmp_path: Path, gpt: Scripted) -> None:
    """All goes up in batches of one model each; the ledger has half the price, and the run what the ledger has."""
    with _site(tmp_path, gpt) as gateway:
        said = _json(_ponder(gateway, "run", "--policy", "work", "--json"))
        spent = _rows(gateway, "select model, service_tier, cost_nanos from draws")
        asked = Counter(gpt.asked)
        assert gpt.live == 0
        assert set(asked.values()) == {1}
        assert {tier for _, tier, _ in spent} == {"batch"}
        assert {(model, nanos) for model, _, nanos in spent} == {
            (model, _price(model, "batch")) for model in (CHEAP, DEAR)
        }
        assert all(2 * _price(model, "batch") == _price(model, "default") for model in (CHEAP, DEAR))
        assert Decimal(said["spent_usd"]) == from_nanos(sum(nanos for *_, nanos in spent))
        assert said["answers_in_batches"] == len(gpt.asked) == len(spent)
        assert len({json.dumps(each) for each in _rows(gateway, "select tags from requests")}) == 1
        assert json.loads(_rows(gateway, "select tags from requests")[0][0]) == {"calibration": said["run"]}
        assert _rows(gateway, "select count(*) from measurement_holds") == [(0,)]
        (rule,) = said["rules"]
        assert {arm["arm"]: arm["mean_score"] for arm in rule["arms_on_the_pilot"]}["dear"] == 1.0
        assert all(ended is not None for (ended,) in _rows(gateway, "select ended_at from measurement_batches"))


def _begun(gateway: GatewayProcess, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "gateway.cli", "calibrate", "run", *arguments]
    whole = {**os.environ, **environment(gateway), **SECRETS}
    return subprocess.Popen(command, env=whole, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def _killed(gateway: GatewayProcess, gpt: Scripted) -> str:
    """Begin a run, and kill its process when both of its batches are at the provider; its id."""
    with _begun(gateway, "--policy", "work") as process:
        awaited(lambda: len(gpt.batches) >= 2, "both batches", within_s=60)
        process.send_signal(signal.SIGKILL)
        process.communicate()
    (run,) = _json(_ponder(gateway, "runs", "--json"))
    return str(run["run"])


@pytest.mark.parametrize("is_noted", [True, False])
def test_a_killed_process_submits_nothing_twice(tmp_path: Path, is_noted: bool) -> None:
    """Whether it had noted the gateway's id or not: its batches are found again, and each pair is asked once."""
    with Scripted(is_prompt=False) as gpt, _site(tmp_path, gpt) as gateway:
        run_id = _killed(gateway, gpt)
        if not is_noted:
            _rows(gateway, "update measurement_batches set batch_id = null")
        assert _rows(gateway, "select count(*) from measurement_holds")[0][0] == len(gpt.batched)
        # Should it have held the run in the moment of its end, that would be over in some minutes.
        _rows(gateway, "update experiments set owner = null, lease_until = null")
        gpt.finish()
        said = _json(_ponder(gateway, "run", "--resume", run_id, "--json"))
        assert set(Counter(gpt.batched).values()) == {1}
        assert gpt.live == 0
        assert Decimal(said["spent_usd"]) == from_nanos(sum(_price(model, "batch") for model, _ in gpt.batched))


def test_what_a_batch_leaves_is_asked_live(tmp_path: Path, gpt: Scripted) -> None:
    """Lines that end without an answer cost nothing, and the run goes on without batches."""
    gpt.left_out = {0}
    with _site(tmp_path, gpt) as gateway:
        said = _json(_ponder(gateway, "run", "--policy", "work", "--json"))
        assert len(gpt.batches) == 2
        assert gpt.live >= 2
        assert set(Counter(gpt.asked).values()) == {1}
        count = "select count(*) from draws"
        calls = len(gpt.batched) - 2 + gpt.live
        awaited(lambda: _rows(gateway, count)[0][0] == calls, "every call on record")
        tiers = Counter(tier for (tier,) in _rows(gateway, "select service_tier from draws"))
        assert tiers["batch"] == len(gpt.batched) - 2
        assert Decimal(said["spent_usd"]) == from_nanos(
            sum(n for (n,) in _rows(gateway, "select cost_nanos from draws"))
        )


def test_what_has_waited_too_long_is_asked_live(tmp_path: Path) -> None:
    """After `calibrate.wait` the batches are cancelled, and nothing is asked in one any more."""
    with Scripted(is_prompt=False) as gpt, _site(tmp_path, gpt, wait="1h") as gateway:
        run_id = _killed(gateway, gpt)
        _rows(gateway, "update experiments set owner = null, lease_until = null, created_at = '2026-01-01 00:00:00'")
        gpt.left_out = set(range(100))
        with _begun(gateway, "--resume", run_id, "--json") as process:
            awaited(lambda: {each["status"] for each in gpt.batches.values()} == {"cancelling"}, "both cancelled")
            gpt.finish()
            said, _ = process.communicate(timeout=90)
        assert len(gpt.batches) == 2
        assert gpt.live == len(gpt.asked) > 0
        assert json.loads(said[said.index("{") :])["answers_in_batches"] == 0


def test_a_cap_without_room_for_a_whole_batch_is_spent_live(tmp_path: Path, gpt: Scripted) -> None:
    """All pairs of a batch are held at their dearest at once; where that is too much, they are asked one by one."""
    with _site(tmp_path, gpt, spend_at_most_usd=0.3) as gateway:
        said = _json(_ponder(gateway, "run", "--policy", "work", "--json"))
        assert not gpt.batches
        assert gpt.live == len(gpt.asked) > 0
        assert said["answers_in_batches"] == 0
        assert Decimal(said["spent_usd"]) <= Decimal("0.3")


def test_without_leave_to_wait_nothing_is_asked_in_batches(tmp_path: Path, gpt: Scripted) -> None:
    """`calibrate.wait` is a policy's to say."""
    with _site(tmp_path, gpt, wait=None) as gateway:
        _json(_ponder(gateway, "run", "--policy", "work", "--json"))
        assert not gpt.batches
        assert gpt.live == len(gpt.asked) > 0
