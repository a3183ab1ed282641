"""Units for systemd: one for each process, with a folder of its own to write to and little else."""

from __future__ import annotations

import shutil
import subprocess
from collections import defaultdict
from pathlib import Path

import pytest

from tests.deploy.places import DEPLOY, known_variables, variables

FOLDER = DEPLOY / "systemd"
SERVICES = sorted(FOLDER.glob("*.service"))


def _read(unit: Path) -> dict[str, list[str]]:
    """Values by key; systemd takes a key several times."""
    values: defaultdict[str, list[str]] = defaultdict(list)
    for line in unit.read_text("utf-8").splitlines():
        if line and not line.startswith(("#", "[")):
            key, _, value = line.partition("=")
            values[key].append(value)
    return values


def test_each_process_has_a_unit() -> None:
    """The three that a deployment consists of, all of them wanted by the target."""
    assert [unit.name for unit in SERVICES] == [f"ponder-{name}.service" for name in ("beat", "gateway", "worker")]
    (wanted,) = _read(FOLDER / "ponder.target")["Wants"]
    assert sorted(wanted.split()) == [unit.name for unit in SERVICES]


@pytest.mark.parametrize("unit", SERVICES, ids=lambda unit: unit.stem)
def test_a_unit_starts_its_command_and_may_do_little(unit: Path) -> None:
    """Not as root, in a machine that is read-only but for its own folder."""
    values = _read(unit)
    command = {"ponder-gateway": "serve"}.get(unit.stem, unit.stem.removeprefix("ponder-"))
    assert values["ExecStart"] == [f"/opt/ponder/bin/ponder {command}"]
    assert (values["User"], values["ProtectSystem"], values["StateDirectory"]) == (["ponder"], ["strict"], ["ponder"])
    assert (values["NoNewPrivileges"], values["CapabilityBoundingSet"]) == (["yes"], [""])
    assert variables(unit.read_text("utf-8")) <= known_variables()


def test_the_gateway_has_time_to_end() -> None:
    """Thirty seconds for answers under way and ten for records, and some to spare."""
    assert int(_read(FOLDER / "ponder-gateway.service")["TimeoutStopSec"][0]) >= 45


@pytest.mark.parametrize("unit", [*SERVICES, FOLDER / "ponder.target"], ids=lambda unit: unit.name)
def test_systemd_reads_the_units(unit: Path, tmp_path: Path) -> None:
    """By systemd's own check, on machines that have it; the program stands where the unit says."""
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        assert unit.read_text("utf-8").startswith("[Unit]\n")
        return
    for each in (*SERVICES, FOLDER / "ponder.target"):
        (tmp_path / each.name).write_text(each.read_text("utf-8").replace("/opt/ponder/bin/ponder", "/bin/true"))
    command = [analyze, "verify", "--man=no", str(tmp_path / unit.name)]
    result = subprocess.run(command, check=False, capture_output=True, text=True)
    assert (result.returncode, result.stdout + result.stderr) == (0, "")
