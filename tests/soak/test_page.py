"""The page of results: each section in its place, and anew."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.soak.page import PAGE, SECTIONS, with_section, write


def test_sections_stand_in_their_order_whoever_was_first() -> None:
    """A section that is written later stands where the order says, and the others stay."""
    page = with_section(with_section("", SECTIONS[2], "third"), SECTIONS[0], "first\n\n### part\n\nof it\n")
    titles = [line.removeprefix("## ") for line in page.splitlines() if line.startswith("## ")]
    assert titles == [SECTIONS[0], SECTIONS[2]]
    assert "first\n\n### part\n\nof it\n\n## " in page
    assert page.endswith("third\n")


def test_a_section_is_written_anew(tmp_path: Path) -> None:
    """What it said before is gone, and nothing else is."""
    for text in ("before", "after"):
        write(tmp_path, SECTIONS[1], text)
        write(tmp_path, SECTIONS[3], "other")
    page = (tmp_path / PAGE).read_text("utf-8")
    assert page.count("## ") == 2
    assert "before" not in page
    assert "after" in page
    assert page == with_section(page, SECTIONS[3], "other")


def test_an_unknown_section_is_refused() -> None:
    """A title that the page does not have is an error that names those it has."""
    with pytest.raises(ValueError, match="Rolling upgrade"):
        with_section("", "Elsewhere", "text")
