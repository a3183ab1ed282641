"""Tests of gateway/cli.py."""

from __future__ import annotations

import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

from gateway.cli import COMMANDS, ponder


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_there_and_explains_itself(name: str) -> None:
    """Each command in the list can be loaded and has a help text."""
    result = CliRunner().invoke(ponder, [name, "--help"])
    assert result.exit_code == 0
    assert result.output.startswith(f"Usage: ponder {name}")


def test_the_list_is_made_without_loading_the_commands() -> None:
    """`ponder --help` lists all commands and imports neither Celery nor SQLAlchemy nor the web framework."""
    source = """
import sys
from click.testing import CliRunner
from gateway.cli import ponder
print(CliRunner().invoke(ponder, ["--help"]).output)
print(sorted({"celery", "sqlalchemy", "fastapi", "aiohttp", "litellm"} & sys.modules.keys()))
"""
    result = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=True)
    assert all(f"  {name} " in result.stdout for name in COMMANDS)
    assert result.stdout.splitlines()[-1] == "[]"


def test_a_loaded_command_s_modules_are_in_no_collection_s_way() -> None:
    """Garbage is collected again once a command is loaded, and what its import made is left out of that."""
    source = """
import gc
from click.testing import CliRunner
from gateway.cli import ponder
CliRunner().invoke(ponder, ["serve", "--help"])
print(gc.isenabled(), gc.get_freeze_count() > 10 * len(gc.get_objects()))
"""
    result = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=True)
    assert result.stdout.split() == ["True", "True"]


def test_an_unknown_command_is_refused() -> None:
    """A mistyped command ends with exit code 2 and names it."""
    result = CliRunner().invoke(ponder, ["docter"])
    assert result.exit_code == click.UsageError.exit_code
    assert "docter" in result.output
