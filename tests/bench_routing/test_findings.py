"""The figures of the page, and the page itself, from replies and a run that are made up."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.bench_routing.asking import Reply, keep, kept
from tests.bench_routing.findings import beside, by_difficulty, on_the_pilot, paired, verdicts
from tests.bench_routing.policy import ARMS
from tests.bench_routing.report import page, write


def reply(number: int, *, arm: str = "dvts", is_right: bool = True, tokens: float = 1000, level: str = "easy") -> Reply:
    """A reply to the problem of a number."""
    return Reply(f"Q:{number} +10", 1, level, arm, is_right, tokens, 200, f"id-{number}", None)


ROUTED = [reply(number, arm="repair", is_right=number != 3, tokens=300) for number in range(10, 40)] + [
    reply(number, level="hard", tokens=1000) for number in range(40, 50)
]
REFERENCE = [reply(number, level="easy" if number < 40 else "hard") for number in range(10, 50)]


def run(*, certified: bool = True) -> dict[str, Any]:
    """What a calibration came to."""
    certificate = {"method": "exact", "bound": 0.008, "loss": -0.004, "labels_read": 900, "assumptions": []}
    cells = [
        {
            "difficulty": level, "share": 0.5, "arm": "repair", "labels": 450, "loss": -0.004, "bound": 0.01,
            "relative_cost": 0.3,
        }
        for level in ("easy", "hard")
    ]  # fmt: skip
    rule = {
        "certified": certified,
        "certificate": certificate if certified else None,
        "relative_cost": 0.35 if certified else 1,
        "labels": 1500,
        "pilot_labels": 600,
        "ended": "all labels that were planned are in",
        "looks": [{"labels": 900, "confidence": 0.91, "certified": certified, "relative_cost": 0.35}],
        "arms_on_the_pilot": [
            {"arm": name, "items": 600, "mean_score": 0.5, "mean_cost": 0.0001 * number}
            for number, name in enumerate(ARMS, 1)
        ],
        "cells": cells,
    }
    return {
        "seed": 1,
        "items": 3000,
        "weights": {"small": "aa"},
        "plan": {"labels": 9014},
        "calibration": {"rules": [rule], "answers": 6000, "spent_usd": "3.2", "seconds": 600.0},
    }


def test_two_ways_are_compared_problem_by_problem() -> None:
    """Points, shares of tokens and the arms that were taken, in all and by difficulty."""
    whole = beside(ROUTED, REFERENCE)
    assert whole.problems == 40
    assert whole.arms == {"repair": 30, "dvts": 10}
    assert whole.token_share.value == pytest.approx((30 * 300 + 10 * 1000) / 40_000)
    assert whole.points.value == 0
    rows = by_difficulty(ROUTED, REFERENCE)
    assert {name: each.problems for name, each in rows.items()} == {"easy": 30, "hard": 10}
    assert rows["hard"].token_share.value == 1


def test_ways_with_other_problems_are_not_compared() -> None:
    """Neither fewer nor others."""
    with pytest.raises(ValueError, match="the same problems"):
        beside(ROUTED[1:], REFERENCE)


def test_what_one_way_is_ahead_with_is_left_out() -> None:
    """And the order of the other does not matter."""
    routed, other = paired(ROUTED, REFERENCE[5:20][::-1])
    assert [each.question for each in routed] == [each.question for each in other]
    assert routed == ROUTED[5:20]


def test_a_target_is_met_or_not() -> None:
    """Without a certificate the first is not, and nothing stands in for it."""
    (rule,) = run()["calibration"]["rules"]
    assert [each.is_met for each in verdicts(rule, beside(ROUTED, REFERENCE))] == [True, True, False]
    (rule,) = run(certified=False)["calibration"]["rules"]
    assert verdicts(rule, beside(ROUTED, REFERENCE))[0].measured == "nothing is certified"


def test_the_pilot_tells_of_every_arm() -> None:
    """With Wilson's interval."""
    (rule,) = run()["calibration"]["rules"]
    rows = on_the_pilot(rule)
    assert [name for name, _, _ in rows] == list(ARMS)
    assert rows[0][1].low < 0.5 < rows[0][1].high


@pytest.mark.parametrize("certified", [True, False])
def test_the_page_says_what_came_of_it(certified: bool) -> None:
    """Targets, certificate, arms and traffic; a run that certified nothing is told as such."""
    said = page(run(certified=certified), ROUTED, REFERENCE)
    assert "0.47 (0.40 to 0.55)" in said or "| 0.4" in said
    assert ("Certified: the mean loss is at most 0.01" in said) == certified
    assert ("Nothing is certified" in said) != certified
    assert "{" not in said.replace("(^|", "")


def test_page_chart_and_replies_are_files(tmp_path: Path) -> None:
    """Replies are read again as they were written, and more are added to them."""
    assert kept(tmp_path / "routed.jsonl") == []
    keep(tmp_path / "routed.jsonl", ROUTED[:7])
    keep(tmp_path / "routed.jsonl", ROUTED[7:])
    assert kept(tmp_path / "routed.jsonl") == ROUTED
    write(run(), ROUTED, REFERENCE, tmp_path)
    assert "calibrated" in (tmp_path / "routing.svg").read_text("utf-8")
    assert (tmp_path / "routing.md").read_text("utf-8").startswith("# Routing")
