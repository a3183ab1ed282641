"""Tests of gateway/commands/db.py."""

from __future__ import annotations

import json
from pathlib import Path

from tests.commands.conftest import Ponder


def test_upgrade_makes_the_database_and_can_be_repeated(run: Ponder, environment: dict[str, str]) -> None:
    """The first upgrade makes the database, in a home open to its owner alone; the second has nothing to do."""
    assert "brought to revision" in run("db", "upgrade").output
    again = json.loads(run("db", "upgrade", "--json").output)
    assert again["changed"] is False
    home = Path(environment["PONDER_HOME"])
    assert (home / "ponder.db").exists()
    assert home.stat().st_mode & 0o077 == 0


def test_an_address_of_an_unknown_kind_is_refused(run: Ponder) -> None:
    """A database that is neither SQLite nor PostgreSQL is refused with what would be accepted."""
    result = run("db", "upgrade", PONDER_DATABASE_URL="mysql://127.0.0.1/ponder")
    assert result.exit_code == 2
    assert "postgresql://" in result.output
