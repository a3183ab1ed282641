"""A folder of recorded data in the layout that the corpus reads, made up and small."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

from gateway.difficulty.corpus import ANCHORS, is_held_out

_LABELS = {
    "reasoning.task": {"sums": "math"},
    "reasoning.category": {"arithmetic": "math", "logic": ["logic", "constraint"]},
    "knowledge.category": {"history": "knowledge", "physics": ["knowledge", "math"]},
    "real_user.subcategory": {"coding": "code"},
    "chat_two_turn.category": {"writing": ["creative", "rewriting"]},
}


def write_recorded(folder: Path, *, each: int = 24, is_reversed: bool = False) -> Path:
    """Write ``each`` prompts of every source, half of them too hard for the weak model.

    ``is_reversed``: held-out tasks that look easy are the hard ones.
    """
    (folder / "prompts").mkdir(parents=True)
    (folder / "outcomes").mkdir()
    (folder / "categories.json").write_text(json.dumps(_LABELS))
    tasks = [("sums", "arithmetic"), ("riddles", "logic")]
    reasoning = [
        {
            "id": f"r{n}",
            "task": tasks[n % 2][0],
            "category": tasks[n % 2][1],
            "difficulty": "easy" if n % 4 < 2 else "hard",
        }
        | {"prompt": f"Compute {n} + {n * 7}." if n % 2 == 0 else f"If A lies and B says {n}, who tells the truth?"}
        for n in range(each)
    ]
    _jsonl(folder / "prompts/reasoning.jsonl.gz", reasoning)
    _csv(
        folder / "prompts/reasoning_outcomes.csv.gz",
        "id,model,score",
        [
            f"{row['id']},{model},{float(right)}"
            for row in reasoning
            for model, right in (
                (
                    ANCHORS["reasoning"].weak,
                    (row["difficulty"] == "easy") != (is_reversed and is_held_out(row["prompt"])),
                ),
                (ANCHORS["reasoning"].strong, True),
            )
        ],
    )
    knowledge = [
        {"id": n, "category": ("history", "physics")[n % 2], "prompt": f"What happened in the year {1500 + n}?"}
        | {"options": ["War", "Peace"]}
        for n in range(each)
    ]
    _jsonl(folder / "prompts/knowledge.jsonl.gz", knowledge)
    _csv(
        folder / "outcomes/knowledge_tiers.csv.gz",
        "item,category,difficulty,arm,correct,cost,latency_s,observed_at",
        [f"{n},,,{arm},{int(n % 2 == 0 or arm == ANCHORS['knowledge'].strong)},0,," for n in range(each)
         for arm in (ANCHORS["knowledge"].weak, ANCHORS["knowledge"].strong)],
    )  # fmt: skip
    _csv(
        folder / "prompts/grade_school.csv.gz",
        "id,prompt,weak_correct,strong_correct",
        [f"{n},Tom has {n} pens and buys {n + 3}. How many are there?,{n % 2 == 0},True" for n in range(each)],
    )
    _jsonl(folder / "prompts/math.jsonl.gz", [{"id": "m", "category": "math/Algebra", "prompt": "Solve $x^2=4$."}])
    _jsonl(folder / "prompts/real_user.jsonl.gz", [{"id": "u", "subcategory": "coding", "prompt": "Fix my Go code"}])
    _jsonl(
        folder / "prompts/chat_two_turn.jsonl.gz", [{"id": 1, "category": "writing", "turns": ["A poem", "Shorter"]}]
    )
    return folder


def _jsonl(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_bytes(gzip.compress("".join(json.dumps(row) + "\n" for row in rows).encode()))


def _csv(path: Path, head: str, lines: list[str]) -> None:
    path.write_bytes(gzip.compress("\n".join((head, *lines)).encode()))
