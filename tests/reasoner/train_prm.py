"""Label steps of the small reasoner, train its process reward model and measure it: ``make reasoner-prm``.

Run from the repository's root by Ponder's own Python: ``python -m tests.reasoner.train_prm FOLDER``. It
starts a real vLLM on the small reasoner's weights, and goes through ``ponder prm label``, ``train`` and
``report`` as an operator would. Labels stay in FOLDER; run again, it goes on where it was. The model is written
to ``weights/prm/``. It learns from problems of the train split, and its report is of problems of the test split.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from tests.reasoner.items import item
from tests.reasoner.tasks import Split, fresh
from tests.vllm.servers import ENVIRONMENT, serving

WEIGHTS: Final = Path(__file__).with_name("weights")
BASE: Final = "large"
"""Which reasoner the model is made of: the larger one checks steps better than the small one writes them."""
TEMPLATE: Final = "{question}\\n{steps}"
TAUGHT_OPERATIONS: Final = (2, 3, 4, 5, 6, 8, 10, 12)
TAUGHT_EACH: Final = 30
TESTED_OPERATIONS: Final = (2, 4, 8, 12)
TESTED_EACH: Final = 50
TESTED_CHAINS: Final = 8
SEED: Final = 11
_TRAINING: Final = ("--tune", "all", "--epochs", "12", "--threads", "1")
_BY_NEWLINE: Final = ("--boundary", "newline", "--max-tokens", "256", "--temperature", "0.8", "--seed", str(SEED))


def main() -> None:
    """Label, train, report."""
    parser = argparse.ArgumentParser(description="Train the small reasoner's process reward model.")
    parser.add_argument("folder", type=Path, help="where labels and reports are kept")
    folder: Path = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    taught, tested = folder / "taught.jsonl", folder / "tested.jsonl"
    with serving(WEIGHTS / "small", "small", folder / "vllm.log") as server:
        environment = {**os.environ, **_configured(folder, server.base_url)}
        _write_items(folder / "taught_items.jsonl", "train", TAUGHT_OPERATIONS, TAUGHT_EACH)
        _write_items(folder / "tested_items.jsonl", "test", TESTED_OPERATIONS, TESTED_EACH)
        common = ("--model", "small", "--concurrency", "64", *_BY_NEWLINE)
        labels = ("--out", str(taught), "--chains", "4", "--per-prefix", "4", *common)
        _prm("label", str(folder / "taught_items.jsonl"), *labels, environment=environment)
        chains = ("--out", str(tested), "--chains", str(TESTED_CHAINS), "--per-prefix", "0", *common)
        _prm("label", str(folder / "tested_items.jsonl"), *chains, environment=environment)
    python = ("--python", str(ENVIRONMENT / "bin" / "python"))
    trained = ("--base", str(WEIGHTS / BASE), "--out", str(WEIGHTS / "prm"), "--template", TEMPLATE)
    _prm("train", str(taught), *trained, *_TRAINING, *python)
    (folder / "held_out.md").write_text(_prm("report", str(WEIGHTS / "prm")))
    report = _prm("report", str(WEIGHTS / "prm"), "--held-out", str(tested), *python)
    (WEIGHTS / "prm" / "report.md").write_text(report)


def _configured(folder: Path, base_url: str) -> Mapping[str, str]:
    config = folder / "ponder.yaml"
    config.write_text(
        f"upstreams: {{reasoner: {{kind: vllm, base_url: '{base_url}', connections: 64}}}}\n"
        "models: {small: {upstream: reasoner, price: free, context_tokens: 1024}}\n"
    )
    return {"PONDER_CONFIG": str(config), "PONDER_HOME": str(folder / "home")}


def _write_items(file: Path, split: Split, difficulties: Sequence[int], each: int) -> None:
    problems = [problem for operations in difficulties for problem in fresh(split, operations, each, SEED)]
    file.write_text("".join(f"{json.dumps(item(problem))}\n" for problem in problems))


def _prm(*arguments: str, environment: Mapping[str, str] | None = None) -> str:
    """Run a command of ``ponder prm``; what it printed."""
    print("ponder prm", *arguments[:1], flush=True)
    command = [sys.executable, "-m", "gateway.cli", "prm", *arguments]
    ended = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    print(ended.stdout, flush=True)
    return ended.stdout


if __name__ == "__main__":
    main()
