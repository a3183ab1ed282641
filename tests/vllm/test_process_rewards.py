"""`ponder prm` on a real vLLM: labels of the small reasoner's steps, and the reward model that was trained on such."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from statistics import fmean

import pytest
from click.testing import CliRunner

from calibrator.prm.commands import prm
from calibrator.prm.labels import read_chains
from calibrator.prm.quality import Scored, measure
from calibrator.prm.scored import read_scored
from gateway.domain.verification import Chain, Problem
from gateway.search.aggregate import Aggregation
from tests.reasoner.items import item
from tests.reasoner.tasks import fresh, parse, step_labels
from tests.reasoner.train_prm import TEMPLATE, WEIGHTS
from tests.vllm.servers import ENVIRONMENT, ROOT, Vllm
from tests.vllm.test_verifiers import verifier

pytestmark = pytest.mark.vllm

_EACH = 10
_CHAINS = 4
_PATIENCE_S = 60.0
_LEAST_AUC = 0.85


@pytest.fixture(scope="module")
def labels(small: Vllm, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Labelled steps of answers to fresh problems of middling difficulty."""
    folder = tmp_path_factory.mktemp("labels")
    problems = [problem for operations in (4, 8) for problem in fresh("test", operations, _EACH, seed=23)]
    (folder / "items.jsonl").write_text("".join(f"{json.dumps(item(each))}\n" for each in problems))
    (folder / "ponder.yaml").write_text(
        f"upstreams: {{gpu: {{kind: vllm, base_url: '{small.base_url}'}}}}\n"
        f"models: {{small: {{upstream: gpu, name: {small.model}, price: free}}}}\n"
    )
    environment = {"PONDER_CONFIG": str(folder / "ponder.yaml"), "PONDER_HOME": str(folder / "home")}
    options = ["--model", "small", "--boundary", "newline", "--max-tokens", "256", "--chains", str(_CHAINS)]
    out = folder / "labels.jsonl"
    command = ["label", str(folder / "items.jsonl"), "--out", str(out), *options, "--per-prefix", "4"]
    result = CliRunner().invoke(prm, command, env=environment)
    assert result.exit_code == 0, result.output
    return out


def test_labels_tell_right_beginnings_from_wrong_ones(labels: Path) -> None:
    """By the exact checker, prefixes that are still right end right far more often than those that are not."""
    chains = read_chains(labels)
    assert len(chains) == 2 * _EACH * _CHAINS
    values: dict[bool, list[float]] = {True: [], False: []}
    for chain in chains:
        assert all(step.endswith("\n") for step in chain.steps[:-1])
        checked = step_labels(parse(chain.question), [step.rstrip("\n") for step in chain.steps])
        for is_right, value in zip(checked, chain.values, strict=True):
            assert value is not None
            values[is_right].append(value)
    assert fmean(values[True]) > fmean(values[False]) + 0.4


@pytest.fixture(scope="module")
def scored(labels: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Scored]:
    """The same answers with the scores that training's own program gives their steps."""
    file = tmp_path_factory.mktemp("scored") / "scored.jsonl"
    asked = {"do": "score", "threads": 1, "labels": str(labels), "base": str(WEIGHTS / "prm"), "out": str(file)}
    python = str(ENVIRONMENT / "bin" / "python")
    subprocess.run([python, "-m", "calibrator.prm.reward_model", json.dumps(asked)], cwd=ROOT, check=True)
    return read_scored(file)


async def test_the_served_reward_model_scores_as_training_did(
    labels: Path, scored: list[Scored], reward_model: Vllm
) -> None:
    """What vLLM says of every step is what `ponder prm report` says of it."""
    chains = [chain for chain in read_chains(labels) if chain.is_right is not None]
    template = TEMPLATE.replace("\\n", "\n")
    async with verifier(reward_model, kind="classify", steps="each", aggregation="last", template=template) as made:
        for chain, expected in zip(chains, scored, strict=True):
            problem = Problem((("user", chain.question),))
            verdict = await made.score(problem, Chain(chain.steps, True), deadline_s=_PATIENCE_S, salt="0a")
            assert verdict.scores == pytest.approx(expected.scores, abs=2e-3)


def test_the_reward_model_ranks(scored: list[Scored]) -> None:
    """Right answers lie above wrong ones to the same problem."""
    (last,) = [each for each in measure(scored).rankings if each.way is Aggregation.LAST]
    assert last.auc_within is not None
    assert last.auc_within.value > _LEAST_AUC
