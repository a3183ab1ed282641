"""`ponder calibrate run`, `cancel` and `rollback`, against a real gateway in front of a model's server by script."""

from __future__ import annotations

import itertools
import json
import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
from click.testing import CliRunner, Result

from gateway.cli import ponder
from tests.calibrator.scripted import ScriptedServer, environment, site, write_policy
from tests.calibrator.scripted import policy as scripted_policy
from tests.upstreams.gateway_process import GatewayProcess, awaited

_numbers = itertools.count(1_000)


def right(model: str, number: int) -> bool:
    """The middle model is as good as the dear one, the cheap one only where it is easy."""
    return model != "cheap" or number % 3 == 0


def _ponder(gateway: GatewayProcess, *arguments: str, **more: str) -> Result:
    return CliRunner().invoke(ponder, ("calibrate", *arguments), env={**environment(gateway), **more})


def _json(result: Result) -> Any:
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_the_cheapest_certified_arms_are_published_and_tried(tmp_path: Path) -> None:
    """Each tier gets the cheapest arm that is good enough there, the version is tried, and traffic follows it."""
    with site(tmp_path, right, items=300, canary=[1]) as (gateway, _):
        page = tmp_path / "page.html"
        said = _json(_ponder(gateway, "run", "--policy", "work", "--seed", "1", "--report", str(page), "--json"))
        (rule,) = said["rules"]
        assert (said["state"], said["profile"], said["share"]) == ("published", 1, 1.0)
        arms = {cell["difficulty"]: cell["arm"] for cell in rule["cells"]}
        assert arms == {"easy": "cheap", "medium": "middle", "hard": "middle"}
        assert rule["certified"]
        assert rule["certificate"]["bound"] <= 0.05
        assert rule["relative_cost"] == pytest.approx((0.01 + 0.1 + 0.1) / 3, abs=1e-6)
        assert page.read_text("utf-8") == Path(said["reports"][0]).read_text("utf-8")
        assert said["run"] in page.read_text("utf-8")
        awaited(lambda: _decided(gateway, "easy") == "cheap", "the certified arm")
        assert _decided(gateway, "hard") == "middle"


def test_what_is_measured_is_in_the_ledger_and_in_the_admin_api(tmp_path: Path) -> None:
    """The run's cost is the sum of its requests', which carry its id as a tag; it is listed with what it measured."""
    with site(tmp_path, right, items=60) as (gateway, server):
        said = _json(_ponder(gateway, "run", "--policy", "work", "--json"))
        admin = {"authorization": f"Bearer {(gateway.home / 'admin.key').read_text().strip()}"}
        found = httpx.get(f"{gateway.address}/admin/runs/{said['run']}", headers=admin).raise_for_status().json()
        assert sum(cell["items"] for cell in found["measured"]) == len(server.asked)
        assert sum(Decimal(cell["cost_usd"]) for cell in found["measured"]) == Decimal(said["spent_usd"])
        assert (found["policy"], found["state"], found["held_usd"]) == ("work", said["state"], "0")
        listed = httpx.get(f"{gateway.address}/admin/runs?policy=work", headers=admin).json()["data"]
        assert [each["run"] for each in listed] == [said["run"]]
        assert httpx.get(f"{gateway.address}/admin/runs/none", headers=admin).status_code == 404
        plan = _recorded(gateway, said["run"])
        assert plan["reasons"] == ["the request names an arm"]


def _recorded(gateway: GatewayProcess, run_id: str) -> Any:
    """The plan of a request that the run made."""
    with closing(sqlite3.connect(gateway.home / "ponder.db")) as database:
        (request_id,) = database.execute("select request_id from measurements limit 1").fetchone()
    plan = gateway.record(str(UUID(request_id)))["plan"]
    assert plan["facts"]["tag"] == {"calibration": run_id}
    return plan


def _decided(gateway: GatewayProcess, difficulty: str) -> str:
    """The arm of a new conversation on mathematics of this difficulty."""
    prompt = f"Item {next(_numbers)}: seven times the number of this item, and one."
    asked = {
        "model": "auto:work",
        "messages": [{"role": "user", "content": prompt}],
        "ponder": {"category": "math", "difficulty": difficulty},
    }
    return str(gateway.post("/v1/chat/completions", json=asked).raise_for_status().headers["x-ponder-arm"])


def test_with_too_little_evidence_nothing_changes_and_it_is_said_why(tmp_path: Path) -> None:
    """After the pilot of a few items no chance is left; the note says how many labels it takes and what they cost."""
    with site(tmp_path, lambda model, number: model == "dear" or number % 5 > 0, items=40) as (gateway, server):
        said = _json(_ponder(gateway, "run", "--policy", "work", "--json"))
        assert (said["state"], said["profile"], said["rules"][0]["certified"]) == ("unchanged", None, False)
        assert len(server.asked) < 40 * 3
        shown = _ponder(gateway, "runs", "--json")
        (run,) = _json(shown)
        assert run["note"] == said["note"]
        assert "nothing is certified after" in said["note"]
        assert httpx.get(f"{gateway.address}/health/ready").status_code == 200
        whole = _ponder(gateway, "run", "--policy", "work").output
        assert "Nothing changes for policy work." in whole


def test_a_run_stops_before_its_cap_and_says_so(tmp_path: Path) -> None:
    """A cap that does not pay for the pilot ends the run there, with less spent than it allows."""
    with site(tmp_path, right, items=120) as (gateway, _):
        said = _json(_ponder(gateway, "run", "--policy", "work", "--spend-at-most-usd", "0.03", "--json"))
        assert said["state"] == "unchanged"
        assert said["note"] == "the cap does not pay for the pilot"
        assert 0.01 < float(said["spent_usd"]) <= 0.03


def test_an_arm_whose_model_refuses_is_wrong_and_is_not_chosen(tmp_path: Path) -> None:
    """Its refusals cost nothing, which does not make it the cheapest that is good enough."""
    with site(tmp_path, lambda _model, _number: True, items=120) as (gateway, server):
        server.refusals = {"cheap": (400, {})}
        said = _json(_ponder(gateway, "run", "--policy", "work", "--json"))
        (rule,) = said["rules"]
        assert {cell["arm"] for cell in rule["cells"]} == {"middle"}
        scores = {arm["arm"]: (arm["mean_score"], arm["mean_cost"]) for arm in rule["arms_on_the_pilot"]}
        assert scores == {"cheap": (0.0, 0.0), "middle": (1.0, 0.0002), "dear": (1.0, 0.002)}


def test_what_was_published_is_taken_back(tmp_path: Path) -> None:
    """A rollback ends the canary; with nothing left to take back it is refused."""
    with site(tmp_path, right, items=120) as (gateway, _):
        said = _json(_ponder(gateway, "run", "--policy", "work", "--items", "100", "--seed", "4", "--json"))
        assert (said["state"], said["share"]) == ("published", 0.01)
        assert _json(_ponder(gateway, "rollback", "--policy", "work", "--json"))["number"] is None
        assert "nothing to go back from" in _ponder(gateway, "rollback", "--policy", "work").stderr


def test_without_a_gateway_it_is_said_how_to_start_one(tmp_path: Path) -> None:
    """Nothing is begun where nobody answers, or the key is not known."""
    with site(tmp_path, right, items=20) as (gateway, _):
        wrong = _ponder(gateway, "run", "--policy", "work", PONDER_CALIBRATOR_KEY="sk-none")
        assert "does not take the calibrator's key" in wrong.stderr
        away = _ponder(gateway, "run", "--policy", "work", PONDER_PORT="9")
        assert "no gateway answers at http://127.0.0.1:9; start one with `ponder up`" in away.stderr
        assert _json(_ponder(gateway, "runs", "--json")) == []


def _started(gateway: GatewayProcess, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "gateway.cli", "calibrate", *arguments]
    whole = {**os.environ, **environment(gateway)}
    return subprocess.Popen(command, env=whole, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def _broken_off(gateway: GatewayProcess, server: ScriptedServer, by: signal.Signals) -> str:
    """Begin a run, and end its process while it waits for its first two answers; what it said."""
    server.is_open.clear()
    with _started(gateway, "run", "--policy", "work", "--concurrency", "2") as process:
        awaited(lambda: len(server.asked) >= 2, "the first asks", within_s=60)
        process.send_signal(by)
        said, _ = process.communicate()
    server.is_open.set()
    return said


def test_a_run_whose_process_is_killed_goes_on_where_it_was(tmp_path: Path) -> None:
    """What was measured is not asked again; what was under way is charged whole, and its pairs are free again."""
    with site(tmp_path, right, items=60) as (gateway, server):
        _broken_off(gateway, server, signal.SIGKILL)
        (run,) = _json(_ponder(gateway, "runs", "--json"))
        assert run["state"] == "measuring"
        assert Decimal(run["held_usd"]) > 0
        refused = _ponder(gateway, "run", "--policy", "work")
        assert f"ponder calibrate run --resume {run['run']}" in refused.stderr
        _forget_holds(gateway)
        said = _json(_ponder(gateway, "run", "--resume", run["run"], "--json"))
        assert said["run"] == run["run"]
        assert Decimal(said["spent_usd"]) >= Decimal(run["held_usd"])
        assert len(server.asked) - 2 == sum(rule_asks(gateway))
        ended = _ponder(gateway, "run", "--resume", run["run"])
        assert "has ended" in ended.stderr


def rule_asks(gateway: GatewayProcess) -> list[int]:
    """How many answers are kept, as the database has them."""
    with closing(sqlite3.connect(gateway.home / "ponder.db")) as database:
        return [int(count) for (count,) in database.execute("select count(*) from measurements")]


def _forget_holds(gateway: GatewayProcess) -> None:
    """Let the time of all holds be over, as it will be by itself in some minutes."""
    with closing(sqlite3.connect(gateway.home / "ponder.db")) as database:
        database.execute("update measurement_holds set until = 1")
        database.commit()


def test_a_run_that_was_begun_with_other_items_is_not_gone_on_with(tmp_path: Path) -> None:
    """Interrupted, it gave its pairs back; the refusal says how to end it, and after that another can be begun."""
    with site(tmp_path, right, items=30) as (gateway, server):
        said = _broken_off(gateway, server, signal.SIGINT)
        (run,) = _json(_ponder(gateway, "runs", "--json"))
        assert f"go on with `ponder calibrate run --resume {run['run']}`" in said
        assert (run["held_usd"], Decimal(run["spent_usd"]) > 0) == ("0", True)
        write_policy(gateway.home, scripted_policy(), 31)
        assert f"`ponder calibrate cancel {run['run']}`" in _ponder(gateway, "run", "--resume", run["run"]).stderr
        assert "is cancelled" in _ponder(gateway, "cancel", run["run"]).output
        assert "there is no open run" in _ponder(gateway, "cancel", run["run"]).stderr
        assert _json(_ponder(gateway, "run", "--policy", "work", "--json"))["run"] != run["run"]


def test_four_processes_measure_one_run_under_one_cap(tmp_path: Path) -> None:
    """No pair is asked twice, and together they spend no more than one of them may."""
    with site(tmp_path, lambda _model, _number: True, items=200, loss_at_most=0.02) as (gateway, server):
        with _started(gateway, "run", "--policy", "work", "--spend-at-most-usd", "0.2", "--json") as first:
            (run,) = awaited(lambda: _json(_ponder(gateway, "runs", "--json")), "the run", within_s=60)
            others = [_started(gateway, "run", "--resume", run["run"]) for _ in range(3)]
            assert first.wait(90) in (0, 1)
            for each in others:
                assert each.wait(90) in (0, 1)
                each.communicate()
        (ended,) = _json(_ponder(gateway, "runs", "--json"))
        assert ended["state"] in ("published", "unchanged")
        assert Decimal(ended["spent_usd"]) <= Decimal("0.2")
        assert Decimal(ended["held_usd"]) == 0
        assert len(server.asked) == len(set(server.asked))
