"""The page about deploying: its links lead somewhere, and what it names is there."""

from __future__ import annotations

import re

from tests.deploy.places import DEPLOY, ROOT, known_variables, variables

TEXT = (DEPLOY / "README.md").read_text("utf-8")


def _anchors(text: str) -> set[str]:
    headings = re.findall(r"(?m)^#+ (.+)$", text)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_links_lead_somewhere() -> None:
    """Files are there, and the headings in them."""
    for target in re.findall(r"\]\(([^)]+)\)", TEXT):
        path, _, anchor = target.partition("#")
        page = DEPLOY / path if path else DEPLOY / "README.md"
        assert page.is_file(), target
        assert not anchor or anchor in _anchors(page.read_text("utf-8")), target


def test_folders_and_variables_are_those_that_there_are() -> None:
    """The table has every part of the folder, and no variable has a slip in it."""
    (table,) = re.findall(r"(?s)\| folder \| for \|\n(.*?)\n\n", TEXT)
    named = {name.split("/")[0] for row in table.splitlines() for name in re.findall(r"`([^`]+)`", row.split("|")[1])}
    there = {path.name for path in DEPLOY.iterdir()} - {"README.md", "Dockerfile.dockerignore"}
    assert named == there
    assert variables(TEXT) <= known_variables() | {"PONDER_SECRETS_DIR"}


def test_what_is_not_checked_is_said() -> None:
    """And that `make test-deploy` is the check, which `make check` runs."""
    assert "Not checked there" in TEXT
    makefile = (ROOT / "Makefile").read_text("utf-8")
    (needed,) = re.findall(r"(?m)^check: (.*?)##", makefile)
    assert "test-deploy" in needed.split()
