"""Fixtures for the commands: an environment that holds nothing of this machine's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from gateway.cli import ponder
from gateway.wiring import HOSTED

Ponder = Callable[..., Result]


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str | None]:
    """A home of its own, no provider keys, and a port where nothing listens."""
    home = tmp_path / "home"
    return {
        **dict.fromkeys((*HOSTED, "PONDER_KEY", "PONDER_DATABASE_URL", "PONDER_BROKER_URL", "PONDER_EMBEDDED_URL")),
        "PONDER_HOME": str(home),
        "PONDER_CONFIG": str(tmp_path / "ponder.yaml"),
        "PONDER_HOST": "127.0.0.1",
        "PONDER_PORT": "9",
    }


@pytest.fixture
def run(environment: Mapping[str, str | None]) -> Ponder:
    """Runs ``ponder`` with arguments, in that environment and what a test adds to it; ``typed`` is what it reads."""

    def invoke(*arguments: str, typed: str | None = None, **more: str) -> Result:
        return CliRunner().invoke(ponder, arguments, input=typed, env={**environment, **more})

    return invoke


@pytest.fixture
def config(environment: Mapping[str, str | None]) -> Path:
    """Where ponder.yaml is looked for."""
    return Path(str(environment["PONDER_CONFIG"]))
