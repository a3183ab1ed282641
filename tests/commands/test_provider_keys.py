"""Tests of gateway/commands/provider_keys.py and secrets.py, against a real gateway."""

from __future__ import annotations

import asyncio
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from gateway.adapters.encryption_keys import EncryptionKeys
from gateway.domain.key import Role
from gateway.domain.tenancy import Author
from gateway.store.base import locate
from gateway.store.changes import Changes
from gateway.store.provider_keys import ProviderKeys
from gateway.store.schema import upgrade
from tests.commands.administered import Administered
from tests.commands.answering import answering
from tests.commands.conftest import Ponder
from tests.upstreams.gateway_process import REPOSITORY, GatewayProcess

SECRET = "sk-canary-0123456789abcdefghij"
KILLS = 6


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    """A gateway without models."""
    with GatewayProcess(tmp_path_factory.mktemp("gateway") / "home", {}, {}) as process:
        yield process


@pytest.fixture
def ponder(run: Ponder, gateway: GatewayProcess) -> Administered:
    """Runs commands on the gateway's machine."""
    return Administered(run, gateway)


def test_a_key_is_set_listed_rotated_and_removed(ponder: Administered) -> None:
    """The whole life of a stored key; no command prints it."""
    outputs = []
    made = ponder.run("provider-keys", "set", "acme", **_home(ponder), typed=f"{SECRET}\n")
    assert made.exit_code == 0, made.output
    assert "set api_key: stored under upstreams.acme" in made.stderr
    outputs.append(made.output)
    (listed,) = ponder.told("provider-keys", "list")
    assert (listed["upstream"], listed["hint"]) == ("acme", "…ghij")
    assert ponder.told("secrets", "rotate") == {"rotated": True, "provider_keys": 1}
    rotated = ponder("secrets", "rotate")
    assert "1 stored provider keys were encrypted anew" in rotated.output
    assert ponder.told("provider-keys", "list") == [listed]
    outputs += [ponder("provider-keys", "list").output, rotated.output]
    outputs.append(ponder("provider-keys", "remove", "acme").output)
    assert ponder.told("provider-keys", "list") == []
    assert SECRET not in "".join(outputs)


def _home(ponder: Administered) -> dict[str, str]:
    return {"PONDER_PORT": str(ponder.gateway.port), "PONDER_HOME": str(ponder.gateway.home)}


def test_refusals_say_what_to_do(ponder: Administered, run: Ponder) -> None:
    """No key on standard input, an unknown upstream, and a key on the command line are refused."""
    assert "no key on standard input" in ponder("provider-keys", "set", "acme").output
    assert "no key is stored" in ponder("provider-keys", "remove", "nobody").output
    assert ponder("provider-keys", "set", "acme", SECRET).exit_code == 2
    assert run("secrets", "rotate").exit_code in {0, 1}


def test_an_encryption_key_of_the_environment_is_explained(ponder: Administered) -> None:
    """A rotation says what to do about PONDER_ENCRYPTION_KEY, before and after."""
    one = ponder("secrets", "rotate", PONDER_ENCRYPTION_KEY="a" * 24)
    assert one.exit_code == 2
    assert "PONDER_ENCRYPTION_KEY=NEW,OLD" in one.output
    two = ponder("secrets", "rotate", PONDER_ENCRYPTION_KEY=f"{'b' * 24},{'a' * 24}")
    assert two.exit_code == 0, two.output
    assert "take the old key out of PONDER_ENCRYPTION_KEY" in two.output
    weak = ponder("secrets", "rotate", PONDER_ENCRYPTION_KEY="changeme")
    assert (weak.exit_code, "changeme" in weak.output) == (2, False)
    doubled = ponder("secrets", "rotate", PONDER_ENCRYPTION_KEY="p" * 24, PONDER_PEPPER="p" * 24)
    assert "must be a key of its own" in doubled.output


def test_doctor_tells_of_missing_and_unreadable_keys(run: Ponder, ponder: Administered, config: Path) -> None:
    """An upstream without its stored key fails, one with it is asked with it, and other upstreams are checked on."""
    listing = {"/v1/models": (200, {"object": "list", "data": [{"id": "m"}]})}
    with answering(listing, key=SECRET) as (url, _):
        acme = f"acme: {{kind: openai, base_url: '{url}/v1', api_key: stored}}"
        config.write_text(f"upstreams: {{{acme}, beta: {{kind: openai, base_url: '{url}/v1', api_key: stored}}}}\n")
        ponder.run("provider-keys", "set", "acme", **_home(ponder), typed=SECRET)
        findings = {each["check"]: each for each in _findings(ponder)}
        assert findings["upstream acme"]["level"] == "ok"
        assert findings["upstream beta"]["found"] == "no key is stored for it"
        assert findings["upstream beta"]["remedy"] == "ponder provider-keys set beta"
        other = {each["check"]: each for each in _findings(ponder, PONDER_ENCRYPTION_KEY="x" * 24)}
        assert "another encryption key" in other["upstream acme"]["found"]
        assert findings["encryption key"]["level"] == "ok"


def _findings(ponder: Administered, **more: str) -> list[dict[str, str]]:
    found: list[dict[str, str]] = json.loads(ponder("doctor", "--json", **more).stdout)
    return found


async def test_a_rotation_that_is_killed_goes_on(tmp_path: Path) -> None:
    """However often and wherever it is killed -9, every key opens, and a last run ends with one encryption key."""
    url = f"sqlite:///{tmp_path}/ponder.db"
    await upgrade(url)
    encryption = EncryptionKeys(tmp_path / "encryption.key")
    changes = Changes(locate(url))
    stored = ProviderKeys(changes)
    expected = {f"upstream-{number}": f"{SECRET}-{number}" for number in range(40)}
    for name, secret in expected.items():
        await stored.set(name, secret, encryption.to_seal, by=Author("admin", Role.ADMIN, 0.0))
    began = time.monotonic()
    assert await asyncio.to_thread(_rotate, tmp_path, None) == 0
    whole_s = time.monotonic() - began
    chance = random.Random(7)
    for _ in range(KILLS):
        await asyncio.to_thread(_rotate, tmp_path, chance.uniform(whole_s / 2, whole_s))
        assert await _opened(stored, encryption) == expected
    assert await asyncio.to_thread(_rotate, tmp_path, None) == 0
    assert await _opened(stored, encryption) == expected
    assert len((tmp_path / "encryption.key").read_text().split()) == 1
    await changes.close()


async def _opened(stored: ProviderKeys, encryption: EncryptionKeys) -> Mapping[str, str]:
    cipher = encryption.to_open()
    assert cipher is not None
    return {name: cipher.open(key) for name, key in (await stored.all()).items()}


def _rotate(home: Path, kill_after_s: float | None) -> int:
    """The exit code of `ponder secrets rotate`, or what a kill leaves."""
    environment = {**os.environ, "PONDER_HOME": str(home), "PONDER_CONFIG": str(home / "none.yaml")}
    environment["PYTHONPATH"] = str(REPOSITORY)
    command = [sys.executable, "-m", "gateway.cli", "secrets", "rotate"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            return process.wait(kill_after_s)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()
