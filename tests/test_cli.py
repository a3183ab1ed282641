"""Tests of gateway/cli.py."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from importlib import import_module
from importlib.metadata import EntryPoint
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from calibrator.cli import COMMANDS as CALIBRATING
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


def test_installed_packages_add_commands_and_take_none_of_ours(tmp_path: Path) -> None:
    """A table of commands behind the entry point group joins the list; a name that we have stays ours."""
    described = tmp_path / "extra-1.0.dist-info"
    described.mkdir()
    (described / "METADATA").write_text("Metadata-Version: 2.1\nName: extra\nVersion: 1.0\n")
    (described / "entry_points.txt").write_text("[ponder.commands]\nextra = extra:COMMANDS\n")
    (tmp_path / "extra.py").write_text(
        "import click\n"
        "COMMANDS = {'more-work': ('extra', 'Does more.'), 'serve': ('extra', 'Takes a name.')}\n"
        "@click.command()\n"
        "def more_work():\n"
        "    click.echo('done')\n"
    )
    listed, ran = (
        subprocess.run(
            [sys.executable, "-m", "gateway.cli", argument],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "PYTHONPATH": str(tmp_path)},
        ).stdout
        for argument in ("--help", "more-work")
    )
    assert "more-work" in listed
    assert "Does more." in listed
    assert "Takes a name." not in listed
    assert ran == "done\n"


def test_the_calibrator_s_commands_join_by_the_entry_point_that_the_project_declares() -> None:
    """The project's own entry point leads to the calibrator's table, whose commands can all be loaded."""
    project = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text("utf-8"))
    declared = project["project"]["entry-points"]["ponder.commands"]["calibrator"]
    assert EntryPoint("calibrator", declared, "ponder.commands").load() is CALIBRATING
    for name, (module, _, page) in CALIBRATING.items():
        own = name.split()[-1].replace("-", "_")
        assert isinstance(getattr(import_module(module), own), click.Command)
        assert (Path(__file__).parent.parent / page.partition("#")[0]).is_file()


def test_a_command_of_another_package_joins_a_group_of_ours() -> None:
    """`ponder policy --help` lists the calibrator's `replay` without loading it, and calling it loads it."""
    source = """
import sys
from click.testing import CliRunner
from gateway.cli import ponder
print(CliRunner().invoke(ponder, ["policy", "--help"]).output)
print("calibrator.commands.replay" in sys.modules)
print(CliRunner().invoke(ponder, ["policy", "replay", "--help"]).output)
"""
    ran = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=True).stdout
    listed, is_unloaded, helped = ran.partition("\nFalse\n")
    assert "  replay " in listed
    assert is_unloaded
    assert "--reward-source" in helped


def test_an_unknown_command_is_refused() -> None:
    """A mistyped command ends with exit code 2 and names it."""
    result = CliRunner().invoke(ponder, ["docter"])
    assert result.exit_code == click.UsageError.exit_code
    assert "docter" in result.output


def test_what_is_refused_says_where_to_read_on(tmp_path: Path) -> None:
    """The message, and the page of the command; also of one that an installed package adds."""
    environment = {"PONDER_HOME": str(tmp_path / "none"), "PONDER_CONFIG": str(tmp_path / "ponder.yaml")}
    for arguments, page in (
        (["policy", "check", "nothing"], "docs/write-a-policy.md"),
        (["calibrate", "runs"], "docs/calibrate.md"),
    ):
        result = CliRunner().invoke(ponder, arguments, env=environment)
        assert result.exit_code != 0
        message, more = result.output.splitlines()
        assert message.startswith("Error: ")
        assert more == f"More: {page}"
