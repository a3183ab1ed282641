"""A run on a policy's own traffic: sampled, graded by the reference's majority, and said so; no text leaves it."""

from __future__ import annotations

import json
import logging
import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from click.testing import CliRunner, Result

from gateway.cli import ponder
from gateway.domain.money import from_nanos
from tests.calibrator.scripted import ScriptedServer, environment, policy, scripted, settings
from tests.upstreams.gateway_process import GatewayProcess, awaited

ASKS = 60
SECRET_WORD = "zanzibar"


class Opinions(ScriptedServer):
    """The models say the same, but the cheap one to every fourth ask, and nobody a thing twice to every tenth."""

    def reply(self, body: Any) -> Any:
        status, headers, answer = super().reply(body)
        model, number = self.asked[-1]
        said = 7 * number + 1
        if number % 10 == 0:
            said = len(self.asked)
        elif model == "cheap" and number % 4 == 0:
            said = 0
        answer["choices"][0]["message"]["content"] = f"Thinking of it: Answer: {said}"
        return status, headers, answer


def _policy(**items: Any) -> dict[str, Any]:
    logged = {"at_most": 50, **items}
    document = policy(0.2, items={"golden": False, "logged": logged}, canary=[1])
    document["store_text"] = True
    document["classify"] = {"chain": ["rules"], "rules": [{"when": {"tag": {"app": "sums"}}, "category": "math"}]}
    return document


@contextmanager
def _site(home: Path, document: dict[str, Any]) -> Iterator[tuple[GatewayProcess, Opinions]]:
    """A gateway whose policy has had traffic."""
    with scripted(lambda _model, _number: True, Opinions) as server:
        assert isinstance(server, Opinions)
        folder = home / "policies" / "work"
        folder.mkdir(parents=True)
        (folder / "policy.yaml").write_text(yaml.safe_dump(document, sort_keys=False), "utf-8")
        with GatewayProcess(home, settings(server.address), {}) as gateway:
            for number in range(ASKS):
                _ask(gateway, number)
            count = "select count(*) from request_texts"
            awaited(lambda: _rows(gateway, count)[0][0] == ASKS, "the traffic on record")
            server.asked.clear()
            yield gateway, server


def _ask(gateway: GatewayProcess, number: int) -> None:
    asked = {
        "model": "auto:work",
        "messages": [{"role": "user", "content": f"Item {number}: {SECRET_WORD}, seven times this and one?"}],
        "ponder": {"tags": {"app": "sums"}},
    }
    gateway.post("/v1/chat/completions", json=asked).raise_for_status()


def _rows(gateway: GatewayProcess, statement: str) -> list[Any]:
    with closing(sqlite3.connect(gateway.home / "ponder.db", timeout=30)) as database:
        return database.execute(statement).fetchall()


def _ponder(gateway: GatewayProcess, *arguments: str) -> Result:
    return CliRunner().invoke(ponder, ("calibrate", *arguments), env=environment(gateway))


def test_logged_asks_are_measured_by_agreement_with_the_reference(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Answers count as right where the reference mostly says the same; asks of which it is unsure are left out."""
    caplog.set_level(logging.DEBUG)
    with _site(tmp_path, _policy()) as (gateway, server):
        result = _ponder(gateway, "run", "--policy", "work", "--seed", "3", "--json")
        assert result.exit_code == 0, result.output
        said = json.loads(result.stdout)
        (rule,) = said["rules"]
        agreement = rule["agreement"]
        sample = agreement["sample"]
        assert (sample["requests"], sample["eligible"], sample["seen"], sample["seed"]) == (50, ASKS, ASKS, 3)
        drawn = {number for model, number in server.asked if model == "dear"}
        unsure = sum(number % 10 == 0 for number in drawn)
        assert len(drawn) == 50
        assert (agreement["items"], agreement["of_items"]) == (50 - unsure, 50 - unsure)
        assert (agreement["without_majority"], agreement["not_asked"], agreement["draws"]) == (unsure, 0, 5)
        scores = {arm["arm"]: arm["mean_score"] for arm in rule["arms_on_the_pilot"]}
        assert (scores["dear"], scores["middle"]) == (1.0, 1.0)
        asked = Counter(number for model, number in server.asked if model == "dear")
        assert {asked[number] for number in drawn if number % 10} <= {3, 4}
        assert {asked[number] for number in drawn if number % 10 == 0} == {5}
        assert Decimal(said["spent_usd"]) == from_nanos(
            _rows(gateway, "select sum(cost_nanos) from measurements")[0][0]
        )
        words = f"agreement with the reference, not truth, on {50 - unsure} of {50 - unsure} items"
        assert said["state"] == "published"
        assert words in said["note"]
        page = Path(said["reports"][0]).read_text("utf-8")
        assert page.count(words) >= 2
        (document,) = _rows(gateway, "select document from profiles")[0]
        assert json.loads(document)["rules"]["checkable"]["certificate"]["method"].endswith(words)
        assert _rows(gateway, "select count(*) from measurements where answer is not null") == [(0,)]
        listed = _ponder(gateway, "runs", "--json").stdout
        told = (result.output, page, document, listed, caplog.text, _admin(gateway, said["run"]))
        assert not any(SECRET_WORD in each for each in told)
        again = _ponder(gateway, "choose", "--run", said["run"], "--policy", "work", "--json")
        assert again.exit_code == 0, again.output
        assert set(json.loads(again.stdout)["arms"]) <= {"cheap", "middle", "dear"}


def _admin(gateway: GatewayProcess, run_id: str) -> str:
    admin = {"authorization": f"Bearer {(gateway.home / 'admin.key').read_text().strip()}"}
    return httpx.get(f"{gateway.address}/admin/runs/{run_id}", headers=admin).raise_for_status().text


def test_a_policy_that_keeps_no_texts_cannot_ask_for_them(tmp_path: Path) -> None:
    """Drawing from traffic is only for those who opted in."""
    document = _policy()
    document["store_text"] = False
    folder = tmp_path / "work"
    folder.mkdir()
    (folder / "policy.yaml").write_text(yaml.safe_dump(document, sort_keys=False), "utf-8")
    said = CliRunner().invoke(ponder, ("policy", "check", str(folder)), env={"PONDER_HOME": str(tmp_path)}).output
    assert "calibrate.items.logged: asks can be drawn only of a policy that keeps their texts" in said


def test_without_traffic_there_is_nothing_to_measure_on(tmp_path: Path) -> None:
    """The fault says which sources there are."""
    with _site(tmp_path, _policy(since="1m")) as (gateway, _):
        with closing(sqlite3.connect(gateway.home / "ponder.db", timeout=30)) as database:
            database.execute("delete from request_texts")
            database.commit()
        said = _ponder(gateway, "run", "--policy", "work")
        assert "there is nothing to measure on" in said.stderr
