"""Exported sets, loaded as TRL's trainers load them: by the newest datasets library, in the environment of clients.

`make test-clients` runs it; it is no ``test_`` file, since the product's own environment does not have the library.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from datasets import load_dataset

_PYTHON = os.environ.get("TEST_GATEWAY_PYTHON", sys.executable)
_ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sets that the product writes."""
    folder = tmp_path_factory.mktemp("sets")
    subprocess.run([_PYTHON, "-m", "tests.clients.exported", str(folder)], cwd=_ROOT, check=True)
    return folder


def _loaded(sets: Path, name: str) -> dict[str, Any]:
    files = {split: str(sets / name / f"{split}.jsonl") for split in ("train", "test")}
    found: dict[str, Any] = load_dataset("json", data_files=files, cache_dir=str(sets / "cache"))
    assert sum(len(each) for each in found.values()) == 40
    return found


def test_prompts_load_for_grpo(sets: Path) -> None:
    """Prompt-only and conversational, the other columns of one type each."""
    for each in _loaded(sets, "grpo").values():
        assert {"prompt", "solution", "check", "reward_function"} <= set(each.column_names)
        assert each[0]["prompt"][0].keys() == {"role", "content"}
        assert each.features["check"].dtype == each.features["solution"].dtype == "string"


@pytest.mark.parametrize("thoughts", ["tags", "field", "none"])
def test_thought_out_answers_load_for_sft(sets: Path, thoughts: str) -> None:
    """Prompt and completion, both conversational."""
    for each in _loaded(sets, f"sft-{thoughts}").values():
        assert each[0]["prompt"][0].keys() == {"role", "content"}
        assert each[0]["completion"][0]["role"] == "assistant"
        assert ("thinking" in each[0]["completion"][0]) is (thoughts == "field")


@pytest.mark.parametrize("source", ["prm", "prm-labels"])
def test_labelled_steps_load_for_prm(sets: Path, source: str) -> None:
    """Stepwise: a text, texts, and as many truth values."""
    for each in _loaded(sets, source).values():
        assert each.features["prompt"].dtype == "string"
        assert each.features["labels"].feature.dtype == "bool"
        assert all(len(row["completions"]) == len(row["labels"]) for row in each)
