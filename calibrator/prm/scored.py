"""Chains that a reward model scored, as a file of JSON lines: what training writes and the report reads."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Final

from calibrator.prm.quality import Scored
from gateway.errors import ConfigurationError

DESCRIPTION: Final = "prm.json"
"""In a trained model's folder: how it was made, and the template of what it reads."""
HELD_OUT: Final = "held_out.jsonl"
"""Beside it: the chains that were held out, scored."""


def write_scored(file: Path, chains: Iterable[Scored]) -> None:
    """Write them, one a line."""
    lines = (json.dumps(asdict(chain), ensure_ascii=False, separators=(",", ":")) for chain in chains)
    file.write_text("".join(f"{line}\n" for line in lines), "utf-8")


def read_scored(file: Path) -> list[Scored]:
    """Read them. Raises ConfigurationError naming the line at fault."""
    chains: list[Scored] = []
    try:
        lines = file.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as fault:
        raise ConfigurationError(f"{file.name} cannot be read; scored chains in JSON lines are expected") from fault
    for number, line in enumerate(lines, 1):
        try:
            row = json.loads(line)
            chain = Scored(
                item=str(row["item"]),
                scores=tuple(map(float, row["scores"])),
                is_right=bool(row["is_right"]),
                answer=row.get("answer"),
                values=tuple(row.get("values", ())),
                difficulty=str(row.get("difficulty", "")),
                tokens=int(row.get("tokens", 0)),
            )
        except (ValueError, KeyError, TypeError) as fault:
            raise ConfigurationError(
                f"{file.name}, line {number}: not a scored chain; `item`, `scores` of its steps, from 0 to 1, and "
                "`is_right` are expected"
            ) from fault
        if not chain.scores or not all(0 <= score <= 1 for score in chain.scores):
            raise ConfigurationError(f"{file.name}, line {number}: `scores` are numbers from 0 to 1, one for each step")
        chains.append(chain)
    if not chains:
        raise ConfigurationError(f"{file.name} holds no scored chain")
    return chains
