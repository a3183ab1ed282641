"""The image: small, of locked parts, run by nobody in particular, with secrets from files."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.deploy.places import DEPLOY, ROOT, USER, moving

DOCKERFILE = (DEPLOY / "Dockerfile").read_text("utf-8")
STAGES = re.split(r"(?m)^(?=FROM )", re.sub(r"\\\n", " ", DOCKERFILE))[1:]
ENTRYPOINT = DEPLOY / "entrypoint.sh"


def _lines(stage: str, instruction: str) -> list[str]:
    return [line.removeprefix(instruction).strip() for line in stage.splitlines() if line.startswith(f"{instruction} ")]


def test_the_linter_finds_nothing() -> None:
    """hadolint, with none of its rules turned off."""
    hadolint = Path(sys.executable).with_name("hadolint")
    result = subprocess.run([hadolint, DEPLOY / "Dockerfile"], check=False, capture_output=True, text=True)
    assert (result.returncode, result.stdout) == (0, "")


def test_all_that_is_copied_is_there_and_not_ignored() -> None:
    """Every source of a COPY is in the repository, and let through to the builder."""
    let_through = {
        line.removeprefix("!") for line in (DEPLOY / "Dockerfile.dockerignore").read_text("utf-8").splitlines()
        if line.startswith("!")
    }  # fmt: skip
    copied = [
        source
        for stage in STAGES
        for line in _lines(stage, "COPY")
        if "--from=" not in line
        for source in [word for word in shlex.split(line) if not word.startswith("--")][:-1]
    ]
    assert {"gateway", "calibrator", "migrations", "policies", "requirements/base.txt"} <= set(copied)
    assert {source.removeprefix("./") for source in copied} == let_through
    assert [source for source in copied if not (ROOT / source).exists()] == []


def test_what_the_wheel_reads_is_copied() -> None:
    """The project's own description names a readme, and data files of folders that have to be there."""
    build = STAGES[0]
    described = (ROOT / "pyproject.toml").read_text("utf-8")
    folders = set(re.findall(r'"((?:migrations|policies)[^"/]*)/', described))
    for needed in {*folders, "README.md", "gateway", "calibrator"}:
        assert re.search(rf"(?m)^COPY (.* )?{needed} ", build), needed


def test_only_locked_wheels_are_installed() -> None:
    """Every install from a registry demands hashes, and nothing is compiled."""
    installs = re.findall(r"pip[^&\n]*? install [^&\n]*", DOCKERFILE.replace("\\\n", " "))
    assert len(installs) == 3
    for each in installs:
        assert "--require-hashes" in each or "--no-index" in each, each
    assert "PIP_ONLY_BINARY=:all:" in STAGES[0]
    assert "--hash=sha256:" in (ROOT / "requirements" / "base.txt").read_text("utf-8")


def test_the_image_runs_as_nobody_in_particular() -> None:
    """The last stage sets a numbered user that is not root, and starts the gateway."""
    last = STAGES[-1]
    assert _lines(last, "USER") == [f"{USER}:{USER}"]
    assert f"--uid {USER}" in last
    assert _lines(last, "ENTRYPOINT") == ['["ponder-entrypoint"]']
    assert "pip" not in last


def test_the_base_is_named_once_and_does_not_move_by_name() -> None:
    """One argument, which a build may set to a digest; every stage begins with it."""
    bases = re.findall(r"(?m)^ARG PYTHON_IMAGE=(\S+)", DOCKERFILE)
    assert len(bases) == 1
    assert not moving(bases[0])
    assert all(stage.startswith("FROM ${PYTHON_IMAGE}") for stage in STAGES)


@pytest.fixture
def ponder(tmp_path: Path) -> Path:
    """A folder with a program `ponder` that tells its arguments and some of its environment."""
    program = tmp_path / "bin" / "ponder"
    program.parent.mkdir()
    program.write_text('#!/bin/sh\necho "$@"\necho "[$PONDER_PEPPER] [$SOME_API_KEY]"\n')
    program.chmod(0o755)
    (tmp_path / "secrets").mkdir()
    return tmp_path


def _run(folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    path = f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
    given = {"PATH": path, "PONDER_SECRETS_DIR": str(folder / "secrets"), **environment}
    command = ["/bin/sh", str(ENTRYPOINT), "db", "upgrade"]
    return subprocess.run(command, check=False, env=given, capture_output=True, text=True)


def test_secrets_come_from_files(ponder: Path) -> None:
    """A file that is called like a variable becomes it, blanks and signs included; others are left alone."""
    (ponder / "secrets" / "PONDER_PEPPER").write_text("a b$(id)'\"\\\n")
    (ponder / "secrets" / "SOME_API_KEY").write_text("k")
    (ponder / "secrets" / "postgres_password").write_text("p")
    (ponder / "secrets" / "kubernetes.io").mkdir()
    (ponder / "secrets" / "FOLDER").mkdir()
    result = _run(ponder)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.splitlines() == ["db upgrade", "[a b$(id)'\"\\] [k]"]


def test_without_secrets_the_environment_is_all(ponder: Path) -> None:
    """Neither an empty folder nor a missing one is in the way."""
    assert _run(ponder, PONDER_PEPPER="p").stdout.splitlines()[1] == "[p] []"
    assert _run(ponder, PONDER_SECRETS_DIR=str(ponder / "none")).returncode == 0


def test_a_secret_that_is_given_twice_is_refused(ponder: Path) -> None:
    """Nobody has to guess which of the two counts, and neither is shown."""
    (ponder / "secrets" / "PONDER_PEPPER").write_text("in-the-file")
    result = _run(ponder, PONDER_PEPPER="in-the-air")
    assert result.returncode == 2
    assert "PONDER_PEPPER is set, and" in result.stderr
    assert "in-the-" not in result.stderr
    assert result.stdout == ""
