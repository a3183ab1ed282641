"""Result files of other evaluations as outcomes: the samples of lm-evaluation-harness, the results of promptfoo.

Neither says a category as Ponder has it, and the first no cost either: whoever imports them does.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TextIO

from calibrator.tables.rows import Placed, amount, json_object, score
from calibrator.tables.table import Outcome
from gateway.errors import ConfigurationError

_SAMPLES: Final = re.compile(r"samples_(?P<task>.+?)(_\d{4}-\d\d-\d\dT[\d.:-]+)?\.jsonl(\.gz)?")
_MILLISECONDS: Final = 1_000


@dataclass(frozen=True, slots=True)
class Said:
    """What a result file does not say: whose answers they are, of which category, and what one cost, by arm.

    ``metric`` and ``filter`` pick one of several in the samples of lm-evaluation-harness.
    """

    arm: str | None = None
    category: str | None = None
    difficulty: str | None = None
    costs: Mapping[str, float] = field(default_factory=dict)
    metric: str | None = None
    filter: str | None = None


def read_samples(lines: TextIO, name: str, said: Said) -> Iterator[Placed]:
    """The outcomes of a ``samples_TASK_*.jsonl`` that ``lm_eval --log_samples`` wrote: one file is one model."""
    cost = None if said.arm is None else said.costs.get(said.arm)
    if said.arm is None or said.category is None or cost is None:
        raise ConfigurationError(
            f"{name}: samples of lm-evaluation-harness name no arm, category or cost; give the file as ARM={name}, "
            "with --category and --cost ARM=NUMBER"
        )
    match = _SAMPLES.fullmatch(name)
    task = match["task"] if match else name.partition(".")[0]
    filters: set[str] = set()
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        place = f"{name}, line {number}"
        row = json_object(line, place)
        if "doc_id" not in row:
            raise ConfigurationError(f"{place}: doc_id: is missing; every sample has one")
        used = str(row.get("filter", "none"))
        filters.add(used)
        if said.filter is None and len(filters) > 1:
            raise ConfigurationError(
                f"{place}: filter: answers were read in several ways, by {' and '.join(sorted(filters))}; "
                "pick one with --filter"
            )
        if said.filter in (None, used):
            value = row.get(metric := _metric(row, said.metric, place))
            yield Outcome(
                item=f"{task}/{row['doc_id']}",
                category=said.category,
                difficulty=said.difficulty,
                arm=said.arm,
                score=score(value, metric, place),
                cost=cost,
            ), place  # fmt: skip
    if said.filter is not None and said.filter not in filters:
        raise ConfigurationError(f"{name}: no sample is of filter {said.filter!r}; there are {sorted(filters)}")


def _metric(row: Mapping[str, Any], wanted: str | None, place: str) -> str:
    listed = row.get("metrics")
    names = [str(name) for name in listed] if isinstance(listed, list) else []
    if wanted is not None:
        if wanted not in row:
            raise ConfigurationError(f"{place}: {wanted}: is missing; its metrics are {', '.join(names) or 'not said'}")
        return wanted
    if len(names) != 1:
        said = f"has {', '.join(names)}" if names else "lists no metrics"
        raise ConfigurationError(f"{place}: metrics: the sample {said}; name the one that counts with --metric")
    return names[0]


def read_promptfoo(document: Any, name: str, said: Said) -> Iterator[Placed]:
    """The outcomes of a ``promptfoo eval --output results.json``: a test is an item, a provider an arm.

    Category and difficulty are those of the test's metadata, where it has them. Costs are promptfoo's own
    unless its arm's is declared; a test without either is refused.
    """
    results = document.get("results") if isinstance(document, dict) else None
    rows = results.get("results") if isinstance(results, dict) else None
    if not isinstance(rows, list):
        raise ConfigurationError(f"{name}: no results of promptfoo: `results.results`, a list, is expected")
    has_prompts = len({row.get("promptIdx") for row in rows if isinstance(row, dict)}) > 1
    for number, row in enumerate(rows):
        place = f"{name}, results.results[{number}]"
        if not isinstance(row, dict) or not isinstance(row.get("testIdx"), int):
            raise ConfigurationError(f"{place}: testIdx: the number of the test is expected")
        yield _promptfoo(row, place, said, has_prompts=has_prompts), place


def _promptfoo(row: Mapping[str, Any], place: str, said: Said, *, has_prompts: bool) -> Outcome:
    provider = row.get("provider")
    named = provider if isinstance(provider, dict) else {}
    arm = said.arm or named.get("label") or named.get("id")
    if not arm:
        raise ConfigurationError(f"{place}: provider: its label or id is expected")
    test = row.get("testCase")
    metadata = test.get("metadata") if isinstance(test, dict) else None
    about = metadata if isinstance(metadata, dict) else {}
    category, difficulty = about.get("category", said.category), about.get("difficulty", said.difficulty)
    if category is None:
        raise ConfigurationError(f"{place}: testCase.metadata.category: is missing; write it there, or give --category")
    value = row["score"] if row.get("score") is not None else row.get("success")
    cost = said.costs.get(str(arm), row.get("cost"))
    if cost is None:
        raise ConfigurationError(f"{place}: cost: is missing; promptfoo knew no price, so give --cost {arm}=NUMBER")
    latency = row.get("latencyMs")
    return Outcome(
        item=str(row["testIdx"]),
        category=str(category),
        difficulty=None if difficulty is None else str(difficulty),
        arm=f"{arm}#{row.get('promptIdx')}" if has_prompts else str(arm),
        score=score(value, "score", place),
        cost=amount(cost, "cost", place),
        latency_s=math.nan if latency is None else amount(latency, "latencyMs", place) / _MILLISECONDS,
    )
