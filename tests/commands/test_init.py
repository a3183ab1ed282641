"""Tests of gateway/commands/init.py."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from gateway.cli import ponder
from gateway.commands.init_template import TEMPLATE
from gateway.settings import Settings, load


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Where the file is to be written."""
    return tmp_path / "ponder.yaml"


def test_the_file_as_written_changes_nothing(config: Path) -> None:
    """A freshly written ponder.yaml means the defaults."""
    result = CliRunner().invoke(ponder, ["init"], env={"PONDER_CONFIG": str(config)})
    assert result.exit_code == 0
    assert load(config) == Settings()


def test_every_example_in_it_is_valid(config: Path) -> None:
    """With all examples uncommented the file still loads, and covers every section."""
    config.write_text(re.sub(r"^#(?! )|^#(?=  )", "", TEMPLATE, flags=re.MULTILINE))
    settings = load(config)
    assert settings.model_fields_set == set(Settings.model_fields)
    assert set(settings.upstreams) == {"anthropic", "openai", "mistral", "gpu"}
    assert set(settings.models) == {"haiku", "new-model", "qwen"}


def test_limits_shown_are_the_defaults(config: Path) -> None:
    """The values shown for limits, retention and prices of requests are those that hold without the file."""
    config.write_text(re.sub(r"^#(?! )|^#(?=  )", "", TEMPLATE, flags=re.MULTILINE))
    settings = load(config)
    assert (settings.limits, settings.retention) == (Settings().limits, Settings().retention)
    assert (settings.allow_unpriced, settings.cors) == (Settings().allow_unpriced, Settings().cors)


def test_a_file_is_not_overwritten_unasked(config: Path) -> None:
    """An existing file is kept with exit code 2, and replaced with --force."""
    config.write_text("allow_unpriced: true\n")
    refused = CliRunner().invoke(ponder, ["init"], env={"PONDER_CONFIG": str(config)})
    assert refused.exit_code == 2
    assert "--force" in refused.output
    assert config.read_text() == "allow_unpriced: true\n"
    forced = CliRunner().invoke(ponder, ["init", "--force"], env={"PONDER_CONFIG": str(config)})
    assert forced.exit_code == 0
    assert config.read_text() == TEMPLATE


def test_a_folder_that_does_not_exist_is_named(tmp_path: Path) -> None:
    """A file that cannot be written is refused with the reason."""
    result = CliRunner().invoke(ponder, ["init"], env={"PONDER_CONFIG": str(tmp_path / "absent" / "ponder.yaml")})
    assert result.exit_code == 2
    assert "No such file or directory" in result.output
