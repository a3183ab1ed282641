"""Outcome tables from files of every form."""

from __future__ import annotations

import gzip
import importlib.util
import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest

from calibrator.tables.reading import read_table
from calibrator.tables.results import Said
from gateway.errors import ConfigurationError
from tests.calibrator.made import as_csv, outcomes, table

HEAD = "item,category,arm,correct,cost"
Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a file, packed if its name says so."""

    def written(name: str, text: str) -> Path:
        file = tmp_path / name
        file.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
        return file

    return written


@pytest.mark.parametrize("name", ["t.csv", "t.csv.gz"])
def test_csv_is_read_whole(write: Write, name: str) -> None:
    """Every column arrives, packed or not."""
    found = read_table([(None, write(name, as_csv(60)))], arms=("fast", "think", "think-hard"))
    assert found.digest == table(60).digest


def test_json_lines_are_read_like_csv(write: Write) -> None:
    """The same outcomes make the same table."""
    rows = [
        {"item": each.item, "category": each.category, "difficulty": each.difficulty, "arm": each.arm,
         "correct": bool(each.score), "cost": each.cost, "latency_s": each.latency_s, "observed_at": each.observed_at}
        for each in outcomes(60)
    ]  # fmt: skip
    file = write("t.jsonl.gz", "\n".join(map(json.dumps, rows)))
    assert read_table([(None, file)], arms=("fast", "think", "think-hard")).digest == table(60).digest


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("item,category,arm,correct\n", "line 1: 'cost' is missing"),
        (f"{HEAD},colour\n", "line 1: 'colour' is unknown; item, category"),
        (f"{HEAD},cost\n", "line 1: a column is named twice"),
        (f"{HEAD}\na,math,fast,1\n", "line 2: 4 fields; the first line names 5 columns"),
        (f"{HEAD}\na,math,fast,1,1\nb,math,fast,1.5,1\n", "line 3: correct: '1.5' is no score"),
        (f"{HEAD}\na,math,fast,,1\n", "line 2: correct: '' is no score"),
        (f"{HEAD}\na,math,fast,nan,1\n", "line 2: correct: 'nan' is no score"),
        (f"{HEAD}\na,math,fast,1,-1\n", "line 2: cost: '-1' is no number from zero on"),
        (f"{HEAD}\na,math,fast,1,\n", "line 2: cost: '' is no number from zero on"),
        (f"{HEAD}\n,math,fast,1,1\n", "line 2: item: a text is expected"),
        (f"{HEAD},latency_s\na,math,fast,1,1,inf\n", "line 2: latency_s: 'inf' is no number"),
        (f"{HEAD},observed_at\na,math,fast,1,1,soon\n", "line 2: observed_at: 'soon' is no time"),
        (f'{HEAD}\n"a"b,math,fast,1,1\n', "line 2: no CSV"),
    ],
)
def test_faults_of_csv_are_named_by_line_and_field(write: Write, text: str, said: str) -> None:
    """Nothing is skipped or guessed."""
    with pytest.raises(ConfigurationError, match=said):
        read_table([(None, write("t.csv", text))])


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "line 2: not JSON"),
        ("[1]", "line 2: a list; one object"),
        ('{"item": "b", "category": "math", "arm": "x", "correct": null, "cost": 1}', "line 2: correct: None is no"),
        ('{"item": true, "category": "math", "arm": "x", "correct": 1, "cost": 1}', "line 2: item: a text"),
    ],
)
def test_faults_of_json_lines_are_named_by_line_and_field(write: Write, line: str, said: str) -> None:
    """As with CSV."""
    good = '{"item": "a", "category": "math", "arm": "x", "correct": 1, "cost": 1}'
    with pytest.raises(ConfigurationError, match=said):
        read_table([(None, write("t.jsonl", f"{good}\n{line}\n"))])


@pytest.mark.parametrize(
    ("written", "moment"),
    [
        ("1767225600", 1_767_225_600.0),
        ("2026-01-01", 1_767_225_600.0),
        ("2026-01-01T01:00:00+01:00", 1_767_225_600.0),
        ("2026-01-01T00:00:00Z", 1_767_225_600.0),
    ],
)
def test_times_are_read_in_every_usual_form(write: Write, written: str, moment: float) -> None:
    """Unix seconds, dates, and times with or without a zone; UTC where none is said."""
    found = read_table([(None, write("t.csv", f"{HEAD},observed_at\na,math,fast,1,1,{written}\n"))])
    assert found.observed_at.tolist() == [moment]


def test_files_of_several_arms_are_one_table(write: Write) -> None:
    """Samples of lm-evaluation-harness, one file a model, become arms with their declared costs."""
    files = []
    for arm, rights in (("small", (1, 0)), ("large", (1, 1))):
        rows = [
            {"doc_id": number, "metrics": ["exact_match"], "exact_match": float(right), "filter": "strict"}
            for number, right in enumerate(rights)
        ]
        name = f"{arm}-samples.jsonl" if arm == "small" else "samples_gsm8k_2026-01-01T10-00-00.123.jsonl"
        files.append((arm, write(name, "\n".join(map(json.dumps, rows)))))
    said = Said(category="math", costs={"small": 1.0, "large": 3.0})
    with pytest.raises(ConfigurationError, match="no item has an outcome of every arm"):
        read_table(files, said=said)
    again = [("small", write("samples_gsm8k_2026-01-02T10-00-00.123.jsonl", files[0][1].read_text())), files[1]]
    found = read_table(again, said=said)
    assert found.items == ("gsm8k/0", "gsm8k/1")
    assert found.arms == ("large", "small")
    assert found.scores.tolist() == [[1.0, 1.0], [1.0, 0.0]]
    assert found.costs.tolist() == [[3.0, 1.0], [3.0, 1.0]]


@pytest.mark.parametrize(
    ("rows", "said", "message"),
    [
        ([{"doc_id": 0, "metrics": ["acc"], "acc": 1}], Said(), "name no arm, category or cost"),
        ([{"doc_id": 0, "metrics": ["acc", "acc_norm"], "acc": 1}], None, "has acc, acc_norm; name the one"),
        ([{"doc_id": 0, "acc": 1}], None, "lists no metrics"),
        ([{"doc_id": 0, "metrics": ["acc"], "acc": "yes"}], None, "line 1: acc: 'yes' is no score"),
        (
            [{"doc_id": 0, "metrics": ["acc"], "acc": 1, "filter": name} for name in ("strict", "flexible")],
            None,
            "line 2: filter: answers were read in several ways, by flexible and strict",
        ),
        ([{"doc_id": 0, "metrics": ["acc"], "acc": 1}, {"acc": 1}], None, "line 2: doc_id: is missing"),
    ],
)
def test_faults_of_samples_are_named(
    write: Write, rows: list[dict[str, object]], said: Said | None, message: str
) -> None:
    """What the file does not say must be said, and what is ambiguous picked."""
    file = write("samples_arc.jsonl", "\n".join(map(json.dumps, rows)))
    known = said or Said(category="math", costs={"small": 1.0})
    with pytest.raises(ConfigurationError, match=message):
        read_table([("small", file)], said=known)


def test_one_filter_of_several_can_be_picked(write: Write) -> None:
    """The samples of other filters are passed over; one that no sample has is refused."""
    rows = [
        {"doc_id": 0, "metrics": ["acc"], "acc": right, "filter": name}
        for name, right in (("strict", 0), ("flexible", 1))
    ]
    file = write("samples_arc.jsonl", "\n".join(map(json.dumps, rows)))
    said = Said(category="math", costs={"small": 1.0}, filter="flexible")
    assert read_table([("small", file)], said=said).scores.tolist() == [[1.0]]
    with pytest.raises(ConfigurationError, match="no sample is of filter 'other'"):
        read_table([("small", file)], said=Said(category="math", costs={"small": 1.0}, filter="other"))


def _promptfoo(**changed: object) -> str:
    row = {
        "testIdx": 0, "promptIdx": 0, "provider": {"id": "openai:gpt", "label": "small"}, "success": True,
        "score": 0.5, "cost": 0.002, "latencyMs": 1500,
        "testCase": {"metadata": {"category": "code", "difficulty": "hard"}},
    }  # fmt: skip
    return json.dumps({"results": {"results": [{**row, **changed}]}})


def test_results_of_promptfoo_are_outcomes(write: Write) -> None:
    """A test is an item and a provider an arm; category and difficulty come from the test's metadata."""
    found = read_table([(None, write("results.json", _promptfoo()))])
    assert (found.items, found.arms, found.cells) == (("0",), ("small",), (("code", "hard"),))
    assert (found.scores[0, 0], found.costs[0, 0], found.latencies[0, 0]) == (0.5, 0.002, 1.5)
    assert not found.is_binary


def test_a_cost_that_promptfoo_did_not_know_can_be_declared(write: Write) -> None:
    """Only the arm that is named gets it; another without a cost is refused still."""
    file = write("results.json", _promptfoo(cost=None))
    assert read_table([(None, file)], said=Said(costs={"small": 2.0})).costs.tolist() == [[2.0]]
    with pytest.raises(ConfigurationError, match="cost: is missing; promptfoo knew no price, so give --cost small="):
        read_table([(None, file)], said=Said(costs={"large": 2.0}))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "not JSON"),
        ("{}", "no results of promptfoo"),
        (_promptfoo(testIdx=None), r"results.results\[0\]: testIdx"),
        (_promptfoo(provider=None), "provider: its label or id"),
        (_promptfoo(testCase=None), "testCase.metadata.category: is missing"),
        (_promptfoo(score=None, success=None), "score: None is no score"),
    ],
)
def test_faults_of_promptfoo_are_named(write: Write, text: str, said: str) -> None:
    """The result and its field are in the message."""
    with pytest.raises(ConfigurationError, match=said):
        read_table([(None, write("results.json", text))])


def test_unknown_and_broken_files_are_refused(write: Write) -> None:
    """A form that nobody knows, and bytes that are not what the name says."""
    with pytest.raises(ConfigurationError, match=r"is of no known form; \.csv"):
        read_table([(None, write("t.xlsx", ""))])
    broken = write("t.csv", "x")
    broken.rename(packed := broken.with_name("t.csv.gz"))
    with pytest.raises(ConfigurationError, match=r"t\.csv\.gz cannot be read: BadGzipFile"):
        read_table([(None, packed)])


def test_parquet_says_what_to_install(write: Write) -> None:
    """Where pyarrow is missing, as it is from the lock, the message names it."""
    assert importlib.util.find_spec("pyarrow") is None
    with pytest.raises(ConfigurationError, match="Parquet is read by pyarrow, which is not installed"):
        read_table([(None, write("t.parquet", ""))])


def test_what_is_not_said_is_not_a_number(write: Write) -> None:
    """No latency and no time is told apart from zero."""
    found = read_table([(None, write("t.csv", f"{HEAD},latency_s\na,math,fast,true,1,\n"))])
    assert math.isnan(found.latencies[0, 0])
    assert math.isnan(found.observed_at[0])
    assert found.cells == (("math", None),)
