"""Tests of gateway/commands/up.py: what is started, and the whole of it once, for real."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gateway.commands.up import banner, plan
from gateway.model_settings import UpstreamSettings
from gateway.settings import Places, Settings, places
from tests.commands.conftest import Ponder


@pytest.fixture
def where(environment: dict[str, str | None]) -> Places:
    """The places of the test's environment."""
    return places({name: value for name, value in environment.items() if value is not None})


def test_the_model_starts_when_there_is_no_other(where: Places) -> None:
    """Without upstreams and keys, the model comes first and the gateway is told where it is."""
    programs = plan(where, Settings(), {})
    assert [program.name for program in programs] == ["model", "gateway", "worker", "beat"]
    port = programs[0].command[-1]
    assert programs[1].environment["PONDER_EMBEDDED_URL"] == f"http://127.0.0.1:{port}/v1"
    assert [program.is_essential for program in programs] == [True, True, False, False]


@pytest.mark.parametrize("settings", [Settings(), Settings(upstreams={"gpu": UpstreamSettings(kind="openai")})])
def test_the_model_stays_away_when_there_is_another(where: Places, settings: Settings) -> None:
    """With an upstream configured, or a provider's key set, no local model is started."""
    environment = {} if settings.upstreams else {"ANTHROPIC_API_KEY": "sk-1"}
    assert [program.name for program in plan(where, settings, environment)] == ["gateway", "worker", "beat"]


def test_secrets_do_not_show_in_a_program() -> None:
    """A program's representation leaves its environment out."""
    where = places({"PONDER_EMBEDDED_URL": "http://127.0.0.1:9/v1"})
    assert "sk-secret" not in repr(plan(where, Settings(), {"OPENAI_API_KEY": "sk-secret"}))


def test_the_banner_shows_a_command_that_can_be_pasted(where: Places) -> None:
    """The banner names address, key file and models, quoted for a shell."""
    text = banner(where, ("a", "b", "local"))
    assert "http://127.0.0.1:9/v1/chat/completions" in text
    assert f"$(cat {where.default_key_file})" in text
    assert '"model": "local"' in text
    assert "and 4 more" in banner(where, tuple("abcdefghij"))
    assert "ponder doctor" in banner(where, ())


def test_a_port_in_use_is_refused(run: Ponder) -> None:
    """When the port is taken, the message says what to set, and the exit code is 2."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        result = run("up", PONDER_PORT=str(taken.getsockname()[1]))
    assert result.exit_code == 2
    assert "PONDER_PORT" in result.output


@contextmanager
def _everything(environment: dict[str, str | None]) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """`ponder up` on a free port, once its banner is printed, with what it printed."""
    whole = {name: value for name, value in {**os.environ, **environment}.items() if value is not None}
    command = [sys.executable, "-m", "gateway.cli", "up"]
    process = subprocess.Popen(
        command, env={**whole, "PONDER_PORT": "0"}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    with process:
        try:
            yield process, _heard(process, until="Say hello.")
        finally:
            process.terminate()


def _heard(process: subprocess.Popen[str], until: str) -> str:
    assert process.stdout is not None
    heard = ""
    for line in process.stdout:
        heard += line
        if until in line:
            return heard
    pytest.fail(f"it ended without {until!r}:\n{heard}")


def test_everything_comes_up_answers_and_stops(environment: dict[str, str | None], tmp_path: Path) -> None:
    """On a fresh machine `ponder up` brings up a gateway that answers, and SIGTERM stops all in order."""
    with _everything(environment) as (process, heard):
        url = heard.split("Ponder is up")[1].split()[0]
        key = (tmp_path / "home" / "default.key").read_text().strip()
        body = {"model": "local", "messages": [{"role": "user", "content": "Say hello."}], "max_tokens": 4}
        request = urllib.request.Request(
            f"{url}/v1/chat/completions",
            json.dumps(body).encode(),
            {"Authorization": f"Bearer {key}", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=60) as response:
            assert json.load(response)["choices"][0]["message"]["role"] == "assistant"
        process.send_signal(signal.SIGTERM)
        assert process.stdout is not None
        rest = process.stdout.read()
        assert process.wait(60) == 0
    stopped = [line.split("stopping ")[1] for line in rest.splitlines() if "| stopping " in line]
    assert stopped == ["beat", "worker", "gateway", "model"]
    assert "killing" not in rest
