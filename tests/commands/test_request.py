"""Tests of gateway/commands/request.py and running.py, against a server that answers like the gateway."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from gateway.commands.running import reachable_host, url_of
from gateway.settings import places
from tests.commands.answering import answering
from tests.commands.conftest import Ponder

_ID = "019ab000-0000-7000-8000-000000000001"
_RECORD: dict[str, Any] = {
    "id": _ID,
    "model_asked": "local",
    "cost_usd": "0.00012",
    "error": None,
    "plan": {"arm": "local", "reasons": ["the model asked for", "[bold]no markup[/bold]"]},
    "calls": [{"attempt": 1, "upstream": "embedded", "model": "local", "result": "answered", "status": 200}],
}


def _port(url: str) -> str:
    return url.rsplit(":", 1)[1]


def test_a_record_is_shown_as_a_table(run: Ponder) -> None:
    """Fields stand one per line with nested names dotted, empty ones left out, then the calls."""
    with answering({f"/v1/requests/{_ID}": (200, _RECORD)}, key="sk-1") as (url, _):
        result = run("request", "show", _ID, PONDER_PORT=_port(url), PONDER_KEY="sk-1")
    assert result.exit_code == 0
    assert "0.00012" in result.output
    assert "the model asked for, [bold]no markup[/bold]" in result.output
    assert "plan.reasons" in result.output
    assert "answered" in result.output
    assert "error" not in result.output.split("attempt")[0]


def test_outcomes_are_shown_as_a_table(run: Ponder) -> None:
    """What is known of the answer stands below the calls, one row per source; without any, nothing is said."""
    said = {"source": "user", "score": 0.25, "at": "2026-11-22T12:00:00.000+00:00", "by": "default", "comment": None}
    for outcomes, is_shown in (([said], True), ([], False)):
        record = {**_RECORD, "outcomes": outcomes}
        with answering({f"/v1/requests/{_ID}": (200, record)}, key="sk-1") as (url, _):
            result = run("request", "show", _ID, PONDER_PORT=_port(url), PONDER_KEY="sk-1")
        assert result.exit_code == 0
        assert ("0.25" in result.output.split("attempt")[1]) is is_shown
        assert ("probability" in result.output) is is_shown


def test_json_is_the_record_itself(run: Ponder) -> None:
    """With --json the record is printed as the gateway told it."""
    with answering({f"/v1/requests/{_ID}": (200, _RECORD)}) as (url, _):
        result = run("request", "show", _ID, "--json", PONDER_PORT=_port(url), PONDER_KEY="sk-1")
    assert json.loads(result.output) == _RECORD


def test_the_key_comes_from_home(run: Ponder, environment: dict[str, str]) -> None:
    """Without PONDER_KEY, the key of PONDER_HOME is sent."""
    home = Path(environment["PONDER_HOME"])
    home.mkdir()
    (home / "default.key").write_text("sk-from-home\n")
    with answering({f"/v1/requests/{_ID}": (200, _RECORD)}, key="sk-from-home") as (url, _):
        assert run("request", "show", _ID, PONDER_PORT=_port(url)).exit_code == 0


def test_no_key_is_a_configuration_error(run: Ponder) -> None:
    """Without any key, the message names both places for one, and the exit code is 2."""
    result = run("request", "show", _ID)
    assert result.exit_code == 2
    assert "PONDER_KEY" in result.output
    assert "default.key" in result.output


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ((404, {"error": {"message": "no request with this id"}}), "no request with this id"),
        ((401, {"error": {"message": "this key is not known"}}), "this key is not known"),
        ((500, b"<html>"), "answered 500 with something that is not JSON"),
        ((503, {"detail": 1}), "the gateway answered 503"),
    ],
)
def test_a_refusal_is_shown_in_the_gateways_words(run: Ponder, answer: tuple[int, Any], words: str) -> None:
    """What the gateway refuses ends with its message, exit code 1 and no traceback."""
    with answering({f"/v1/requests/{_ID}": answer}) as (url, _):
        result = run("request", "show", _ID, PONDER_PORT=_port(url), PONDER_KEY="sk-1")
    assert result.exit_code == 1
    assert words in result.output


def test_no_gateway_says_how_to_start_one(run: Ponder) -> None:
    """When nothing answers, the message says how to start a gateway."""
    result = run("request", "show", _ID, PONDER_KEY="sk-1")
    assert result.exit_code == 1
    assert "ponder up" in result.output


def test_an_id_cannot_reach_another_path(run: Ponder) -> None:
    """Slashes and dots in an id are sent as part of the id."""
    with answering({"/v1/models": (200, {})}) as (url, _):
        result = run("request", "show", "../models", PONDER_PORT=_port(url), PONDER_KEY="sk-1")
    assert result.exit_code == 1


@pytest.mark.parametrize(
    ("listening", "reached"), [("0.0.0.0", "127.0.0.1"), ("::", "::1"), ("", "127.0.0.1"), ("10.1.2.3", "10.1.2.3")]
)
def test_a_server_that_listens_everywhere_is_reached_on_loopback(listening: str, reached: str) -> None:
    """An address that means all interfaces is replaced by loopback for calling."""
    assert reachable_host(listening) == reached


def test_ipv6_addresses_are_bracketed() -> None:
    """The printed address of an IPv6 host can be clicked on."""
    assert url_of(places({**os.environ, "PONDER_HOST": "::", "PONDER_PORT": "8000"})) == "http://[::1]:8000"
