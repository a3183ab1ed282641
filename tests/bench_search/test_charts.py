"""Charts are well-formed SVG in which every point stands."""

from __future__ import annotations

from xml.etree import ElementTree

from tests.bench_search.charts import Point, chart
from tests.bench_search.figures import Estimate

POINTS = [
    Point("greedy", 1, Estimate(0.5, 0.4, 0.6), "one chain"),
    Point("best of 4 & more", 4, Estimate(0.8, 0.7, 0.9), "best of"),
    Point("beam", 30, Estimate(0.8, 0.7, 0.9), "beam"),
]


def test_every_point_is_drawn_with_its_label() -> None:
    """Labels are escaped, and further right means more compute."""
    drawn = ElementTree.fromstring(chart("Accuracy < compute", POINTS))
    space = "{http://www.w3.org/2000/svg}"
    places = [float(each.attrib["cx"]) for each in drawn.iter(f"{space}circle")]
    assert places == sorted(places)
    assert len(set(places)) == len(POINTS)
    said = {each.text for each in drawn.iter(f"{space}text")}
    assert {"Accuracy < compute", "greedy", "best of 4 & more", "beam"} <= said


def test_labels_do_not_stand_in_one_another() -> None:
    """Two points of the same height have labels at different heights."""
    drawn = ElementTree.fromstring(chart("c", POINTS))
    heights = [each.attrib["y"] for each in drawn.iter("{http://www.w3.org/2000/svg}text") if each.text != "c"]
    labels = dict(
        zip(
            [each.text for each in drawn.iter("{http://www.w3.org/2000/svg}text") if each.text != "c"],
            heights,
            strict=True,
        )
    )
    assert labels["beam"] != labels["best of 4 & more"]
