"""Tests of gateway/commands/completion.py, with the shells that are here."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from gateway.cli import COMMANDS, ponder
from tests.upstreams.gateway_process import REPOSITORY


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_every_shell_has_its_script(shell: str) -> None:
    """The script asks ``ponder`` by its variable, in the shell's own way."""
    told = CliRunner().invoke(ponder, ["completion", shell])
    assert told.exit_code == 0
    assert f"_PONDER_COMPLETE={shell}_complete" in told.output


def test_another_shell_is_refused() -> None:
    """What is accepted is named."""
    told = CliRunner().invoke(ponder, ["completion", "tcsh"])
    assert told.exit_code == 2
    assert "'bash', 'zsh', 'fish'" in told.output


def _complete(tmp_path: Path, words: str) -> list[str]:
    program = tmp_path / "ponder"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m gateway.cli "$@"\n')
    program.chmod(0o755)
    script = CliRunner().invoke(ponder, ["completion", "bash"]).output
    line = f"{script}\nCOMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); _ponder_completion ponder\n"
    line += 'printf "%s\\n" "${COMPREPLY[@]}"\n'
    bash = shutil.which("bash")
    assert bash is not None
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "PYTHONPATH": str(REPOSITORY)}
    told = subprocess.run([bash, "-c", line], capture_output=True, text=True, check=True, env=environment)
    assert told.stderr == ""
    return told.stdout.split()


def test_bash_completes_commands_and_options(tmp_path: Path) -> None:
    """In bash itself, the beginning of a command, of a command in a group, and of an option, are completed."""
    assert _complete(tmp_path, "ponder comp") == ["completion"]
    assert _complete(tmp_path, "ponder policy ex") == ["explain"]
    assert _complete(tmp_path, "ponder top --on") == ["--once"]


def test_commands_are_completed_without_loading_them() -> None:
    """All commands are offered, and none of their modules is imported for it."""
    source = """
import sys
import click
from gateway.cli import ponder
print(*[item.value for item in ponder.shell_complete(click.Context(ponder), "")])
print([name for name in sys.modules if name.startswith("gateway.commands.")])
"""
    told = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=True)
    offered, loaded = told.stdout.splitlines()
    assert set(COMMANDS) <= set(offered.split())
    assert loaded == "[]"
