"""Alerts and dashboards: on metrics that there are, with labels that they have."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml

from tests.deploy.places import DEPLOY, ROOT

RULES = DEPLOY / "prometheus" / "rules.yaml"
TRIALS = sorted(RULES.parent.glob("*.test.yaml"))
DASHBOARDS = sorted((DEPLOY / "grafana" / "dashboards").glob("*.json"))
GROUPS: list[dict[str, Any]] = yaml.safe_load(RULES.read_text("utf-8"))["groups"]
ALERTS = {rule["alert"]: rule for group in GROUPS for rule in group["rules"] if "alert" in rule}
RECORDED = {rule["record"] for group in GROUPS for rule in group["rules"] if "record" in rule}
OF_PROMETHEUS = {"up": set[str]()}
BY_PROMETHEUS = {"job", "instance", "le"}
_NAME = re.compile(r"\b(?:ponder[_:][\w:]+|gen_ai_\w+|up)\b")
_GRAFANA = {"$__rate_interval": "5m", "$job": ".*"}


def _metrics() -> dict[str, set[str]]:
    """The labels of each metric, as docs/operate.md has them; a test there holds the table against the program."""
    text = (ROOT / "docs" / "operate.md").read_text("utf-8")
    rows = re.findall(r"(?m)^\| `(\w+)` \| (counter|gauge|histogram) \|([^|]*)\|", text)
    metrics = {name: set(re.findall(r"`(\w+)`", labels)) for name, _, labels in rows}
    histograms = {name for name, kind, _ in rows if kind == "histogram"}
    return metrics | {f"{name}_{part}": metrics[name] for name in histograms for part in ("bucket", "count", "sum")}


METRICS = _metrics() | OF_PROMETHEUS
LABELS = set[str]().union(*METRICS.values()) | BY_PROMETHEUS


def _expressions() -> Iterator[tuple[str, str]]:
    for group in GROUPS:
        for rule in group["rules"]:
            yield rule.get("alert") or rule["record"], rule["expr"]
    for file in DASHBOARDS:
        for panel in json.loads(file.read_text("utf-8"))["panels"]:
            for target in panel.get("targets", ()):
                expression = target["expr"]
                for name, value in _GRAFANA.items():
                    expression = expression.replace(name, value)
                yield f"{file.stem}: {panel['title']}", expression


EXPRESSIONS = list(_expressions())


def _selectors(node: Any) -> Iterator[Any]:
    """The vector selectors of a parsed expression."""
    if isinstance(node, promql_parser.VectorSelector):
        yield node
    for name in ("expr", "lhs", "rhs", "vector_selector", "param"):
        below = getattr(node, name, None)
        if below is not None and not isinstance(below, str | float | int):
            yield from _selectors(below)
    for argument in getattr(node, "args", None) or ():
        yield from _selectors(argument)


@pytest.mark.parametrize(("name", "expression"), EXPRESSIONS, ids=[name for name, _ in EXPRESSIONS])
def test_an_expression_is_about_what_there_is(name: str, expression: str) -> None:
    """It parses, names metrics that the program has, and groups and chooses by labels of these."""
    parsed = promql_parser.parse(expression)
    selectors = list(_selectors(parsed))
    named = {selector.name for selector in selectors}
    assert named == set(_NAME.findall(expression)) - LABELS
    assert named <= METRICS.keys() | RECORDED
    labels = set().union(*(METRICS.get(each, {"upstream"}) for each in named)) | BY_PROMETHEUS
    used = {matcher.name for selector in selectors for matcher in selector.matchers.matchers}
    used |= {label.strip() for by in re.findall(r"\bby \(([^)]*)\)", expression) for label in by.split(",")}
    assert used <= labels


def test_selectors_are_all_found() -> None:
    """Also below functions, in both operands, and in ranges, or a wrong name could pass unseen."""
    text = "sum by (a) (rate(x_a[5m])) / histogram_quantile(0.9, sum(y_b)) and (max_over_time(z_c[1h]) > 3)"
    assert {each.name for each in _selectors(promql_parser.parse(text))} == {"x_a", "y_b", "z_c"}


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_says_how_bad_it_is_and_what_to_do(name: str) -> None:
    """With a severity, a summary and a description, and a line on the page about alerts."""
    rule = ALERTS[name]
    assert rule["labels"]["severity"] in {"warning", "critical"}
    assert set(rule["annotations"]) == {"summary", "description"}
    assert f"| `{name}` |" in (DEPLOY / "README.md").read_text("utf-8")


def test_labels_that_are_told_are_kept() -> None:
    """A summary names no label that its expression has summed away."""
    for name, rule in ALERTS.items():
        told = set(re.findall(r"\$labels\.(\w+)", str(rule["annotations"])))
        kept = {label.strip() for by in re.findall(r"\bby \(([^)]*)\)", rule["expr"]) for label in by.split(",")}
        assert told <= (kept or BY_PROMETHEUS), name


def test_the_chart_brings_the_same_rules() -> None:
    """A chart can only read files of its own folder, so it has a copy."""
    assert (DEPLOY / "helm" / "ponder" / "files" / "rules.yaml").read_bytes() == RULES.read_bytes()


def test_every_alert_is_tried() -> None:
    """The tests of rules have a moment when it fires and one when it does not, and read the rules that are shipped."""
    fires, rests = set(), set()
    for file in TRIALS:
        cases = yaml.safe_load(file.read_text("utf-8"))
        assert cases["rule_files"] == [RULES.name]
        for case in (case for test in cases["tests"] for case in test["alert_rule_test"]):
            (fires if case.get("exp_alerts") else rests).add(case["alertname"])
    assert fires == ALERTS.keys()
    assert rests <= fires
    assert len(TRIALS) == 2


def test_prometheus_itself_agrees() -> None:
    """By promtool's own check and its tests of rules, on machines that have it."""
    promtool = shutil.which("promtool")
    for arguments in (["check", "rules", str(RULES)], *(["test", "rules", str(file)] for file in TRIALS)):
        if promtool is not None:
            result = subprocess.run([promtool, *arguments], check=False, capture_output=True, text=True)
            assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("file", DASHBOARDS, ids=lambda file: file.stem)
def test_a_dashboard_can_be_read(file: Path) -> None:
    """Panels have ids of their own, do not overlap, take their source from the variable, and are titled."""
    board = json.loads(file.read_text("utf-8"))
    panels = board["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        taken |= cells
        assert panel["title"]
        assert all(target["datasource"]["uid"] == "${datasource}" for target in panel.get("targets", ()))
    assert {variable["name"] for variable in board["templating"]["list"]} == {"datasource", "job"}


def test_dashboards_are_told_apart() -> None:
    """Each has an id of its own, and the compose file's Grafana finds them where it looks."""
    boards = [json.loads(file.read_text("utf-8")) for file in DASHBOARDS]
    assert len({board["uid"] for board in boards}) == len(boards) == 2
    provisioning = DEPLOY / "grafana" / "provisioning"
    (provider,) = yaml.safe_load((provisioning / "dashboards" / "ponder.yaml").read_text("utf-8"))["providers"]
    compose = (DEPLOY / "compose" / "compose.yaml").read_text("utf-8")
    assert f"../grafana/dashboards:{provider['options']['path']}:ro" in compose
