"""`ponder verifiers`, by recorded chains, and by a calibration run of a real gateway before a stand-in for a vLLM."""

from __future__ import annotations

import gzip
import json
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner, Result

from gateway.cli import ponder
from tests.calibrator.commands.conftest import Ponder
from tests.calibrator.scripted import environment, truth, write_policy
from tests.search.test_verifier_look import evidence
from tests.upstreams.gateway_process import GatewayProcess, awaited
from tests.upstreams.listening import LoopThread
from tests.upstreams.searched_vllm import CONTEXT_TOKENS, MODEL, SearchedVllm

_ITEMS = 80
_SAMPLES = 8
_DECEIVES = "Surely."
_NUMBER = re.compile(r"Item (\d+)")
_POLICY: dict[str, Any] = {
    "policy": "work",
    "arms": {
        "one": {"model": MODEL, "strategy": "vote", "samples": 1},
        "best": {
            "model": MODEL, "strategy": "best_of_n", "samples": _SAMPLES, "schedule": "concurrent", "verifier": "prm",
        },
    },
    "defaults": {"arm": "one", "reference": "best", "max_cost_usd": 0.25, "deadline_s": 20},
    "rules": [
        {
            "name": "checkable",
            "when": {"category": "math"},
            "calibrated": {
                "among": ["one", "best"], "loss_at_most": 0.05, "confidence": 0.9, "until_certified": "best",
            },
        }
    ],
    "calibrate": {"every": "1d", "spend_at_most_usd": 5},
    "store_text": True,
}  # fmt: skip


def _number(text: str) -> int:
    found = _NUMBER.search(text)
    assert found is not None
    return int(found[1])


def _writes(prompt: str, seed: int) -> str:
    """Half of the answers are right, and of the others some speak with confidence."""
    right = f"Answer: {truth(_number(prompt))}"
    return right if seed % 10 < 5 else f"{_DECEIVES} Answer: 0" if seed % 10 < 8 else "Answer: 0"


def _judges(text: str) -> float:
    """A verifier that confidence deceives."""
    return 0.95 if _DECEIVES in text else 0.6 if text.endswith(truth(_number(text))) else 0.1


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[GatewayProcess]:
    """A gateway with a policy to calibrate, and a verifier that is deceived."""
    thread = LoopThread("vllm")
    server = SearchedVllm(_writes, _judges)
    thread.run(server.__aenter__())
    write_policy(tmp_path, _POLICY, _ITEMS)
    price = {"gpu_hour_usd": 2.1, "output_tokens_per_s": 700}
    settings = {
        "policy": "work",
        "upstreams": {"gpu": {"kind": "vllm", "base_url": f"http://127.0.0.1:{server.port}/v1"}},
        "models": {
            MODEL: {"upstream": "gpu", "price": price, "context_tokens": CONTEXT_TOKENS, "max_output_tokens": 64}
        },
        "verifiers": {
            "prm": {"kind": "classify", "model": MODEL, "template": "{question}\n{steps}", "aggregation": "last"}
        },
    }
    try:
        with GatewayProcess(tmp_path, settings, {}) as running:
            yield running
    finally:
        thread.run(server.__aexit__(None, None, None))
        thread.close()


def _ponder(gateway: GatewayProcess, *arguments: str) -> Result:
    return CliRunner().invoke(ponder, arguments, env=environment(gateway))


def _json(result: Result) -> Any:
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def _draws(gateway: GatewayProcess) -> tuple[int, str | None]:
    """How many samples an ask of the searching arm takes now, and what is said of it."""
    asked = {"model": "arm:work/best", "messages": [{"role": "user", "content": "Item 3: seven times, and one."}]}
    answer: httpx.Response = gateway.post("/v1/chat/completions", json=asked).raise_for_status()
    record = gateway.record(answer.headers["x-ponder-request-id"])
    return len(record["search"]["draws"]), answer.headers.get("x-ponder-degraded")


def test_a_run_examines_its_verifier_and_caps_the_searches(gateway: GatewayProcess) -> None:
    """Without anybody asking: the look is listed, the gateway follows the cap until it is lifted, and tells of both."""
    run_id = _json(_ponder(gateway, "calibrate", "run", "--policy", "work", "--json"))["run"]
    (found,) = _json(_ponder(gateway, "verifiers", "list", "--json"))
    look = found["look"]
    assert (found["name"], found["is_configured"], look["number"]) == ("prm", True, 1)
    assert look["source"] == f"run {run_id}"
    assert look["answers"] == _SAMPLES * look["problems"]
    assert found["cap"] in (1, 2)
    assert [each["samples"] for each in look["best_of"]] == [1, 2, 4, 8]
    assert look["best_of"][0]["accuracy"]["value"] > look["best_of"][3]["accuracy"]["value"]
    awaited(lambda: _draws(gateway)[0] == found["cap"], "the cap")
    assert "more lower the accuracy that verifier prm gives" in str(_draws(gateway)[1])

    again = _json(_ponder(gateway, "verifiers", "examine", "prm", "--run", run_id, "--json"))
    assert (again["number"], again["cap"], again["within"]) == (1, look["cap"], again["within"])
    shown = _ponder(gateway, "verifiers")
    assert shown.stdout.splitlines()[1].split()[0] == "prm"
    assert run_id in shown.stdout

    lifted = _ponder(gateway, "verifiers", "lift", "prm")
    assert lifted.stdout == "Searches with verifier prm draw as many samples as their arms say.\n"
    awaited(lambda: _draws(gateway) == (_SAMPLES, None), "the arm's own samples")
    assert _json(_ponder(gateway, "verifiers", "list", "--json"))[0]["cap"] is None
    assert "lifted" in _ponder(gateway, "verifiers", "list").stdout
    refused = _ponder(gateway, "verifiers", "lift", "prm")
    assert (refused.exit_code, "no cap in force" in refused.output) == (1, True)
    with closing(sqlite3.connect(gateway.home / "ponder.db")) as database:
        actions = [row[0] for row in database.execute("select action from audit_log where target = 'verifier:prm'")]
    assert actions == ["verifier.examine", "verifier.lift"]


_CONFIG = """
upstreams:
  gpu: {kind: vllm, base_url: "http://127.0.0.1:9/v1"}
models:
  prm-7b: {upstream: gpu, price: {input_per_mtok: 1, output_per_mtok: 5}}
verifiers:
  prm: {kind: outcome, model: prm-7b}
"""


def _write_traces(file: Path, problems: int, *, deceives: bool = False, has_scores: bool = True) -> None:
    """A file as `ponder search replay` reads it."""
    found: dict[str, list[dict[str, Any]]] = {}
    for sample in evidence(problems, deceives=deceives).samples:
        trace = {"answer": "1", "tokens": 9, "correct": sample.is_correct}
        found.setdefault(sample.problem, []).append({**trace, **({"prm_score": sample.score} if has_scores else {})})
    lines = (json.dumps({"id": name, "gold": "1", "traces": traces}) + "\n" for name, traces in found.items())
    with gzip.open(file, "wt", encoding="utf-8") if file.suffix == ".gz" else file.open("w", encoding="utf-8") as out:
        out.writelines(lines)


@pytest.fixture
def configured(policy: Path, config: Path) -> Path:
    """A configuration with a verifier, and where files may lie."""
    config.write_text(_CONFIG)
    return policy.parent


def test_a_verifier_is_examined_by_recorded_chains(run: Ponder, configured: Path) -> None:
    """The look is shown with the cap that it puts in force; another look that finds none leaves it there."""
    bad, good = configured / "bad.jsonl", configured / "good.jsonl.gz"
    _write_traces(bad, 80, deceives=True)
    _write_traces(good, 40)
    said = run("verifiers", "examine", "prm", "--traces", str(bad)).stdout
    assert said.startswith("Verifier prm, look 1: 1,280 answers to 80 problems, file bad.jsonl, ")
    cap = re.search(r"More than (\d) samples lower the accuracy: searches are capped at (\d)\.", said)
    assert cap is not None
    assert cap[1] == cap[2]
    [later] = [json.loads(run("verifiers", "examine", "prm", "--traces", str(good), "--json").stdout)]
    assert (later["number"], later["cap"], later["cap_in_force"]) == (2, None, int(cap[1]))
    assert [each["samples"] for each in later["curve"]] == [1, 2, 4, 8, 16]
    words = run("verifiers", "examine", "prm", "--traces", str(good)).stdout
    assert "look 2: " in words
    assert f"the cap at {cap[1]} of an earlier look stays until `ponder verifiers lift prm`." in words


def test_what_tells_nothing_is_refused(run: Ponder, configured: Path) -> None:
    """Too few problems, chains without scores, a verifier or a run that there is not, and no source at all."""
    few, bare = configured / "few.jsonl", configured / "bare.jsonl"
    _write_traces(few, 5)
    _write_traces(bare, 20, has_scores=False)
    for arguments, said in (
        (("prm", "--traces", str(few)), "80 scored answers to 5 problems"),
        (("prm", "--traces", str(bare)), "file bare.jsonl has no scores; each trace needs a prm_score"),
        (("prn", "--traces", str(few)), "there is no verifier 'prn'; there are: prm"),
        (("prm", "--run", "run_0"), "there is no run 'run_0'"),
        (("prm",), "give --run, or --traces"),
        (("prm", "--run", "run_0", "--traces", str(few)), "give --run, or --traces"),
    ):
        refused = run("verifiers", "examine", *arguments)
        assert refused.exit_code != 0
        assert said in refused.output
