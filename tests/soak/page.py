"""The page of results, of which each command writes a section of its own."""

from __future__ import annotations

from pathlib import Path

PAGE = "reliability.md"
_TITLE = """\
# What survives

Measured by `make soak`, `make chaos`, `make upgrade-test` and `make replicas`, each of which writes its section
anew (`SOAK="--write docs/results"`). The test suite does the same in small: `tests/test_many_machines.py`.
"""
SECTIONS = (
    "Soak: faults on and off",
    "Chaos: every process killed, every way cut",
    "Rolling upgrade",
    "Throughput and replicas",
)
"""The titles, in the order in which they stand."""


def with_section(page: str, title: str, text: str) -> str:
    """The page with this section in its place, in the stead of an earlier one."""
    if title not in SECTIONS:
        raise ValueError(f"{title!r} is no section of the page; there are {', '.join(SECTIONS)}")
    known = _sections(page)
    known[title] = text.strip()
    return "\n".join([_TITLE, *(f"## {each}\n\n{known[each]}\n" for each in SECTIONS if each in known)])


def _sections(page: str) -> dict[str, str]:
    found = {}
    for part in page.split("\n## ")[1:]:
        title, _, text = part.partition("\n")
        found[title] = text.strip()
    return found


def write(folder: Path, title: str, text: str) -> Path:
    """Write the section; where the page is."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / PAGE
    file.write_text(with_section(file.read_text("utf-8") if file.exists() else "", title, text), "utf-8")
    return file
