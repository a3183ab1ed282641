"""`ponder prm train` and `ponder prm report`, as far as they go without torch."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from calibrator.prm.commands import prm
from calibrator.prm.quality import Scored
from calibrator.prm.scored import read_scored, write_scored
from gateway.verifier_settings import ClassifySettings

TEMPLATE = "{question}\n{steps}"
CHAINS = [
    chain
    for n in range(12)
    for chain in (
        Scored(
            f"p{n}", (0.5, 0.8 if n % 2 else 0.2), bool(n % 2), str(n % 2), (0.5, None), "easy" if n < 6 else "hard"
        ),
        Scored(f"p{n}", (0.1, 0.5), not n % 2, str((n + 1) % 2)),
    )
]
"""Only the last steps tell right from wrong."""


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A folder as training leaves it, without the weights."""
    folder = tmp_path / "Small PRM"
    folder.mkdir()
    (folder / "prm.json").write_text(json.dumps({"template": TEMPLATE}))
    write_scored(folder / "held_out.jsonl", CHAINS)
    return folder


def test_a_report_ends_with_the_verifier_to_configure(model: Path) -> None:
    """What is printed for ponder.yaml are settings that the gateway takes, with the best aggregation."""
    result = CliRunner().invoke(prm, ["report", str(model)])
    assert result.exit_code == 0
    assert result.output.startswith("# Report of the process reward model Small PRM\n")
    snippet = yaml.safe_load(result.output.partition("```yaml\n")[2].partition("```")[0])
    settings = ClassifySettings.model_validate(snippet["verifiers"]["small-prm"])
    assert settings.template == TEMPLATE
    figures = json.loads(CliRunner().invoke(prm, ["report", str(model), "--json"]).output)
    assert settings.aggregation == figures["best"] == "last"
    assert (figures["problems"], figures["chains"]) == (12, 24)


def test_every_row_of_a_table_has_a_column_for_each_head(model: Path) -> None:
    """Tables are whole: as many cells in each line as in its head."""
    told = CliRunner().invoke(prm, ["report", str(model)]).output.split("\n\n")
    tables = [part.splitlines() for part in told if part.startswith("|")]
    assert len(tables) == 4
    assert all(len({line.count("|") for line in table}) == 1 for table in tables)


def test_scored_chains_of_any_model_are_reported_on(model: Path) -> None:
    """A file of scored chains is enough; then there is no verifier to print."""
    result = CliRunner().invoke(prm, ["report", str(model / "held_out.jsonl")])
    assert result.exit_code == 0
    assert "| `last` | 1.000 (1.000 to 1.000), 12 problems |" in result.output
    assert "verifiers:" not in result.output
    assert read_scored(model / "held_out.jsonl") == CHAINS


@pytest.mark.parametrize(
    "line", ["{}", '{"item": "a", "scores": [], "is_right": true}', '{"item": "a", "scores": [1.5], "is_right": true}']
)
def test_a_line_that_is_no_scored_chain_is_named(line: str, tmp_path: Path) -> None:
    """Scores are from 0 to 1, and each chain has some."""
    file = tmp_path / "scored.jsonl"
    file.write_text(line)
    result = CliRunner().invoke(prm, ["report", str(file)])
    assert "line 1" in str(result.exception)


def test_a_python_without_torch_is_refused_with_what_to_do(tmp_path: Path) -> None:
    """Training needs vLLM's environment, and says how to name it."""
    assert importlib.util.find_spec("torch") is None
    labels = tmp_path / "labels.jsonl"
    labels.write_text("")
    arguments = ["train", str(labels), "--base", str(tmp_path), "--out", str(tmp_path / "out")]
    result = CliRunner().invoke(prm, [*arguments, "--python", sys.executable])
    assert "--python .venv-vllm/bin/python" in str(result.exception)


@pytest.mark.parametrize(
    ("options", "said"), [(["2", "--tune", "all"], "--tune all"), (["1"], "--added-layers takes two or more")]
)
def test_added_layers_are_several_and_their_base_stays(options: list[str], said: str, tmp_path: Path) -> None:
    """Two layers at least are put on a base, and that is not trained with them."""
    labels = tmp_path / "labels.jsonl"
    labels.write_text("")
    arguments = ["train", str(labels), "--base", str(tmp_path), "--out", str(tmp_path / "out")]
    result = CliRunner().invoke(prm, [*arguments, "--added-layers", *options])
    assert result.exit_code == 2
    assert said in result.output


@pytest.mark.parametrize("template", ["{question}", "{steps} {question}", "{question}{question}{steps}"])
def test_a_template_ends_with_the_steps(template: str, tmp_path: Path) -> None:
    """Anything after the steps would stand between a step and its score."""
    labels = tmp_path / "labels.jsonl"
    labels.write_text("")
    arguments = ["train", str(labels), "--base", str(tmp_path), "--out", str(tmp_path / "out")]
    result = CliRunner().invoke(prm, [*arguments, "--template", template])
    assert result.exit_code == 2
    assert "--template ends with {steps}" in result.output
