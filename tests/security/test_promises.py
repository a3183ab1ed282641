"""SECURITY.md names a test for each promise; here it is held to that."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
NAMED = sorted(set(re.findall(r"`(tests/[\w/.]+\.py(?:::\w+)?)`", (REPOSITORY / "SECURITY.md").read_text("utf-8"))))
LINKS = sorted(set(re.findall(r"\]\(([\w/.-]+)", (REPOSITORY / "SECURITY.md").read_text("utf-8"))))


@pytest.mark.parametrize("named", NAMED)
def test_every_test_that_is_named_exists(named: str) -> None:
    """A promise whose test was renamed or removed is noticed."""
    file, _, function = named.partition("::")
    text = (REPOSITORY / file).read_text("utf-8")
    assert f"def {function}" in text


def test_every_file_of_this_folder_is_named() -> None:
    """No security test is without its promise."""
    files = {f"tests/security/{path.name}" for path in Path(__file__).parent.glob("test_*.py")}
    mentioned = {name.partition("::")[0] for name in NAMED}
    assert files <= mentioned


@pytest.mark.parametrize("link", LINKS)
def test_links_lead_somewhere(link: str) -> None:
    """Every page that is linked exists."""
    assert (REPOSITORY / link).exists()
