"""The stage beside its-hub: on the same servers, with the same reward model, on the same problems."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from tests.bench_search import arms
from tests.bench_search.asking import AT_ONCE
from tests.bench_search.run import Run, problems, say
from tests.reasoner.tasks import is_right

ENVIRONMENT: Final = Path(__file__).parents[2] / ".venv-its"
OPERATIONS: Final = (4, 8)
RUNS: Final = (
    ("self-consistency", 8),
    ("best-of-N", 4),
    ("best-of-N", 8),
    ("best-of-N", 16),
    ("beam", 16),
    ("particle filtering", 8),
    ("particle filtering", 16),
)
"""Its algorithms with their budgets: how many generations there are at a time."""
_SEED: Final = 1
_FREELY: Final = 0.8
"""The temperature of what is not voted on, as ours."""


def measure(run: Run, known: Mapping[str, Any], keep: Callable[[Mapping[str, Any]], None]) -> None:
    """Measure what its algorithms come to at each difficulty, tokens as the servers told them.

    ``keep`` is given all that is known, after each of them.
    """
    if not (ENVIRONMENT / "bin" / "python").exists():
        raise RuntimeError("there is no .venv-its; `make bench-search` builds it")
    found = dict(known)
    for operations in OPERATIONS:
        for algorithm, budget in RUNS:
            name = f"{algorithm} {budget}, {operations}"
            if len(found.get(name, {}).get("right", ())) < run.problems:
                found[name] = _one(run, algorithm, budget, operations)
                keep(found)
                kept = found[name]
                say(
                    f"its-hub, {name} operations: {sum(kept['right'])} of {len(kept['right'])} right, "
                    f"{kept['written']:.0f} written and {kept['read']:.0f} read each, {kept['wall_s']:.2f} s each"
                )


def _one(run: Run, algorithm: str, budget: int, operations: int) -> dict[str, Any]:
    bed, chosen = run.bed, problems("test", operations, run.problems)
    model, judge = bed.servers["small"], bed.servers["prm"]
    task = {
        "algorithm": algorithm,
        "budget": budget,
        "model": model.address,
        "judge": judge.address,
        "weights": arms.HEAD["weights"],
        "depth": arms.DEPTH,
        "max_tokens": arms.OUTPUT_TOKENS,
        "temperature": arms.VOTES_AT if algorithm == "self-consistency" else _FREELY,
        "at_once": AT_ONCE,
        "seed": _SEED,
        "questions": [each.question for each in chosen],
    }
    root = Path(__file__).parents[2]
    ended = subprocess.run(
        [str(ENVIRONMENT / "bin" / "python"), "-m", "tests.bench_search.its_hub_run"],
        input=json.dumps(task), stdout=subprocess.PIPE, text=True, check=True, cwd=root,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(root)},
    )  # fmt: skip
    *lines, used = map(json.loads, ended.stdout.splitlines())
    answers = {line["question"]: line for line in lines}
    return {
        "operations": operations,
        "algorithm": algorithm,
        "budget": budget,
        "right": [is_right(each, answers[each.question]["text"]) for each in chosen],
        "faults": sum(answers[each.question]["fault"] is not None for each in chosen),
        "written": used["written"] / len(chosen),
        "read": used["read"] / len(chosen),
        "wall_s": sum(line["wall_s"] for line in answers.values()) / len(chosen),
    }
