"""Fresh layers on a base, trained by the torch of vLLM's environment: what they begin with, and what they learn."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

from calibrator.prm.commands import prm
from calibrator.prm.labels import Chain, write_chains
from tests.reasoner.spoilt import spoilt
from tests.reasoner.tasks import fresh, step_labels
from tests.reasoner.train_prm import BASE, TEMPLATE, WEIGHTS
from tests.vllm.servers import ENVIRONMENT, ROOT

pytestmark = pytest.mark.vllm

_PYTHON = str(ENVIRONMENT / "bin" / "python")
_TAUGHT = 60


def test_layers_begin_near_what_they_are_to_learn() -> None:
    """The base says what it said before, and solutions with a wrong digit lie below right ones untrained."""
    command = [_PYTHON, "-m", "tests.vllm.check_added_layers"]
    ended = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    figures = json.loads(ended.stdout)
    assert figures["off_by_at_most"] < 0.01
    assert figures["auc"] > 0.8


@pytest.fixture(scope="module")
def labels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Right solutions and the same with a wrong digit, labelled by the exact checker."""
    file = tmp_path_factory.mktemp("taught") / "labels.jsonl"
    chains: list[Chain] = []
    for problem in fresh("train", 3, _TAUGHT, seed=5):
        for number, solution in enumerate((problem.solution, spoilt(problem.solution, seed=problem.start))):
            lines = solution.split("\n")
            values = tuple(map(float, step_labels(problem, lines)))
            steps = (*(f"{line}\n" for line in lines[:-1]), lines[-1])
            chains.append(Chain(problem.question, number, problem.question, steps, values[-1] == 1, values=values))
    write_chains(file, {"made": "for a test"}, chains)
    return file


def _train(labels: Path, out: Path) -> list[float]:
    """Train for two epochs; the losses on what was held out."""
    options = ["--added-layers", "2", "--epochs", "2", "--held-out-share", "0.3", "--threads", "1", "--python", _PYTHON]
    command = ["train", str(labels), "--base", str(WEIGHTS / BASE), "--out", str(out), "--template", TEMPLATE]
    result = CliRunner().invoke(prm, [*command, *options])
    assert result.exit_code == 0, result.output
    described = json.loads((out / "prm.json").read_text())
    return [epoch["held_out"] for epoch in described["losses"]]


def test_few_labels_are_enough_and_give_the_same_model_again(labels: Path, tmp_path: Path) -> None:
    """What is learnt from some dozens of chains is far better than a guess, and comes out the same each time."""
    first, again = _train(labels, tmp_path / "first"), _train(labels, tmp_path / "again")
    assert first[-1] < 0.5
    assert first == again
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("first", "again")]
    assert weights[0] == weights[1]
