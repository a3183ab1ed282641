"""`ponder export`, from a database and from files of labels."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from calibrator.prm.labels import Chain, write_chains
from gateway.domain.arm import Arm, Strategy
from gateway.domain.outcome import Outcome
from gateway.domain.plan import Plan
from gateway.domain.record import RequestRecord, StoredText
from gateway.store.base import locate
from gateway.store.connections import Connections
from gateway.store.outcomes import Outcomes
from gateway.store.schema import upgrade
from gateway.store.sinks import open_sink
from tests.calibrator.commands.conftest import Ponder
from tests.calibrator.export.kept import CHECK, asked, draw, said, search
from tests.store.records import FULL, NOON, identity, request

THEN = ("--since", "2026-11-22", "--until", "2026-11-24")
assert FULL.plan is not None
PLAN: Plan = replace(
    FULL.plan, arm=Arm("tree", "local", strategy=Strategy.DVTS, parameters={"step": "newline"}), policy="work"
)


def _record(number: int, *, question: str, **changes: Any) -> RequestRecord:
    texts = changes.pop("draws", {})
    text = StoredText(asked(question, check=CHECK), said("It is 5.", f"{question} in full"), texts)
    return request(number, **{"started_at": NOON + number, "text": text, "plan": PLAN, **changes})


@pytest.fixture
def site(policy: Path, environment: Mapping[str, str | None]) -> Path:
    """A database with forty requests, each second of which was found right, and one search."""
    assert policy
    url = f"sqlite:///{environment['PONDER_HOME']}/ponder.db"
    records = [_record(number, question=f"{number // 2}+{5 - number // 2}?") for number in range(40)]
    records.append(
        _record(
            40,
            question="Think.",
            search=search(draw(0, 0.9, 0.1)),
            draws={"0": "One.\nTwo."},
            plan=replace(PLAN, policy="other"),
        )
    )
    records.append(request(41, started_at=NOON + 41))
    found = [
        Outcome(identity(number, NOON + number), "user", 1.0 - number % 2, NOON + 60, "default", is_vouched=False)
        for number in range(40)
    ]
    asyncio.run(_keep(url, records, found))
    return policy


async def _keep(url: str, records: Sequence[RequestRecord], outcomes: Sequence[Outcome]) -> None:
    await upgrade(url)
    sink, connections = open_sink(locate(url)), Connections(locate(url), most=1)
    await sink.write(records)
    await Outcomes(connections).add(outcomes)
    await sink.close()
    await connections.close()


def _exported(run: Ponder, kind: str, out: Path, *arguments: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    result = run("export", kind, "--out", str(out), *arguments, "--json")
    assert result.exit_code == 0, result.output
    lines = [line for file in sorted(out.glob("*.jsonl")) for line in file.read_text("utf-8").splitlines()]
    return json.loads(result.stdout), [json.loads(line) for line in lines]


def test_prompts_with_checks_are_written_once_each(run: Ponder, site: Path, tmp_path: Path) -> None:
    """Whoever asked them and however they were answered."""
    said, rows = _exported(run, "grpo", tmp_path / "out", *THEN)
    assert said["read"] == 41
    assert len(rows) == 21
    assert said["repeated"] == 20
    assert {row["solution"] for row in rows} == {"5"}
    assert site


def test_only_verified_answers_are_examples(run: Ponder, site: Path, tmp_path: Path) -> None:
    """The unlabelled search and the answers found wrong are not among them; one policy's alone can be taken."""
    said, rows = _exported(run, "sft", tmp_path / "out", *THEN, "--test-share", "0.4")
    assert said["rows"]["train"] + said["rows"]["test"] == 20
    assert all(row["completion"][0]["content"].startswith("<think>\n") for row in rows)
    lower, _ = _exported(run, "sft", tmp_path / "lower", *THEN, "--min-score", "0", "--thinking", "none")
    assert sum(lower["rows"].values()) == 20  # without their thinking the wrong answers are the same texts
    other = run("export", "sft", "--out", str(tmp_path / "other"), *THEN, "--policy", "nobody's")
    assert "no text of a request is kept" in other.stderr
    assert site


def test_steps_come_from_searches(run: Ponder, site: Path, tmp_path: Path) -> None:
    """By the boundary of the arm that searched."""
    _, [row] = _exported(run, "prm", tmp_path / "out", *THEN)
    assert (row["completions"], row["labels"]) == (["One.", "Two."], [True, False])
    assert site


def test_steps_come_from_files_of_labels(run: Ponder, tmp_path: Path) -> None:
    """Without a database; what the folder held is replaced, and a summary is said in words."""
    labels = tmp_path / "labels.jsonl"
    chains = [Chain(f"p{n}", 0, f"{n}+1?", ("One.", "Two."), True, values=(1.0, 0.0)) for n in range(30)]
    write_chains(labels, {"source": "made"}, chains)
    _, rows = _exported(run, "prm", tmp_path / "out", "--labels", str(labels))
    assert len(rows) == 30
    assert rows[0]["labels"] == [True, False]
    shown = run(
        "export", "prm", "--out", str(tmp_path / "out"), "--labels", str(labels), "--labels", str(labels)
    ).stdout
    assert "30 rows of 30 items from 60 read" in shown
    assert "30 that were there already are left out" in shown
