"""A head over likelihoods: read through a configured upstream, learnt on labels, reported on, configured."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web
from click.testing import CliRunner, Result

from calibrator.prm.commands import prm
from calibrator.prm.labels import Chain, write_chains
from calibrator.prm.likelihood import Reading, fit, scored
from calibrator.prm.scored import read_scored
from gateway.adapters.verifiers.likelihood import Surprise
from gateway.errors import BudgetExhausted, ConfigurationError
from gateway.verifier_settings import LikelihoodSettings, LikelihoodWeights
from tests.upstreams.listening import ProviderServer

_DOUBT = -6.0
"""How likely the model holds a bad step, as a logarithm."""


class _Doubting(ProviderServer):
    """It echoes what it reads, a token a character, and holds every ``b`` for unlikely."""

    def routes(self) -> list[web.RouteDef]:
        return [web.post("/v1/completions", self._completions)]

    async def refuse_path(self, request: web.Request) -> web.StreamResponse:
        return self.send_json({"error": {"message": "no such path"}}, {}, status=404)

    async def _completions(self, request: web.Request) -> web.StreamResponse:
        body = json.loads(await self.record(request))
        assert (body["echo"], body["max_tokens"], body["logprobs"]) == (True, 0, 0)
        (text,) = body["prompt"]
        logprobs = [None, *(_DOUBT if letter == "b" else -0.01 for letter in text[1:])]
        choice = {"index": 0, "text": text, "logprobs": {"tokens": list(text), "token_logprobs": logprobs}}
        usage = {"prompt_tokens": len(text), "completion_tokens": 1, "total_tokens": len(text) + 1}
        return self.send_json({"choices": [choice], "usage": usage}, {})


@pytest.fixture
def server() -> Iterator[_Doubting]:
    """The model's server."""
    with _Doubting() as running:
        yield running


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    """Chains of good and bad steps: right as long as none was bad."""
    source = random.Random(5)
    chains = []
    for number in range(80):
        steps = tuple("bad\n" if source.random() < 0.3 else "good\n" for _ in range(3))
        values = tuple(float("bad\n" not in steps[: place + 1]) for place in range(3))
        chains.append(
            Chain(f"p{number // 2}", number % 2, "what?", steps, bool(values[-1]), str(number % 2), values=values)
        )
    file = tmp_path / "labels.jsonl"
    write_chains(file, {"imported": "made"}, chains)
    return file


def _run(server: _Doubting, home: Path, *arguments: str, price: Any = "free") -> Result:
    config = home / "ponder.yaml"
    upstream = {"kind": "vllm", "base_url": f"{server.address}/v1"}
    model = {"upstream": "gpu", "price": price}
    config.write_text(yaml.safe_dump({"upstreams": {"gpu": upstream}, "models": {"judge": model}}))
    environment = {"PONDER_CONFIG": str(config), "PONDER_HOME": str(home / "state")}
    return CliRunner().invoke(prm, list(arguments), env=environment)


def test_a_head_is_learnt_reported_and_configured(server: _Doubting, labels: Path, tmp_path: Path) -> None:
    """On held-out problems bad is told from good, and what is printed for ponder.yaml is what the gateway takes."""
    out = tmp_path / "head"
    train = ("train", str(labels), "--likelihood-of", "judge", "--out", str(out), "--template", "{question}\\n{steps}")
    result = _run(server, tmp_path, *train)
    assert result.exit_code == 0, result.output
    held_out = read_scored(out / "held_out.jsonl")
    assert held_out
    assert all((chain.scores[-1] > 0.5) == chain.is_right for chain in held_out)
    report = _run(server, tmp_path, "report", str(out), "--held-out", str(labels))
    assert "| `last` | 1.000" in report.output
    snippet = yaml.safe_load(report.output.partition("```yaml\n")[2].partition("```")[0])
    settings = LikelihoodSettings.model_validate(snippet["verifiers"]["head"])
    assert settings.model == "judge"
    assert settings.template == "{question}\n{steps}"
    assert settings.weights.token > 0


def test_what_is_spent_stays_under_the_cap(server: _Doubting, labels: Path, tmp_path: Path) -> None:
    """A model that costs something needs a cap, and reading ends before it would be exceeded."""
    price = {"input_per_mtok": 1000, "output_per_mtok": 1000}
    train = ("train", str(labels), "--likelihood-of", "judge", "--out", str(tmp_path / "head"))
    assert "--spend-at-most-usd" in str(_run(server, tmp_path, *train, price=price).exception)
    stopped = _run(server, tmp_path, *train, "--spend-at-most-usd", "0.5", "--concurrency", "2", price=price)
    assert isinstance(stopped.exception, BudgetExhausted)
    read = sum(len(call.json["prompt"][0]) + 1 for call in server.requests)
    assert 0.3 < read * 1000 / 1_000_000 <= 0.5


def test_one_of_base_and_likelihood(labels: Path, tmp_path: Path) -> None:
    """A head is learnt over a configured model, or a model is trained: not both, and not neither."""
    for given in ((), ("--base", str(tmp_path), "--likelihood-of", "judge")):
        result = CliRunner().invoke(prm, ["train", str(labels), "--out", str(tmp_path / "out"), *given])
        assert result.exit_code == 2
        assert "one of --base and --likelihood-of" in result.output


def _reading(surprise: float, value: float | None) -> Reading:
    chain = Chain("p", 0, "q", ("s",), None if value is None else bool(value), values=(value,))
    return Reading(chain, (Surprise(surprise, surprise),))


def test_the_fit_is_that_of_the_labels() -> None:
    """Where a third of certain steps and a tenth of doubted ones are right, the head says so."""
    certain = [_reading(0.0, float(number < 60)) for number in range(90)]
    doubted = [_reading(-4.0, float(number < 9)) for number in range(90)]
    weights = fit([*certain, *doubted])
    told = scored([certain[0], doubted[0]], weights)
    assert told[0].scores[0] == pytest.approx(2 / 3, abs=0.01)
    assert told[1].scores[0] == pytest.approx(0.1, abs=0.01)


def test_likelihood_never_speaks_against_a_step() -> None:
    """Where unlikely steps happen to be right more often, the weights are 0, and the bias the share of right ones."""
    weights = fit([*(_reading(0.0, 0.0) for _ in range(10)), *(_reading(-4.0, 1.0) for _ in range(30))])
    assert (weights.step, weights.token) == (0, 0)
    assert weights.bias == pytest.approx(math.log(3), abs=0.02)


def test_labels_without_a_judged_step_teach_nothing() -> None:
    """Said, rather than a head that knows nothing."""
    with pytest.raises(ConfigurationError, match="none of the steps"):
        fit([_reading(0.0, None)])


def test_chains_nobody_judged_are_not_scored() -> None:
    """The report is of chains that are known to be right or wrong."""
    assert scored([_reading(0.0, None)], LikelihoodWeights(bias=0, step=1, token=1)) == []
