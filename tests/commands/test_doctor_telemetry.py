"""Tests of what gateway/commands/doctor.py says of telemetry."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from tests.commands.conftest import Ponder
from tests.upstreams.collector import Collector
from tests.upstreams.faulty_server import closed_port


def _finding(run: Ponder, **more: str) -> dict[str, str] | None:
    findings = {each["check"]: each for each in json.loads(run("doctor", "--json", **more).stdout)}
    return findings.get("telemetry")


def test_nothing_is_said_where_nothing_is_asked_for(run: Ponder) -> None:
    """Without a collector there is no finding."""
    assert _finding(run) is None


def test_a_collector_that_listens_is_well(run: Ponder, config: Path) -> None:
    """Its host and port are named, whoever names it, and it is sent nothing."""
    with Collector() as collector:
        config.write_text(f"telemetry: {{otlp_endpoint: '{collector.address}'}}\n")
        told = _finding(run)
        config.write_text("")
        by_variable = _finding(run, OTEL_EXPORTER_OTLP_ENDPOINT=collector.address.replace("//", "//user:canary@"))
    assert told is not None
    assert told["level"] == "ok"
    assert told == by_variable
    assert collector.bodies == []


def test_a_collector_that_is_away_is_a_warning(run: Ponder, config: Path) -> None:
    """Requests are served without it, so it is no failure."""
    config.write_text(f"telemetry: {{otlp_endpoint: 'http://127.0.0.1:{closed_port()}'}}\n")
    told = _finding(run)
    assert told is not None
    assert (told["level"], "nobody listens" in told["found"]) == ("warn", True)


def test_what_keeps_a_gateway_from_its_start_is_a_failure(run: Ponder, monkeypatch: pytest.MonkeyPatch) -> None:
    """A protocol that is not built in, packages that are missing and an address that is none are told."""
    at = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}
    protocol = _finding(run, **at, OTEL_EXPORTER_OTLP_PROTOCOL="grpc")
    address = _finding(run, OTEL_EXPORTER_OTLP_ENDPOINT="http://[collector")
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    packages = _finding(run, **at)
    for told, words in ((protocol, "http/protobuf"), (address, "cannot be read"), (packages, "ponder[otel]")):
        assert told is not None
        assert (told["level"], words in told["found"]) == ("fail", True), told
