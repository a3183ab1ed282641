"""Tests of gateway/commands/policy.py and gateway/commands/policy_diff.py."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.policy.schema import json_schema
from gateway.store import schema
from gateway.store.base import locate
from gateway.store.sinks import open_sink
from tests.commands.conftest import Ponder
from tests.policy.world import TEXT, ask, plan, predicted
from tests.store.records import request

_CONFIG = """
upstreams:
  hosted: {kind: openai, base_url: "http://127.0.0.1:9/v1"}
models:
  haiku: {upstream: hosted, price: {input_per_mtok: 1, output_per_mtok: 5}, max_output_tokens: 8000}
  sonnet: {upstream: hosted, price: {input_per_mtok: 3, output_per_mtok: 15}, max_output_tokens: 64000}
"""
_CASES = """
models:
  haiku: {input_per_mtok: 1, output_per_mtok: 5}
  sonnet: {input_per_mtok: 3, output_per_mtok: 15}
cases:
  - {name: talk, facts: {category: chat}, expect: {arm: fast}}
  - {name: sums, facts: {category: math}, expect: {arm: think-hard}}
"""


@pytest.fixture
def folder(config: Path) -> Path:
    """An operator's own policy, beside a ponder.yaml with its models."""
    config.write_text(_CONFIG)
    own = config.parent / "policies" / "work"
    own.mkdir(parents=True)
    (own / "policy.yaml").write_text(TEXT)
    (own / "cases.yaml").write_text(_CASES)
    return own


def test_a_check_tells_what_to_mend(run: Ponder, folder: Path) -> None:
    """Warnings have a line and a remedy, and end with 0."""
    result = run("policy", "check", "work")
    assert result.exit_code == 0
    assert "work/policy.yaml:4: warning: arms.vote: drops out: model local is not configured" in result.output
    assert "rule 'hurried' changes the answer of no case" in result.output
    found = json.loads(run("policy", "check", "work", "--json").output)
    assert {"policy", "severity", "line", "place", "message", "remedy"} == found[0].keys()
    assert [each["line"] for each in found] == sorted(each["line"] for each in found)


def test_a_fault_is_an_error_with_its_line(run: Ponder, folder: Path) -> None:
    """Every fault is told, and the check ends with 1; other policies are checked nevertheless."""
    (folder / "policy.yaml").write_text(TEXT.replace("arm: think,", "arm: thnk,").replace("[think, fast]", "[slow]"))
    result = run("policy", "check", "work", "--json")
    assert result.exit_code == 1
    assert [(each["severity"], each["line"], each["place"]) for each in json.loads(result.output)] == [
        ("error", 9, "defaults.arm"),
        ("error", 9, "defaults.fallbacks.0"),
    ]
    everything = json.loads(run("policy", "check", "--json").output)
    assert {each["policy"] for each in everything} >= {"work", "default", "thrift", "careful"}


def test_cases_are_run(run: Ponder, folder: Path) -> None:
    """A case that fails is told with what came instead, and ends with 1."""
    assert run("policy", "test", "work").output == "2 of 2 cases pass\n"
    (folder / "cases.yaml").write_text(_CASES.replace("{arm: think-hard}", "{arm: think}"))
    result = run("policy", "test", "work")
    assert result.exit_code == 1
    assert result.output == "work: sums: arm is 'think-hard' and not 'think'\n1 of 2 cases pass\n"
    rows = json.loads(run("policy", "test", "work", "--json").output)
    assert [row["passed"] for row in rows] == [True, False]


def test_the_shipped_policies_pass_their_cases_anywhere(run: Ponder) -> None:
    """Cases bring their own models, so nothing has to be configured."""
    result = run("policy", "test", "default", "thrift", "careful")
    assert result.exit_code == 0
    assert "cases pass" in result.output


def test_a_policy_without_cases_is_told_when_it_is_named(run: Ponder, folder: Path) -> None:
    """Among all policies it is passed over."""
    (folder / "cases.yaml").unlink()
    assert "policy work has no cases" in run("policy", "test", "work").output
    assert run("policy", "test").exit_code == 0


def test_a_decision_is_explained_from_facts(run: Ponder, folder: Path) -> None:
    """By the policy that is named, with the configured models; what cannot be used is told."""
    result = run("policy", "explain", "work", "--facts", '{"category": "math", "deadline_s": 1}')
    assert result.output.startswith("fast: haiku, effort none\n")
    assert "rule: hurried" in result.output
    document = json.loads(run("policy", "explain", "work", "--facts", "{}", "--json").output)
    assert (document["arm"]["name"], document["rule"]) == ("think", None)


def test_a_decision_is_explained_from_a_prompt(run: Ponder, folder: Path) -> None:
    """As the learned classifier takes it; the prompt itself is not shown."""
    prompt = "Compute the integral of x^2 from 0 to 3 and show each step."
    result = run("policy", "explain", "work", "--prompt", prompt)
    assert result.exit_code == 0
    assert "category: math" in result.output
    assert "(learned)" in result.output
    assert "integral" not in result.output


@pytest.mark.parametrize(
    ("arguments", "message", "code"),
    [
        (("work",), "exactly one of --prompt, --facts and --request", 2),
        (("work", "--facts", "{}", "--prompt", "x"), "exactly one of", 2),
        (("gone", "--facts", "{}"), "there is no policy 'gone'", 1),
        (("work", "--facts", "[]"), "facts are a JSON object", 1),
        (("work", "--facts", "{"), "the facts are not JSON", 1),
        (("work", "--facts", '{"categry": "math"}'), "not in a form that is known here: categry", 1),
    ],
)
def test_what_cannot_be_explained_is_refused(
    run: Ponder, folder: Path, arguments: tuple[str, ...], message: str, code: int
) -> None:
    """With what would be accepted."""
    result = run("policy", "explain", *arguments)
    assert message in result.output
    assert result.exit_code == code


def _record(home: Path, *categories: str) -> list[str]:
    """Put decided requests on record; their ids."""
    home.mkdir(exist_ok=True)
    url = f"sqlite+aiosqlite:///{home / 'ponder.db'}"
    records = [
        request(number, plan=plan(facts=ask(predicted(category))), started_at=1_795_348_800.0 + number)
        for number, category in enumerate(categories)
    ]

    async def write() -> None:
        await schema.upgrade(url)
        sink = open_sink(locate(url))
        await sink.write([*records, request(99), _observed(records[0].plan)])
        await sink.close()

    asyncio.run(write())
    return [record.id for record in records]


def _observed(decided):  # type: ignore[no-untyped-def]
    return request(98, plan=replace(decided, is_observed=True))


def test_a_decision_on_record_is_explained(run: Ponder, folder: Path, tmp_path: Path) -> None:
    """As it was made; with a policy's name, as that one would make it today."""
    (made, *_) = _record(tmp_path / "home", "math")
    result = run("policy", "explain", "--request", made)
    assert result.output.startswith("think-hard: sonnet, effort high\n")
    (folder / "policy.yaml").write_text(TEXT.replace("until_certified: think-hard", "until_certified: fast"))
    assert run("policy", "explain", "work", "--request", made).output.startswith("fast: haiku, effort none\n")
    assert "no decision is on record" in run("policy", "explain", "--request", "gone").output


def test_policies_are_compared_over_the_asks_on_record(run: Ponder, folder: Path, tmp_path: Path) -> None:
    """A draft in a file of its own against the policy in force; costs are what they were, an observed one's not."""
    _record(tmp_path / "home", "math", "math", "chat")
    draft = tmp_path / "draft.yaml"
    draft.write_text(TEXT.replace("until_certified: think-hard", "until_certified: fast"))
    difference = json.loads(run("policy", "diff", "work", str(draft), "--json").output)
    assert (difference["asks"], difference["changed"]) == (4, 3)
    assert difference["changes"] == [{"category": "math", "before": "think-hard", "after": "fast", "asks": 3}]
    assert difference["before"] == {"cost_usd": "0.000492", "unknown": 0, "refused": 0}
    shown = run("policy", "diff", "work", str(draft), "--last", "2").output
    assert "1 of 2 decisions change (50.0%)" in shown
    assert "expected cost before: $" in shown


def test_policies_are_compared_over_the_asks_of_a_file(run: Ponder, folder: Path, tmp_path: Path) -> None:
    """One JSON object a line; a line that is none is told by its number."""
    asks = tmp_path / "asks.jsonl"
    asks.write_text('{"facts": {"category": "chat"}, "arm": "fast", "cost_usd": "0.002"}\n\n{"facts": {}}\n')
    difference = json.loads(run("policy", "diff", "work", "work", "--file", str(asks), "--json").output)
    assert (difference["asks"], difference["changed"], difference["after"]["unknown"]) == (2, 0, 1)
    asks.write_text('{"facts": {}}\n{"facts": {"mood": "good"}}\n')
    assert "1 more were recorded in a form" in run("policy", "diff", "work", "work", "--file", str(asks)).output
    asks.write_text('{"facts": {}}\n{"fact": {}}\n')
    assert "asks.jsonl:2: must be a JSON object" in run("policy", "diff", "work", "work", "--file", str(asks)).output


def test_nothing_to_compare_by_is_told(run: Ponder, folder: Path, tmp_path: Path) -> None:
    """An empty file, or two sources at once, compare nothing."""
    empty = tmp_path / "empty.jsonl"
    empty.write_text("")
    assert "no asks to compare by" in run("policy", "diff", "work", "work", "--file", str(empty)).output
    assert "one of --last and --file" in run(
        "policy", "diff", "work", "work", "--file", str(empty), "--last", "3"
    ).output  # fmt: skip


def test_the_schema_is_printed_as_it_is_shipped(run: Ponder) -> None:
    """So that the output can be written to policies/policy.schema.json."""
    assert run("policy", "schema").output == json_schema()
