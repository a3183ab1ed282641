"""`ponder prm` on a real vLLM: labels of the small reasoner's steps."""

from __future__ import annotations

import json
from pathlib import Path
from statistics import fmean

import pytest
from click.testing import CliRunner

from calibrator.prm.commands import prm
from calibrator.prm.labels import read_chains
from tests.reasoner.items import item
from tests.reasoner.tasks import fresh, parse, step_labels
from tests.vllm.servers import Vllm

pytestmark = pytest.mark.vllm

_EACH = 10
_CHAINS = 4


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
