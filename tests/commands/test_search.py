"""``ponder search replay``."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from gateway.cli import ponder

AGREED = {"id": "a", "gold": "1", "traces": [{"answer": "1", "tokens": 10, "correct": True}] * 8}
SPLIT = {"id": "b", "gold": "1", "traces": [{"answer": str(n), "tokens": 20, "correct": n == 1} for n in range(8)]}


@pytest.fixture
def traces(tmp_path: Path) -> Path:
    """A file of two problems."""
    file = tmp_path / "traces.jsonl"
    file.write_text("\n".join(json.dumps(each) for each in (AGREED, SPLIT)))
    return file


def _run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(ponder, ["search", "replay", *arguments])
    return result.exit_code, result.output


def test_json(traces: Path) -> None:
    """The figures stand beside those of the majority of all, with intervals."""
    options = ["--strategy", "vote", "--samples", "8", "--schedule", "staged", "--seed", "1", "--orders", "1", "--json"]
    code, output = _run(str(traces), *options)
    assert code == 0
    said = json.loads(output)
    assert said["parameters"] == {"samples": 8, "schedule": "staged"}
    assert (said["problems"], said["orders"], said["seed"]) == (2, 1, 1)
    assert said["tokens"] == (20 + 160) / 2
    assert said["draws"] == 5
    assert said["majority"]["tokens"] == (80 + 160) / 2
    assert said["token_share"]["value"] == 0.75
    assert said["accuracy"]["low"] < said["accuracy"]["value"] < said["accuracy"]["high"]
    assert _run(str(traces), *options) == (code, output)


def test_table_and_compressed_files(traces: Path) -> None:
    """People get a table; files may be compressed."""
    packed = traces.with_suffix(".jsonl.gz")
    packed.write_bytes(gzip.compress(traces.read_bytes()))
    code, output = _run(str(packed))
    assert code == 0
    assert "2 problems, 20 orders of each" in output
    assert "majority of all" in output
    assert output == _run(str(traces))[1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--strategy", "beam"], "recorded chains cannot replay beam"),
        (["--strategy", "bestofn"], "did you mean 'best_of_n'?"),
        (["--samples", "9"], "vote takes up to 9 draws, and a has 8 traces"),
        (["--strategy", "greedy", "--samples", "2"], "strategy greedy has no parameter 'samples'"),
        (["--stop", "conformal"], "--stop conformal and --error belong together"),
        (["--stop", "conformal", "--error", "0.01"], "no level keeps the error at 0.01"),
        (["--confidence", "2"], "confidence is a number from 0 to 1"),
        (["--samples", "few"], "neither a whole number nor auto"),
    ],
)
def test_what_cannot_be_replayed_is_refused(traces: Path, options: list[str], message: str) -> None:
    """A refusal says what would be accepted."""
    code, output = _run(str(traces), *options)
    assert code != 0
    assert message in output


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    """A file that is not what its name says is refused without a trace of its content."""
    broken = tmp_path / "traces.gz"
    broken.write_bytes(b"secret")
    code, output = _run(str(broken))
    assert code != 0
    assert "traces.gz cannot be read" in output
    assert "secret" not in output
