"""Label steps of the small reasoner, train its process reward model and measure it: ``make reasoner-prm``.

Run from the repository's root by Ponder's own Python: ``python -m tests.reasoner.train_prm FOLDER``. It
starts real vLLMs on the weights of both reasoners, and goes through ``ponder prm label``, ``train`` and
``report`` as an operator would. Chains are the small reasoner's; the large one completes their prefixes, since what
is to be learnt is whether the prefix is right, not whether the small one is lucky from there. Labels stay in FOLDER;
run again, it goes on where it was. The model is written to ``weights/prm/``, and to ``weights/likelihood/`` what the
same labels teach over the large one's likelihoods. It learns from problems of the train
split, and its report is of problems of the test split.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from tests.reasoner.items import item
from tests.reasoner.tasks import Split, fresh
from tests.vllm.servers import ENVIRONMENT, Vllm, serving

WEIGHTS: Final = Path(__file__).with_name("weights")
BASE: Final = "large"
"""Which reasoner the model is made of: the larger one checks steps better than the small one writes them."""
TEMPLATE: Final = "{question}\\n{steps}"
TAUGHT: Final = {2: 198, 3: 198, 4: 198, 5: 132, 6: 132, 8: 66, 10: 66, 12: 66}
"""Problems of each number of operations: most are short, since every right or wrong line teaches alike."""
TESTED: Final = {2: 50, 4: 50, 8: 50, 12: 50}
TESTED_CHAINS: Final = 8
SEED: Final = 11
_TRAINING: Final = ("--added-layers", "2", "--epochs", "4", "--held-out-share", "0.1", "--threads", "1")
_BY_NEWLINE: Final = ("--boundary", "newline", "--max-tokens", "256", "--temperature", "0.8", "--seed", str(SEED))


def main() -> None:
    """Label, train, report."""
    parser = argparse.ArgumentParser(description="Train the small reasoner's process reward model.")
    parser.add_argument("folder", type=Path, help="where labels and reports are kept")
    folder: Path = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    taught, tested = folder / "taught.jsonl", folder / "tested.jsonl"
    with (
        serving(WEIGHTS / "small", "small", folder / "small.log") as small,
        serving(WEIGHTS / "large", "large", folder / "large.log") as large,
    ):
        environment = {**os.environ, **_configured(folder, small, large)}
        _write_items(folder / "taught_items.jsonl", "train", TAUGHT)
        _write_items(folder / "tested_items.jsonl", "test", TESTED)
        common = ("--model", "small", "--concurrency", "64", *_BY_NEWLINE)
        labels = ("--out", str(taught), "--completer", "large", "--chains", "4", "--per-prefix", "1", *common)
        _prm("label", str(folder / "taught_items.jsonl"), *labels, environment=environment)
        chains = ("--out", str(tested), "--chains", str(TESTED_CHAINS), "--per-prefix", "0", *common)
        _prm("label", str(folder / "tested_items.jsonl"), *chains, environment=environment)
        head = ("--likelihood-of", BASE, "--out", str(WEIGHTS / "likelihood"), "--template", TEMPLATE)
        _prm("train", str(taught), *head, environment=environment)
        _finish("likelihood", folder, tested, environment=environment)
    python = ("--python", str(ENVIRONMENT / "bin" / "python"))
    trained = ("--base", str(WEIGHTS / BASE), "--out", str(WEIGHTS / "prm"), "--template", TEMPLATE)
    _prm("train", str(taught), *trained, *_TRAINING, *python)
    _finish("prm", folder, tested, *python)


def _finish(name: str, folder: Path, tested: Path, *options: str, environment: Mapping[str, str] | None = None) -> None:
    """Report on a verifier, and keep what only the report needed beside the labels."""
    made = WEIGHTS / name
    (folder / f"{name}_held_out.md").write_text(_prm("report", str(made)))
    shutil.move(made / "held_out.jsonl", folder / f"{name}_held_out.jsonl")
    report = _prm("report", str(made), "--held-out", str(tested), *options, environment=environment)
    (made / "report.md").write_text(report)


def _configured(folder: Path, *servers: Vllm) -> Mapping[str, str]:
    upstreams = {each.model: {"kind": "vllm", "base_url": each.base_url, "connections": 64} for each in servers}
    models = {each.model: {"upstream": each.model, "price": "free", "context_tokens": 1024} for each in servers}
    config = folder / "ponder.yaml"
    config.write_text(json.dumps({"upstreams": upstreams, "models": models}))
    return {"PONDER_CONFIG": str(config), "PONDER_HOME": str(folder / "home")}


def _write_items(file: Path, split: Split, wanted: Mapping[int, int]) -> None:
    problems = [problem for operations, count in wanted.items() for problem in fresh(split, operations, count, SEED)]
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
