"""Promise: what is installed is what was locked, and none of it is known to be bad."""

from __future__ import annotations

import re
from importlib.metadata import version
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
LOCKS = sorted((REPOSITORY / "requirements").glob("*.txt"))
STOLEN = {"1.82.7", "1.82.8"}


def _numbers(release: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", release)[:3])


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_every_requirement_has_its_hashes(lock: Path) -> None:
    """Each line of a lock names one exact version and the digests of its files."""
    entries = re.split(r"\n(?=[a-zA-Z0-9])", lock.read_text("utf-8").strip())
    for entry in entries:
        if not entry.startswith("#"):
            assert re.match(r"[\w.\[\]-]+==\S+", entry), entry[:80]
            assert "--hash=sha256:" in entry, entry[:80]


def test_what_runs_is_not_known_to_be_bad() -> None:
    """Starlette has the fix of CVE-2026-48710, and litellm is none of the stolen releases; the ranges say so too."""
    assert _numbers(version("starlette")) >= (1, 0, 1)
    assert version("litellm") not in STOLEN
    ranges = (REPOSITORY / "pyproject.toml").read_text("utf-8")
    assert "starlette>=1.0.1" in ranges
    assert all(f"!={release}" in ranges for release in STOLEN)
