"""`ponder prm label` against a real HTTP server that answers as vLLM does."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from calibrator.prm.commands import prm
from calibrator.prm.labels import Log, read_chains, read_log
from tests.calibrator.prm.completions_server import CompletionsServer

PATIENCE_S = 60
ITEMS = 6
IN, OUT = Decimal("1.5"), Decimal("6")
"""Dollars per million tokens."""
LATER = "import sys; from calibrator.prm.commands import prm; prm()"


@pytest.fixture
def server() -> Iterator[CompletionsServer]:
    """A server that answers everything."""
    with CompletionsServer() as running:
        yield running


@pytest.fixture
def items(tmp_path: Path) -> Path:
    """Six problems whose answer is 1; every other one is a conversation."""
    grader = {"pattern": "^A:(\\d)$"}
    rows: list[dict[str, object]] = []
    for number in range(ITEMS):
        row: dict[str, object] = {"id": f"p{number}", "answer": 1, "grader": grader, "difficulty": number % 2}
        question = f"problem {number}?"
        asked = {"messages": [{"role": "user", "content": question}]} if number % 2 else {"prompt": f"{question}\n"}
        rows.append({**row, **asked})
    file = tmp_path / "items.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


def _environment(folder: Path, server: CompletionsServer, price: str = "free") -> dict[str, str]:
    config = folder / "ponder.yaml"
    config.write_text(
        f"upstreams: {{gpu: {{kind: vllm, base_url: '{server.address}/v1'}}}}\n"
        f"models: {{small: {{upstream: gpu, price: {price}}}}}\n"
    )
    return {"PONDER_CONFIG": str(config), "PONDER_HOME": str(folder / "state")}


def _with_completer(
    folder: Path, server: CompletionsServer, strong: CompletionsServer, price: str = "free"
) -> dict[str, str]:
    environment = _environment(folder, server)
    config = folder / "ponder.yaml"
    upstreams, models = config.read_text().splitlines()
    config.write_text(
        f"{upstreams[:-1]}, other: {{kind: vllm, base_url: '{strong.address}/v1'}}}}\n"
        f"{models[:-1]}, strong: {{upstream: other, price: {price}}}}}\n"
    )
    return environment


def _priced(folder: Path, server: CompletionsServer) -> dict[str, str]:
    return _environment(folder, server, f"{{input_per_mtok: {IN}, output_per_mtok: {OUT}}}")


def _arguments(items: Path, out: Path, *more: str) -> list[str]:
    options = ["--model", "small", "--out", str(out), "--boundary", "newline", "--max-tokens", "40"]
    return ["label", str(items), *options, "--chains", "3", "--concurrency", "8", "--json", *more]


def _label(items: Path, out: Path, environment: dict[str, str], *more: str) -> Result:
    return CliRunner().invoke(prm, _arguments(items, out, *more), env=environment)


def test_steps_are_labelled_by_how_often_their_completions_end_right(
    server: CompletionsServer, items: Path, tmp_path: Path
) -> None:
    """Every step has a value, 0 once a step was bad; the last step's is whether the answer is right."""
    out = tmp_path / "labels.jsonl"
    result = _label(items, out, _environment(tmp_path, server))
    assert result.exit_code == 0, result.output
    chains = read_chains(out)
    assert json.loads(result.stdout)["chains"] == len(chains) == ITEMS * 3
    assert {chain.question for chain in chains} == {f"problem {n}?{'' if n % 2 else chr(10)}" for n in range(ITEMS)}
    assert {chain.difficulty for chain in chains} == {"0", "1"}
    for chain in chains:
        assert [step.strip() for step in chain.steps[:3]] == [step.strip() for step in "".join(chain.steps).split()[:3]]
        assert len(chain.values) == len(chain.steps) == 4
        assert chain.values[-1] == chain.is_right == (chain.answer == "1")
        is_bad = False
        for step, value in zip(chain.steps[:-1], chain.values, strict=False):
            is_bad = is_bad or step == "bad\n"
            assert value is not None
            assert (value == 0) if is_bad else (value > 0)
    assert any(0 < (value or 0) < 1 for chain in chains for value in chain.values)


def test_an_answer_that_stands_in_the_prefix_counts(server: CompletionsServer, items: Path, tmp_path: Path) -> None:
    """A completion is judged together with the prefix that it goes on from."""
    rows = [json.loads(line) for line in items.read_text().splitlines()]
    asked = {"answer": "good", "grader": {"pattern": "^(good|bad)$"}}
    items.write_text("".join(json.dumps({**row, **asked}) + "\n" for row in rows))
    out = tmp_path / "labels.jsonl"
    assert _label(items, out, _environment(tmp_path, server)).exit_code == 0
    thirds = [(chain.steps[2], chain.values[2]) for chain in read_chains(out)]
    assert all(value == (step == "good\n") for step, value in thirds)
    assert len({step for step, _ in thirds}) == 2


def test_prefixes_go_out_as_the_tokens_that_came_back_and_shared_ones_once(
    server: CompletionsServer, items: Path, tmp_path: Path
) -> None:
    """A completion is asked for by token ids; chains that begin alike share their completions."""
    out = tmp_path / "labels.jsonl"
    _label(items, out, _environment(tmp_path, server))
    sent = [request.json for request in server.requests if request.path == "/v1/completions"]
    assert all(isinstance(body["prompt"], list) for body in sent if body["max_tokens"] > 1)
    drawn = Counter(prompt for prompt, seed in server.asked if seed is not None and not prompt.endswith("?\n"))
    assert set(drawn.values()) <= {4, 8}
    assert max(Counter(server.asked).values()) == 1
    assert all(body["max_tokens"] + len(body["prompt"]) <= 40 + len("problem 0?\n") for body in sent if "seed" in body)


def test_another_model_completes_the_prefixes(server: CompletionsServer, items: Path, tmp_path: Path) -> None:
    """Chains come from the model, completions from the completer; both are counted, and the file says who completed."""
    out = tmp_path / "labels.jsonl"
    with CompletionsServer() as strong:
        environment = _with_completer(tmp_path, server, strong)
        assert _label(items, out, environment, "--completer", "strong", "--per-prefix", "1").exit_code == 0
        told = {each: sum(tokens for _, tokens in each.usage) for each in (server, strong)}
        drawn = [prompt for prompt, seed in strong.asked if seed is not None]
    log = read_log(out)
    begun = [prompt for prompt, seed in server.asked if seed is not None]
    assert len(begun) == len(log.chains) == ITEMS * 3
    assert all(prompt.endswith("?\n") for prompt in begun)
    assert len(drawn) == sum(map(len, log.draws.values())) == len(log.draws)
    assert not any(prompt.endswith("?\n") for prompt in drawn)
    assert log.output_tokens == sum(told.values())
    assert None not in {value for chain in read_chains(out) for value in chain.values}
    result = _label(items, out, environment, "--per-prefix", "1")
    assert "begun with completer 'strong'" in str(result.exception)


def test_a_completer_of_other_tokens_is_refused(server: CompletionsServer, items: Path, tmp_path: Path) -> None:
    """Prefixes are handed over as token ids, which must mean the same to both; found before any chain is drawn."""
    items.write_text(json.dumps({"id": "long", "prompt": "x" * 600, "answer": 1}) + "\n" + items.read_text())
    out = tmp_path / "labels.jsonl"
    with CompletionsServer(shift=1) as strong:
        for _ in range(2):
            result = _label(items, out, _with_completer(tmp_path, server, strong), "--completer", "strong")
            assert "the same tokenizer" in str(result.exception)
    assert not read_log(out).chains


def test_a_completer_that_costs_money_needs_a_cap(server: CompletionsServer, items: Path, tmp_path: Path) -> None:
    """A free model with a priced completer is not free."""
    with CompletionsServer() as strong:
        environment = _with_completer(tmp_path, server, strong, "{input_per_mtok: 1, output_per_mtok: 1}")
        result = _label(items, tmp_path / "labels.jsonl", environment, "--completer", "strong")
        assert "model strong is not free" in str(result.exception)
        assert not strong.asked


def test_completions_that_agree_end_a_prefix_early(server: CompletionsServer, items: Path, tmp_path: Path) -> None:
    """Half of the completions are drawn first, the others only where those do not agree; unless told otherwise."""
    out = tmp_path / "labels.jsonl"
    _label(items, out, _environment(tmp_path, server))
    drawn = read_log(out).draws.values()
    assert {len(draws) for draws in drawn} == {4, 8}
    for draws in drawn:
        first = [draws[number] for number in range(4)]
        assert (len(draws) == 4) == (len(set(first)) == 1)
    _label(items, tmp_path / "all.jsonl", _environment(tmp_path, server), "--not-adaptive")
    assert {len(draws) for draws in read_log(tmp_path / "all.jsonl").draws.values()} == {8}


def test_the_same_seed_gives_the_same_labels(server: CompletionsServer, items: Path, tmp_path: Path) -> None:
    """Labels depend on the seed, and not on what comes back first."""
    environment = _environment(tmp_path, server)
    for name, seed in (("a", "1"), ("b", "1"), ("c", "2")):
        _label(items, tmp_path / name, environment, "--seed", seed)
    assert read_chains(tmp_path / "a") == read_chains(tmp_path / "b")
    assert read_chains(tmp_path / "a") != read_chains(tmp_path / "c")


def test_a_killed_run_goes_on_where_it_was(items: Path, tmp_path: Path) -> None:
    """After kill -9 in the middle, nothing that came back is asked again, and the labels are those of one whole run."""
    out, answers = tmp_path / "labels.jsonl", 40
    with CompletionsServer(answers=answers) as server:
        environment = _environment(tmp_path, server)
        process = subprocess.Popen(
            [sys.executable, "-c", LATER, *_arguments(items, out)], env={**os.environ, **environment}
        )
        deadline = time.monotonic() + PATIENCE_S
        while not out.exists() or out.read_bytes().count(b"\n") < answers + 1:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        process.wait(PATIENCE_S)
        with out.open("ab") as file:
            file.write(b'{"kind":"draw","item":"p0","pre')  # what a kill in the middle of a write leaves
        before, asked_before = read_log(out), list(server.asked)
        server.release()
        assert _label(items, out, environment).exit_code == 0
        whole = tmp_path / "whole.jsonl"
        answered = Counter(server.asked)
        assert _label(items, whole, environment).exit_code == 0
    assert len(before.chains) + sum(map(len, before.draws.values())) + len(before.prompts) == answers
    again = [asked for asked, times in answered.items() if times > 1]
    assert len(again) <= len(asked_before) - answers
    assert read_chains(out) == read_chains(whole)


def test_the_spending_cap_holds_to_the_last_nano_dollar(server: CompletionsServer, items: Path, tmp_path: Path) -> None:
    """What was spent is what the server counted, never beyond the cap and near it; a higher cap goes on."""
    out, cap = tmp_path / "labels.jsonl", Decimal("0.01")
    environment = _priced(tmp_path, server)
    stopped = _label(items, out, environment, "--spend-at-most-usd", str(cap))
    assert stopped.exit_code == 1
    log = read_log(out)
    assert log.spent == _counted(server) <= cap
    dearest = (IN * 60 + OUT * 40) / 1_000_000
    assert log.spent > cap - dearest
    assert json.loads(stopped.stdout)["spent_usd"] == str(log.spent.normalize())
    asked = len(server.asked)
    assert _label(items, out, environment, "--spend-at-most-usd", "1").exit_code == 0
    assert read_log(out).spent == _counted(server) > cap
    assert max(Counter(server.asked).values()) == 1
    assert len(server.asked) > asked


def test_a_model_that_costs_money_needs_a_cap(server: CompletionsServer, items: Path, tmp_path: Path) -> None:
    """Nothing is asked of a priced model without a spending cap."""
    result = _label(items, tmp_path / "labels.jsonl", _priced(tmp_path, server))
    assert "--spend-at-most-usd" in str(result.exception)
    assert not server.asked


def test_calls_that_break_off_count_in_full_and_are_made_again(items: Path, tmp_path: Path) -> None:
    """A call whose answer was lost may have been charged: its ceiling is counted, and the labels come all the same."""
    out = tmp_path / "labels.jsonl"
    with CompletionsServer(broken=2) as server:
        environment = _priced(tmp_path, server)
        assert _label(items, out, environment, "--spend-at-most-usd", "1").exit_code == 0
        log = read_log(out)
        lost = [json.loads(line) for line in out.read_text().splitlines() if '"lost"' in line]
        assert len(lost) == 2
        assert all(Decimal(row["usd"]) > IN * 512 / 1_000_000 for row in lost)
        assert log.spent == _counted(server) + sum(Decimal(row["usd"]) for row in lost)
    assert all(None not in chain.values for chain in read_chains(out))


def test_an_item_that_the_server_refuses_stops_no_other(server: CompletionsServer, items: Path, tmp_path: Path) -> None:
    """A prompt that is too long is named in the summary; the other items are labelled."""
    with items.open("a") as file:
        file.write(json.dumps({"id": "long", "prompt": "x" * 600, "answer": 1}) + "\n")
    result = _label(items, tmp_path / "labels.jsonl", _environment(tmp_path, server))
    assert result.exit_code == 0
    said = json.loads(result.stdout)
    assert said["refused_items"] == ["long"]
    assert said["items"] == ITEMS


def test_a_file_begun_in_another_way_is_not_gone_on_with(
    server: CompletionsServer, items: Path, tmp_path: Path
) -> None:
    """Labels drawn in two ways are not mixed in one file."""
    out, environment = tmp_path / "labels.jsonl", _environment(tmp_path, server)
    _label(items, out, environment)
    before = out.read_bytes()
    result = _label(items, out, environment, "--per-prefix", "4")
    assert "per_prefix" in str(result.exception)
    assert out.read_bytes() == before


def test_a_server_that_is_away_ends_the_run_with_what_there_is(
    server: CompletionsServer, items: Path, tmp_path: Path
) -> None:
    """Nobody there: the run ends with the fault, and the file can be gone on with."""
    environment = _environment(tmp_path, server)
    config = tmp_path / "ponder.yaml"
    told = config.read_text()
    config.write_text(told.replace(f":{server.port}", ":9"))
    out = tmp_path / "labels.jsonl"
    result = _label(items, out, environment)
    assert "cannot be reached" in str(result.exception)
    config.write_text(told)
    assert _label(items, out, environment).exit_code == 0


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ({"id": "a", "prompt": "x"}, "`answer`"),
        ({"id": "a", "answer": 1}, "either `prompt`"),
        ({"id": "a", "answer": 1, "messages": ["x"]}, "`role`"),
        ({"id": "a", "answer": 1, "prompt": "x", "grader": "best"}, "`grader` is"),
        ({"id": "a", "answer": 1, "prompt": "x", "grader": {"pattern": "("}}, "no regular expression"),
        ({"id": "a", "answer": 1, "prompt": "x", "grader": {"pattern": "x"}}, "0 groups"),
        ({"id": "a", "answer": 1, "prompt": "x", "gold": 1}, "'gold' is unknown"),
    ],
)
def test_items_at_fault_are_named(
    line: dict[str, object], message: str, server: CompletionsServer, tmp_path: Path
) -> None:
    """A line that is no item is refused with its number and what would be accepted, before anything is asked."""
    file = tmp_path / "items.jsonl"
    file.write_text(json.dumps(line))
    result = _label(file, tmp_path / "labels.jsonl", _environment(tmp_path, server))
    assert "line 1" in str(result.exception)
    assert message in str(result.exception)
    assert not server.asked


def _counted(server: CompletionsServer) -> Decimal:
    """What the server's answers cost, each rounded to the nano-dollar."""
    return sum(((IN * read + OUT * written) / 1_000_000 for read, written in server.usage), Decimal(0))


def test_a_log_is_read_up_to_a_line_that_was_cut_off(tmp_path: Path) -> None:
    """A file whose last line has no end holds what stands before it."""
    file = tmp_path / "labels.jsonl"
    file.write_text('{"kind":"prompt","item":"a","ids":[1,2]}\n{"kind":"prompt","item":"b","ids":[1')
    assert read_log(file) == Log(prompts={"a": (1, 2)})
