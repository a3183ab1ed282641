"""The wheel of `make release`, in an environment that has it and its locked dependencies, and nothing else of ours."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import time
import tomllib
import zipfile
from collections.abc import Mapping
from pathlib import Path

import httpx
import pytest

pytestmark = pytest.mark.release

ROOT = Path(__file__).parents[2]
PONDER = ROOT / os.environ.get("TEST_RELEASE", "build/release") / "bin" / "ponder"
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
_NOT_WORD = re.compile(r"[-_.]+")
START_S, STOP_S, PAUSE_S = 60.0, 30.0, 0.1


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """A home outside the repository, and no way back into it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    places = {"PONDER_HOME": str(tmp_path / "home"), "PONDER_CONFIG": str(tmp_path / "ponder.yaml")}
    return {"PATH": os.environ["PATH"], "PONDER_PORT": str(port), "NO_COLOR": "1", **places}


def _ponder(environment: Mapping[str, str], folder: Path, *arguments: str) -> str:
    command = [str(PONDER), *arguments]
    done = subprocess.run(command, cwd=folder, env=dict(environment), capture_output=True, text=True, check=True)
    return done.stdout


def test_it_knows_its_version_and_every_command(environment: dict[str, str], tmp_path: Path) -> None:
    """The installed command tells the version of pyproject.toml, and lists the calibrator's commands with ours."""
    assert _ponder(environment, tmp_path, "--version").strip() == f"ponder, version {VERSION}"
    listed = _ponder(environment, tmp_path, "--help")
    assert all(f"  {name} " in listed for name in ("serve", "init", "top", "calibrate", "prm"))


def test_it_has_its_policies_and_configuration(environment: dict[str, str], tmp_path: Path) -> None:
    """What lies beside the packages is there: the shipped policies are checked, and ``init`` writes what loads."""
    _ponder(environment, tmp_path, "init", "--no-questions")
    names = {each["policy"] for each in json.loads(_ponder(environment, tmp_path, "policy", "check", "--json"))}
    assert names >= {"default", "thrift", "careful"}


def test_it_serves(environment: dict[str, str], tmp_path: Path) -> None:
    """A fresh home gets its schema, the gateway becomes ready, answers with its key, and ends in good order."""
    process = subprocess.Popen([str(PONDER), "serve"], cwd=tmp_path, env=environment)
    address = f"http://127.0.0.1:{environment['PONDER_PORT']}"
    try:
        end = time.monotonic() + START_S
        while True:
            try:
                if httpx.get(f"{address}/health/ready").status_code == httpx.codes.OK:
                    break
            except httpx.TransportError:
                pass
            assert process.poll() is None, "it ended at its start"
            assert time.monotonic() < end, "it was not ready in time"
            time.sleep(PAUSE_S)
        key = (tmp_path / "home" / "default.key").read_text("utf-8").strip()
        listed = httpx.get(f"{address}/v1/models", headers={"authorization": f"Bearer {key}"})
        assert listed.status_code == httpx.codes.OK
        assert httpx.get(f"{address}/metrics").text.startswith("# HELP")
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(STOP_S) == 0


def test_the_bill_of_materials_names_what_is_installed() -> None:
    """The CycloneDX document is of this version, and has every package that the base lock has, with its version."""
    bill = json.loads((ROOT / "dist" / "ponder.cdx.json").read_text("utf-8"))
    assert bill["bomFormat"] == "CycloneDX"
    assert (bill["metadata"]["component"]["name"], bill["metadata"]["component"]["version"]) == ("ponder", VERSION)
    listed = {f"{_NOT_WORD.sub('-', each['name']).lower()}=={each['version']}" for each in bill["components"]}
    lock = (ROOT / "requirements" / "base.txt").read_text("utf-8")
    lines = [line for line in lock.splitlines() if "==" in line and not line.startswith(" ")]
    locked = {line.split()[0] for line in lines if ";" not in line}  # those with a marker may be of another system
    assert locked
    assert locked <= listed


def test_the_wheel_has_no_tests_and_no_secrets() -> None:
    """Only the packages and what they read are in it."""
    (wheel,) = (ROOT / "dist").glob("*.whl")
    tops = {name.partition("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
    assert tops == {"gateway", "calibrator", f"ponder-{VERSION}.dist-info", f"ponder-{VERSION}.data"}
