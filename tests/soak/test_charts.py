"""The chart of a soak."""

from __future__ import annotations

from xml.etree import ElementTree

from tests.soak.charts import chart
from tests.soak.test_report import story

_SVG = "{http://www.w3.org/2000/svg}"


def test_a_chart_has_a_line_for_each_series_and_a_shade_for_each_fault() -> None:
    """Two quantiles and one gateway's memory are drawn, and the fault is named where it lies."""
    drawn = ElementTree.fromstring(chart(story()))
    lines = [path for path in drawn.iter(f"{_SVG}path") if path.get("fill") == "none"]
    assert len(lines) == 3
    (shade,) = drawn.iter(f"{_SVG}rect")
    assert shade.findtext(f"{_SVG}title") == "Redis refuses"
    assert [text.text for text in drawn.iter(f"{_SVG}text") if "min" in (text.text or "")][:2] == ["0 min", "1 min"]
