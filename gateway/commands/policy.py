"""``ponder policy``: check, explain, test and compare policies before they ship, and go back to earlier ones."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
from typing import Any

import click
import orjson

from gateway.commands import policy_versions
from gateway.commands.output import json_option, print_json
from gateway.commands.policy_diff import diff
from gateway.commands.policy_sources import Source, configured, prepare, source, sources
from gateway.difficulty.classifier import Learned
from gateway.domain.plan import Plan
from gateway.domain.prediction import Prompt
from gateway.errors import ConfigurationError, InvalidRequest, NotFound
from gateway.flow.house import Catalog
from gateway.policy.cases import CaseResult, run_cases
from gateway.policy.check import Finding, Severity, check
from gateway.policy.decide import decide
from gateway.policy.explain import explain, prompt_facts
from gateway.policy.replay import recall
from gateway.policy.schema import json_schema
from gateway.settings import database_url, load, places
from gateway.store.base import locate
from gateway.store.requests import Requests

_FAULT = re.compile(r"[^:]+:(?P<line>\d+): (?P<place>[^:]+): (?P<message>.*)")


@click.group()
def policy() -> None:
    """How asks are answered: check, explain, test and compare policies."""


policy.add_command(diff)
for command in (policy_versions.list_, policy_versions.versions, policy_versions.rollback, policy_versions.release):
    policy.add_command(command)


@policy.command("check")
@click.argument("names", nargs=-1, metavar="[NAME|PATH]...")
@json_option
def check_(names: tuple[str, ...], *, as_json: bool) -> None:
    """Check policies against the models that are configured; without a NAME, all of them.

    Ends with 1 if there are errors. Warnings alone end with 0.
    """
    _, offered = configured()
    chosen = sources(names)
    found = {each.name: _findings(each, offered) for each in chosen}
    if as_json:
        print_json([_finding_document(name, finding) for name, each in found.items() for finding in each])
    else:
        for name, findings in found.items():
            _print_findings(name, findings)
    if any(finding.severity is Severity.ERROR for each in found.values() for finding in each):
        sys.exit(1)


def _findings(chosen: Source, offered: Catalog) -> list[Finding]:
    try:
        read, cases = chosen.policy(), chosen.cases()
    except ConfigurationError as fault:
        return [_of_fault(line) for line in fault.message.splitlines()]
    ready = prepare(read, offered)
    found = check(
        read, ready, offered.models, cases, verifiers=offered.verifiers.keys(), keeps_text=offered.stores_text
    )
    return list(found)


def _of_fault(line: str) -> Finding:
    match = _FAULT.fullmatch(line)
    if match is None:
        return Finding(Severity.ERROR, 1, "", line, "")
    return Finding(Severity.ERROR, int(match["line"]), match["place"], match["message"], "")


def _finding_document(name: str, finding: Finding) -> dict[str, Any]:
    return {
        "policy": name,
        "severity": finding.severity.value,
        "line": finding.line,
        "place": finding.place,
        "message": finding.message,
        "remedy": finding.remedy,
    }


def _print_findings(name: str, findings: list[Finding]) -> None:
    if not findings:
        click.echo(f"{name}: nothing to mend")
    for finding in findings:
        place = f"{finding.place}: " if finding.place else ""
        click.echo(f"{name}/policy.yaml:{finding.line}: {finding.severity}: {place}{finding.message}")
        if finding.remedy:
            click.echo(f"    {finding.remedy}")


@policy.command()
@click.argument("names", nargs=-1, metavar="[NAME|PATH]...")
@json_option
def test(names: tuple[str, ...], *, as_json: bool) -> None:
    """Run the cases of policies; without a NAME, of all of them. Ends with 1 if a case fails.

    Cases bring their own models, so the result does not depend on the configuration.
    """
    results = [(each.name, result) for each in sources(names) for result in _results(each, is_wanted=bool(names))]
    failed = [(name, result) for name, result in results if not result.has_passed]
    if as_json:
        print_json([_result_document(name, result) for name, result in results])
    else:
        for name, result in failed:
            click.echo(f"{name}: {result.name}: {'; '.join(result.differences)}")
        click.echo(f"{len(results) - len(failed)} of {len(results)} cases pass")
    if failed:
        sys.exit(1)


def _results(chosen: Source, *, is_wanted: bool) -> tuple[CaseResult, ...]:
    cases = chosen.cases()
    if cases is None and is_wanted:
        raise NotFound(f"policy {chosen.name} has no cases; they stand in cases.yaml, beside its policy.yaml")
    return () if cases is None else run_cases(chosen.policy(), cases)


def _result_document(name: str, result: CaseResult) -> dict[str, Any]:
    return {
        "policy": name,
        "case": result.name,
        "passed": result.has_passed,
        "differences": list(result.differences),
    }


@policy.command("explain")
@click.argument("name", required=False, metavar="[NAME|PATH]")
@click.option("--prompt", help="Decide for this prompt, as the learned classifier takes it.")
@click.option("--facts", metavar="JSON", help='Decide for these facts, as cases write them: {"category": "math"}.')
@click.option("--request", "request_id", metavar="ID", help="The decision on record; with a NAME, decide it anew.")
@json_option
def explain_(*, name: str | None, prompt: str | None, facts: str | None, request_id: str | None, as_json: bool) -> None:
    """Show how an ask is answered and why, as a tree. Without a NAME: by the policy that ponder.yaml names."""
    if sum(given is not None for given in (prompt, facts, request_id)) != 1:
        raise click.UsageError("give exactly one of --prompt, --facts and --request")
    if request_id is not None:
        plan = asyncio.run(_on_record(request_id))
        if name is not None:
            plan = _decided(name, plan.facts)
    else:
        plan = _decided(
            name,
            prompt_facts(str(prompt), Learned.load().classify(Prompt(text=str(prompt))))
            if prompt is not None
            else _read_facts(str(facts)),
        )
    if as_json:
        print_json(orjson.loads(orjson.dumps(plan, default=str)))
    else:
        click.echo("\n".join(explain(plan)))


async def _on_record(request_id: str) -> Plan:
    where = places(os.environ)
    requests = Requests(locate(database_url(where, load(where.config))))
    try:
        record = await requests.find(request_id)
    finally:
        await requests.close()
    if record is None or record.plan is None:
        raise NotFound(f"no decision is on record for a request {request_id!r}; it may take a moment to get there")
    return record.plan


def _read_facts(text: str) -> dict[str, Any]:
    try:
        facts = json.loads(text)
    except ValueError as fault:
        raise InvalidRequest(f"the facts are not JSON: {fault}") from fault
    if not isinstance(facts, dict):
        raise InvalidRequest('facts are a JSON object, such as {"category": "math", "tokens": 300}')
    return facts


def _decided(name: str | None, facts: Any) -> Plan:
    settings, offered = configured()
    ask = recall(facts)
    return decide(prepare(source(name or settings.policy).policy(), offered), ask.facts, None, ask.snapshots, ask.u)


@policy.command()
def schema() -> None:
    """Print the JSON Schema of policy.yaml, by which editors complete and check it."""
    click.echo(json_schema(), nl=False)
