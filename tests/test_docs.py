"""What the README and the pages of docs/ say, compared with the code."""

from __future__ import annotations

import ast
import asyncio
import json
import re
from collections.abc import Iterator
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Any, get_args

import click
import pytest
import yaml
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from calibrator.cli import COMMANDS as CALIBRATING
from gateway import model_settings, settings
from gateway.app import Gateway
from gateway.cli import COMMANDS, ponder
from gateway.domain.ask import Hints
from gateway.domain.outcome import Outcome
from gateway.domain.record import Result
from gateway.domain.usage import UsageSource
from gateway.errors import PonderError, UpstreamRefused
from gateway.http.dialects import ENDPOINTS
from gateway.http.requests import as_json
from gateway.policy.cases import read_cases
from gateway.policy.reading import read_policy
from gateway.thinking_settings import ThinkingSettings
from gateway.verifier_settings import KINDS
from gateway.wiring import HOSTED
from tests.store.records import FULL, request

ROOT = Path(__file__).parent.parent
PAGES = sorted(page for page in (ROOT / "docs").rglob("*.md") if "results" not in page.parts)
ALL = [ROOT / "README.md", ROOT / "CHANGELOG.md", *PAGES]
SECTIONS: dict[str, type[BaseModel]] = {
    "Top level": settings.Settings,
    "upstreams.NAME": model_settings.UpstreamSettings,
    "models.NAME": model_settings.ModelSettings,
    "models.NAME.thinking": ThinkingSettings,
    "Price, per million tokens": model_settings.PriceSettings,
    "Price, per hour": model_settings.LocalPriceSettings,
    "limits": settings.LimitsSettings,
    "keys": settings.KeySettings,
    "retention": settings.RetentionSettings,
    "database": settings.DatabaseSettings,
    "journal": settings.JournalSettings,
    "broker": settings.BrokerSettings,
    "redis": settings.RedisSettings,
    "shutdown": settings.ShutdownSettings,
    "background": settings.BackgroundSettings,
    "graders": settings.GraderSettings,
    "calibration": settings.CalibrationSettings,
    "telemetry": settings.TelemetrySettings,
    "cors": settings.CorsSettings,
    "webhooks": settings.WebhookSettings,
}
"""Headings of the reference in configure-upstreams.md, and what each documents."""
NO_SETTING = {"NO_COLOR"}
"""Documented variables that are not ours."""
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\(([^)\s]+)\)")


@cache
def _text(page: Path) -> str:
    return page.read_text("utf-8")


def _doc(name: str) -> str:
    return _text(ROOT / "docs" / name)


def _prose(page: Path) -> str:
    return _FENCE.sub("", _text(page))


def _blocks(language: str) -> list[tuple[Path, str]]:
    return [(page, body) for page in ALL for kind, body in _FENCE.findall(_text(page)) if kind == language]


def _section(text: str, heading: str) -> str:
    match = re.search(rf"^#+ {re.escape(heading)}\n(.*?)(?=^#|\Z)", text, re.MULTILINE | re.DOTALL)
    assert match, f"no section {heading!r}"
    return match[1]


def _rows(text: str) -> Iterator[list[str]]:
    """The cells of the tables' rows, without heads and rules."""
    lines = text.splitlines()
    for number, line in enumerate(lines):
        if line.startswith("| ") and not line.startswith("| ---"):
            is_head = number + 1 < len(lines) and lines[number + 1].startswith("| ---")
            if not is_head:
                yield [cell.strip() for cell in line.strip("|").split("|")]


def _table(text: str, column: int = 1) -> dict[str, str]:
    """Name → another cell, for rows that begin with names in code; a row may name several."""
    return {name: row[column] for row in _rows(text) for name in re.findall(r"`([^`]+)`", row[0])}


def _default(field: Any) -> str:
    """A setting's default as the reference spells it."""
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    assert value is not PydanticUndefined
    if value is None:
        return "none"
    if isinstance(value, BaseModel):
        return "see below"
    if isinstance(value, float):
        value = int(value)
    return f"`{json.dumps(value)}`"


@pytest.mark.parametrize("heading", SECTIONS)
def test_every_setting_is_documented_with_its_default(heading: str) -> None:
    """The reference lists exactly the keys that are accepted, each with the default that it has."""
    documented = _table(_section(_doc("configure-upstreams.md"), heading))
    assert documented == {name: _default(field) for name, field in SECTIONS[heading].model_fields.items()}


def test_every_setting_of_a_verifier_is_documented_with_its_default() -> None:
    """The reference of verifiers has a row for every key of every kind, with the default that it has there."""
    tags = {str(get_args(kind.model_fields["kind"].annotation)[0]): kind for kind in KINDS}
    documented: dict[tuple[str, str], str] = {}
    for key, default, kinds, _ in _rows(_section(_doc("verifiers.md"), "Reference of verifiers.NAME")):
        for tag in tags if kinds == "all" else re.findall(r"`([^`]+)`", kinds):
            assert (tag, key.strip("`")) not in documented
            documented[tag, key.strip("`")] = default
    expected = {(tag, name): _default(field) for tag, kind in tags.items() for name, field in kind.model_fields.items()}
    expected["step_rewards", "template"] = "that of Qwen2.5-Math-PRM"
    assert documented == expected


def test_no_section_of_the_settings_is_left_out() -> None:
    """Every model of settings.py and model_settings.py has its section in the reference."""
    named = {**vars(settings), **vars(model_settings)}
    models = {each for each in named.values() if isinstance(each, type) and issubclass(each, BaseModel)}
    assert {each for each in models if each.model_fields} == set(SECTIONS.values())


def test_every_environment_variable_is_documented() -> None:
    """The variables that the code reads are those that the reference lists."""
    folders = (ROOT / "gateway", ROOT / "calibrator")
    sources = [path.read_text("utf-8") for folder in folders for path in folder.rglob("*.py")]
    read = {name for source in sources for name in re.findall(r"\bPONDER_(?!\*)[A-Z_]+\b", source)}
    page = _doc("configure-upstreams.md")
    assert set(_table(_section(page, "Environment variables"))) - NO_SETTING == read
    assert set(_table(_section(page, "Hosted models from keys in the environment"))) == set(HOSTED)


def _errors(kind: type[PonderError]) -> Iterator[type[PonderError]]:
    yield kind
    for each in kind.__subclasses__():
        yield from _errors(each)


def test_every_error_code_is_documented_with_its_status() -> None:
    """The table of error codes lists exactly those of errors.py, each with the status that a client sees."""
    expected = {kind.code: str(kind.status) for kind in _errors(PonderError)}
    expected |= {UpstreamRefused.code: "the upstream's own 4xx", "configuration": ""}
    assert _table(_section(_doc("troubleshoot.md"), "Error codes")) == expected


def test_errors_and_commands_lead_to_pages_that_there_are() -> None:
    """Whatever refuses something, over HTTP or in a terminal, names a page that there is, and a heading of it."""
    commands = (*COMMANDS.values(), *CALIBRATING.values())
    named = {error.page for error in _errors(PonderError)} | {place[2] for place in commands}
    for target in named:
        file, _, anchor = target.partition("#")
        assert (ROOT / file).is_file(), target
        assert not anchor or anchor in _anchors(ROOT / file), target


def test_every_metric_is_documented_with_its_type(tmp_path: Path) -> None:
    """The table of metrics lists exactly those that a gateway exposes."""
    environment = {"PONDER_HOME": str(tmp_path), "PONDER_CONFIG": str(tmp_path / "ponder.yaml")}
    gateway = Gateway(settings.places(environment), {})

    async def render() -> str:
        return gateway.house.meter.render().decode()

    exposed = dict(re.findall(r"^# TYPE (\S+) (\S+)$", asyncio.run(render()), re.MULTILINE))
    assert _table(_section(_doc("operate.md"), "Metrics")) == exposed


def _leaves(command: click.Command, name: str, context: click.Context) -> Iterator[str]:
    if not isinstance(command, click.Group):
        yield name
        return
    for part in command.list_commands(context):
        inner = command.get_command(context, part)
        assert inner is not None
        yield from _leaves(inner, f"{name} {part}", context)


def test_every_command_is_documented() -> None:
    """The table of commands lists exactly those that there are."""
    commands = set(_leaves(ponder, "ponder", click.Context(ponder)))
    assert set(_table(_section(_doc("operate.md"), "Commands"))) == commands


@pytest.mark.parametrize("page", ALL, ids=lambda page: page.name)
def test_commands_and_targets_that_are_named_exist(page: Path) -> None:
    """Every `ponder` command, `make` target and folder that a page names is there."""
    code = " \n".join(re.findall(r"`([^`\n]+)`", _prose(page)) + [body for _, body in _FENCE.findall(_text(page))])
    named = set(re.findall(r"^ponder ([a-z-]+)", code, re.MULTILINE))
    assert named <= COMMANDS.keys() | CALIBRATING.keys()
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    assert set(re.findall(r"\bmake ([a-z][a-z-]*)\b", code)) <= targets


def test_folders_that_the_readme_lists_exist() -> None:
    """The map of the folders names only what is there."""
    folders = _table(_section(_text(ROOT / "README.md"), "The folders"))
    assert folders
    assert not [name for name in folders if not (ROOT / name).exists()]


def _paths(value: Any, prefix: str = "") -> Iterator[str]:
    """The fields of a record, as read-a-record.md names them: ``plan.ceilings.cost_usd``."""
    for name, inner in value.items():
        if name == "calls":
            yield name
            yield from _paths(inner[0])
        elif name in {"draws", "outcomes"}:
            yield f"{prefix}{name}"
            yield from _paths(inner[0], f"{name}.")
        elif isinstance(inner, dict) and name in {"plan", "ceilings", "spent", "search"}:
            if name == "ceilings":
                yield from _paths(inner, f"{prefix}{name}.")
                continue
            yield f"{prefix}{name}"
            yield from _paths(inner, f"{name}.")
        else:
            yield prefix + name


def test_every_field_of_a_record_is_documented() -> None:
    """The tables of read-a-record.md list exactly the fields that the API shows, and every way to end."""
    page = _doc("read-a-record.md")
    tables = ("The request", "The plan", "The calls", "Usage", "The search", "The outcomes")
    documented = {name for heading in tables for name in _first_cells(_section(page, heading))}
    told = Outcome(FULL.id, "user", 1.0, FULL.started_at, FULL.key_id, is_vouched=False)
    assert documented == set(_paths(as_json(request(search=FULL.search), [told])))
    assert set(_table(_section(page, "Results"))) == {result.value for result in Result}
    assert all(f"`{source.value}`" in page for source in UsageSource)


def _first_cells(text: str) -> set[str]:
    return {name for row in _rows(text) for name in re.findall(r"`([^`]+)`", row[0])}


def test_every_hint_header_and_endpoint_is_documented() -> None:
    """connect-a-client.md lists the hints that are accepted, the headers of answers and the endpoints."""
    page = _doc("connect-a-client.md")
    assert set(_table(_section(page, "Hints"))) == {field.name for field in fields(Hints)}
    replies = (ROOT / "gateway" / "flow" / "reply.py").read_text("utf-8")
    written = set(re.findall(r'b"(x-ponder-[a-z-]+)"', replies))
    assert written <= _first_cells(_section(page, "Response headers"))
    assert all(f"`POST {path}`" in page for path in ENDPOINTS)


@pytest.mark.parametrize("page", [*ALL, ROOT / "CONVENTIONS.md"], ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    """Every relative link names a file that exists, and a heading in it if it names one."""
    for target in _LINK.findall(_prose(page)):
        if target.startswith(("http://", "https://")):
            continue
        file, _, anchor = target.partition("#")
        linked = (page.parent / file).resolve() if file else page
        assert linked.exists(), f"{page.name}: {target}"
        assert not anchor or anchor in _anchors(linked), f"{page.name}: {target}"


def _anchors(page: Path) -> set[str]:
    """The names that GitHub gives to headings."""
    headings = re.findall(r"^#+ (.+)$", _prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize(("page", "body"), _blocks("python"), ids=lambda part: getattr(part, "name", ""))
def test_python_examples_parse(page: Path, body: str) -> None:
    """Every Python example is Python."""
    ast.parse(body, filename=page.name)


@pytest.mark.parametrize(("page", "body"), _blocks("json"), ids=lambda part: getattr(part, "name", ""))
def test_json_examples_parse(page: Path, body: str) -> None:
    """Every JSON example is JSON, as one document or one per line."""
    try:
        json.loads(body)
    except ValueError:
        assert [json.loads(line) for line in body.splitlines()], page.name


@pytest.mark.parametrize(("page", "body"), _blocks("yaml"), ids=lambda part: getattr(part, "name", ""))
def test_configuration_examples_are_valid(page: Path, body: str) -> None:
    """Every YAML example is a configuration, a policy or its cases, and is accepted."""
    data = yaml.safe_load(body)
    if "arms" in data:
        assert read_policy(data["policy"], body), page.name
    elif "cases" in data:
        assert read_cases(page.name, body), page.name
    else:
        assert settings.Settings.model_validate(data), page.name
