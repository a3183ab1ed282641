"""Charts: well-formed drawings in the page's colours."""

from __future__ import annotations

import re
from xml.etree import ElementTree

from gateway.http.dashboard.charts import Bar, Point, accuracy_by_cost, bars, standalone

POINTS = [
    Point("free <arm>", 0.0, 0.5, 0.4, 0.6, is_chosen=False, is_reference=False),
    Point("chosen", 0.4, 0.8, 0.7, 0.9, is_chosen=True, is_reference=False),
    Point("reference", 1.0, 0.81, 0.72, 0.9, is_chosen=False, is_reference=True),
]


def _inside(chart: str) -> None:
    root = ElementTree.fromstring(chart)
    _, _, width, height = map(float, root.attrib["viewBox"].split())
    for circle in root.iter("{http://www.w3.org/2000/svg}circle"):
        assert 0 <= float(circle.attrib["cx"]) <= width
        assert 0 <= float(circle.attrib["cy"]) <= height


def test_a_chart_of_arms_is_drawn_inside_its_frame() -> None:
    """An arm that costs nothing is drawn at the edge, names are escaped, and only the chosen one has a ring."""
    chart = accuracy_by_cost("math, hard", POINTS)
    _inside(chart)
    assert chart.count('class="ring"') == 1
    assert "free &lt;arm&gt;" in chart
    assert 'class="band"' in chart
    assert 'class="band"' not in accuracy_by_cost("scattered", POINTS, is_curve=False)


def test_equal_points_are_still_a_chart() -> None:
    """One arm, always right: no division by nothing."""
    _inside(accuracy_by_cost("one", [Point("a", 1.0, 1.0, 1.0, 1.0, is_chosen=True, is_reference=True)]))


def test_labels_do_not_stand_in_one_another() -> None:
    """Of points at the same height each label has a line of its own."""
    same = [Point(name, 0.1, 0.5, 0.4, 0.6, is_chosen=False, is_reference=False) for name in "abc"]
    chart = accuracy_by_cost("same", same)
    heights = [float(found) for found in re.findall(r'y="([\d.]+)" text-anchor="\w+">[abc]<', chart)]
    assert len(set(heights)) == 3


def test_bars_reach_below_zero_and_show_the_target() -> None:
    """A gain is a negative loss; the target has a line."""
    chart = bars("loss", [Bar("gain", -1.0), Bar("loss", 2.0, 1.0, 3.0)], mark=2.0)
    ElementTree.fromstring(chart)
    assert 'class="mark"' in chart
    assert "target 2" in chart
    assert chart.count('class="bar"') == 2


def test_a_chart_can_stand_alone() -> None:
    """As a file it brings its colours along, for light and for dark."""
    chart = standalone(accuracy_by_cost("alone", POINTS))
    ElementTree.fromstring(chart)
    assert "prefers-color-scheme:dark" in chart
