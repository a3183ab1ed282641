"""Tests of what gateway/commands/doctor.py says of webhooks."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.commands.conftest import Ponder
from tests.hooked import SECRET, Receiver


def _finding(run: Ponder, check: str, **more: str) -> dict[str, str]:
    findings = {each["check"]: each for each in json.loads(run("doctor", "--json", **more).stdout)}
    found: dict[str, str] = findings[check]
    return found


def test_a_webhook_that_can_be_reached_is_well(run: Ponder, config: Path) -> None:
    """Its host is named, and it is sent nothing."""
    with Receiver() as receiver:
        config.write_text(f"webhooks: [{{url: '{receiver.address}/canary', secret_env: HOOK_SECRET}}]\n")
        found = _finding(run, "webhook", HOOK_SECRET=SECRET)
    assert found["level"] == "ok"
    assert "canary" not in str(found)
    assert receiver.messages == []


def test_a_webhook_that_cannot_be_reached_is_a_warning(run: Ponder, config: Path) -> None:
    """A server that is away, or whose address is never called, is told with what to do."""
    for url, words in (("http://127.0.0.1:9/hook", "refused"), ("http://169.254.169.254/", "never called")):
        config.write_text(f"webhooks: [{{url: '{url}', secret_env: HOOK_SECRET}}]\n")
        found = _finding(run, "webhook", HOOK_SECRET=SECRET)
        assert (found["level"], words in found["found"]) == ("warn", True), found


@pytest.mark.parametrize(("secret", "words"), [("", "HOOK_SECRET"), ("canary", "whsec_")])
def test_a_webhook_without_a_proper_secret_fails(run: Ponder, config: Path, secret: str, words: str) -> None:
    """A missing or malformed secret fails, and is not repeated."""
    config.write_text("webhooks: [{url: 'https://example.com/', secret_env: HOOK_SECRET}]\n")
    found = _finding(run, "webhooks", HOOK_SECRET=secret)
    assert (found["level"], words in found["found"]) == ("fail", True), found
    assert "canary" not in str(found)
