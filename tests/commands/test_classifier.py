"""Tests of gateway/commands/classifier.py."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.commands.conftest import Ponder
from tests.difficulty.recorded import write_recorded


def _lines(path: Path, *rows: object) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return str(path)


def test_each_prompt_has_its_line(run: Ponder, tmp_path: Path) -> None:
    """With --json every prompt gives one JSON object: category, confidence, difficulty and success by anchor."""
    file = _lines(
        tmp_path / "prompts.jsonl",
        {"prompt": "State the final answer to the following arithmetic problem: 6 - 8 - 7 - 9 ="},
        {
            "messages": [
                {"role": "system", "content": "Be kind."},
                {"role": "user", "content": "Write a poem about rain"},
            ]
        },
    )
    result = run("classifier", "predict", file, "--json")
    assert result.exit_code == 0
    sum_, poem = map(json.loads, result.output.splitlines())
    assert (sum_["category"], sum_["difficulty"]) == ("math", "easy")
    assert set(sum_["p_success"]) == {"weak", "strong"}
    assert (poem["category"], poem["difficulty"], poem["p_success"]) == ("creative", None, {})
    assert 0 < poem["confidence"] <= 1


def test_prompts_come_from_standard_input_and_are_shown_as_a_table(run: Ponder) -> None:
    """``-`` reads standard input; people get a table, in which an unknown difficulty is called so."""
    result = run("classifier", "predict", "-", typed='{"prompt": "Write a poem about rain"}\n\n')
    assert result.exit_code == 0
    head, row = result.output.splitlines()
    assert head.split() == ["prompt", "category", "confidence", "difficulty", "P(weak)", "P(strong)"]
    assert row.split()[:2] == ["1", "creative"]
    assert row.split()[3] == "unknown"


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("no json", "line 2: not JSON"),
        ("[1]", "line 2: a list"),
        ('{"text": "x"}', "line 2: neither `prompt`, a text, nor `messages`"),
        ('{"prompt": 3}', "line 2: neither"),
    ],
)
def test_a_bad_line_is_named(run: Ponder, tmp_path: Path, line: str, complaint: str) -> None:
    """A line that cannot be read ends the command with its number and what is expected, and without its text."""
    file = tmp_path / "prompts.jsonl"
    file.write_text('{"prompt": "secret words"}\n' + line + "\n")
    result = run("classifier", "predict", str(file), "--json")
    assert result.exit_code == 1
    assert complaint in result.output
    assert "secret words" not in result.output
    assert "Traceback" not in result.output


def test_the_report_has_its_figures(run: Ponder, tmp_path: Path) -> None:
    """The report reads a data folder and prints category, routing and latency figures."""
    folder = write_recorded(tmp_path / "data")
    measured = json.loads(run("classifier", "report", "--data", str(folder), "--json").output)
    assert set(measured) == {
        "categorising", "calibration_error_success", "routing", "latency_ms_p50", "latency_ms_p99", "is_same_data",
    }  # fmt: skip
    shown = run("classifier", "report", "--data", str(folder)).output
    for words in ("macro-F1, all twelve categories", "APGR by predicted gain", "APGR shuffled, same cost", "Latency"):
        assert words in shown
    assert "not the data that the weights were trained on" in shown


def test_a_folder_without_data_is_refused(run: Ponder, tmp_path: Path) -> None:
    """A folder that lacks a file is refused by the file's name; so are weights that are none."""
    result = run("classifier", "report", "--data", str(tmp_path))
    assert result.exit_code == 2
    assert "categories.json cannot be read" in result.output
    (tmp_path / "weights.npz").write_text("none")
    result = run("classifier", "predict", "-", "--weights", str(tmp_path / "weights.npz"), typed="")
    assert "does not hold a classifier's weights" in result.output
