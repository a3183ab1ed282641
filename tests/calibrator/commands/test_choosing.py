"""`ponder calibrate choose`, `report` and `plan`."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from gateway.domain.profile_document import read_document
from tests.calibrator.commands.conftest import Ponder

ASKED = ("--reference", "think-hard", "--loss-at-most", "0.03", "--confidence", "0.9")


def _chosen(run: Ponder, *arguments: str) -> dict[str, Any]:
    result = run("calibrate", "choose", *arguments, "--json")
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def test_the_offline_form_says_all_that_was_asked_for(run: Ponder, outcomes: str) -> None:
    """Arm per cell, certificate, relative cost, and the true loss on items left over and on all."""
    found = _chosen(run, "--table", outcomes, *ASKED, "--labels", "400", "--seed", "1")
    assert found["certified"]
    assert next((cell["category"], cell["difficulty"]) for cell in found["cells"]) == ("code", "easy")
    assert {cell["arm"] for cell in found["cells"] if cell["difficulty"] == "easy"} == {"fast"}
    assert found["certificate"]["bound"] <= 0.03
    assert found["relative_cost"] < 1
    assert found["true_loss"]["left_over"]["items"] == 500
    assert found["true_loss"]["full"]["items"] == found["items"] == 900
    assert found["resplits"] is None
    assert found == _chosen(run, "--table", outcomes, *ASKED, "--labels", "400", "--seed", "1")
    assert found != _chosen(run, "--table", outcomes, *ASKED, "--labels", "400", "--seed", "2")


def test_resplits_are_summed_up(run: Ponder, outcomes: str) -> None:
    """Violations and cost with intervals, beside what needs no calibration."""
    found = _chosen(run, "--table", outcomes, *ASKED, "--labels", "300", "--resplits", "5")["resplits"]
    assert found["runs"] == 5
    assert found["violations"]["lower"] <= found["violations"]["estimate"] <= found["violations"]["upper"]
    names = [each["name"] for each in found["controls"]]
    assert names[:3] == ["always fast", "always think", "always think-hard"]
    assert names[-1].startswith("oracle")
    shown = run("calibrate", "choose", "--table", outcomes, *ASKED, "--labels", "300", "--resplits", "5").stdout
    assert "5 runs, each with other labels" in shown
    assert "always fast" in shown


def test_too_few_labels_say_how_many_are_missing(run: Ponder, outcomes: str) -> None:
    """Nothing changes, and the price of knowing is told."""
    found = _chosen(run, "--table", outcomes, *ASKED, "--labels", "10")
    assert not found["certified"]
    assert found["certificate"] is None
    assert {cell["arm"] for cell in found["cells"]} == {"think-hard"}
    assert found["shortage"]["labels_more"] > 0
    shown = run("calibrate", "choose", "--table", outcomes, *ASKED, "--labels", "10").stdout
    assert "Nothing is certified" in shown
    assert re.search(r"The next step would take about [\d,]+ labels more", shown)


def test_an_earlier_run_gives_the_order_and_the_same_data_does_not(run: Ponder, outcomes: str, tmp_path: Path) -> None:
    """The order of a run on other outcomes is taken; one from these very outcomes is refused."""
    earlier = tmp_path / "earlier.json"
    earlier.write_text(json.dumps(_chosen(run, "--table", outcomes, *ASKED, "--cost", "fast=0.06")))
    assert _chosen(run, "--table", outcomes, *ASKED, "--order", str(earlier))["certified"]
    earlier.write_text(json.dumps(_chosen(run, "--table", outcomes, *ASKED)))
    refused = run("calibrate", "choose", "--table", outcomes, *ASKED, "--order", str(earlier))
    assert refused.exit_code != 0
    assert "comes from these very outcomes" in refused.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--labels", "901"), "--labels 901: the table has 900 items"),
        (("--arm", "slow"), "no outcome is of arm 'slow'; there are fast, think, think-hard"),
        (("--out", "profile.json"), "--out needs --policy"),
        (("--order", __file__), "is no order"),
    ],
)
def test_what_cannot_be_done_is_refused(run: Ponder, outcomes: str, arguments: tuple[str, ...], said: str) -> None:
    """With what would be accepted."""
    result = run("calibrate", "choose", "--table", outcomes, *ASKED, *arguments)
    assert result.exit_code != 0
    assert said in result.stderr


def test_a_promise_must_be_named(run: Ponder, outcomes: str) -> None:
    """A choice that costs money has no default."""
    result = run("calibrate", "choose", "--table", outcomes, "--reference", "think-hard", "--confidence", "0.9")
    assert "--loss-at-most is needed: give it, or --policy and --rule" in result.stderr


def test_a_profile_is_for_a_policys_rule_and_the_same_every_time(
    run: Ponder, outcomes: str, policy: Path, tmp_path: Path
) -> None:
    """Target and arms come from the rule, the document carries its digest, and its bytes do not change."""
    first, second = tmp_path / "1.json", tmp_path / "2.json"
    for file in (first, second):
        _chosen(run, "--table", outcomes, "--policy", "work", "--labels", "600", "--seed", "3", "--out", str(file))
    assert first.read_bytes() == second.read_bytes()
    document = read_document(first.read_text())
    rule = document.rules["checkable"]
    assert (document.policy, document.seed, rule.certificate.loss_at_most) == ("work", 3, 0.04)
    assert (rule.certificate.reference, rule.certificate.labels) == ("think-hard", 600)
    assert rule.certificate.bound <= 0.04
    arms = {(cell.category, cell.difficulty): cell.arm for cell in rule.cells}
    assert arms["math", "easy"] == "fast"
    assert len(arms) == 6


def test_a_profile_promises_what_its_rule_asks_for(run: Ponder, outcomes: str, policy: Path, tmp_path: Path) -> None:
    """A looser promise is no certificate for the rule."""
    out = str(tmp_path / "profile.json")
    result = run("calibrate", "choose", "--table", outcomes, "--policy", "work", "--loss-at-most", "0.2", "--out", out)
    assert "rule 'checkable' asks for a loss of at most 0.04" in result.stderr
    few = run("calibrate", "choose", "--table", outcomes, "--policy", "work", "--labels", "8", "--out", out)
    assert "nothing was certified, so there is nothing to publish" in few.stderr
    assert not Path(out).exists()


def test_at_most_so_many_categories_of_the_profile_in_force_change(
    run: Ponder, outcomes: str, policy: Path, tmp_path: Path
) -> None:
    """One category keeps what the present profile has, whatever the labels say."""
    kept = tmp_path / "profile.json"
    asked = ("--table", outcomes, "--policy", "work", "--seed", "3")
    _chosen(run, *asked, "--out", str(kept))
    said = json.loads(kept.read_text())
    for cell in said["rules"]["checkable"]["cells"]:
        cell["arm"] = "think-hard"
    kept.write_text(json.dumps(said))
    found = _chosen(run, *asked, "--current", str(kept), "--most-changed", "1")
    changed = {cell["category"] for cell in found["cells"] if cell["arm"] != "think-hard"}
    assert len(changed) == 1


def test_a_report_is_one_page_that_asks_for_nothing(run: Ponder, outcomes: str, tmp_path: Path) -> None:
    """Plots are inside, for light and dark, and no address is in it."""
    page = tmp_path / "report.html"
    result = run("calibrate", "report", "--table", outcomes, *ASKED, "--labels", "400", "--out", str(page))
    assert result.exit_code == 0, result.output
    text = page.read_text()
    assert text.count("<svg") == 6
    assert "prefers-color-scheme:dark" in text
    assert "losing at most 3 points, with confidence 0.9" in text
    assert not re.findall(r"(?:src|href|@import|url\()", text)
    assert "http" not in text.replace("http://www.w3.org/2000/svg", "")


def test_a_plan_forecasts_from_outcomes(run: Ponder, outcomes: str) -> None:
    """For each target: what is in reach, what numbers of labels buy, and what most of it takes."""
    asked = ("calibrate", "plan", "--table", outcomes, "--reference", "think-hard", "--confidence", "0.9")
    found = json.loads(run(*asked, "--loss-at-most", "0.02", "--loss-at-most", "0.05", "--json").stdout)
    tight, loose = found["forecasts"]
    assert found["cost_per_label"] == pytest.approx(1.35)
    assert tight["in_reach"] >= loose["in_reach"]
    assert tight["labels_for_most"] > loose["labels_for_half"]
    assert "four fifths" in run(*asked).stdout


def test_a_plan_without_outcomes_is_of_a_policys_rules(run: Ponder, policy: Path) -> None:
    """The tighter the promise the more labels, with what their answers cost at most."""
    found = [
        json.loads(run("calibrate", "plan", "--policy", "work", "--loss-at-most", loss, "--json").stdout)["rules"][0]
        for loss in ("0.01", "0.03")
    ]
    assert [row["labels"] for row in found] == [9_016, 1_002]
    assert all(float(row["cost_usd_at_most"]) > 0 for row in found)
    assert "A forecast, no promise." in run("calibrate", "plan", "--policy", "work").stdout


def test_outcomes_or_a_policy_is_planned_for(run: Ponder, outcomes: str, policy: Path) -> None:
    """Not both, and not neither."""
    assert run("calibrate", "plan", "--policy", "work", "--table", outcomes).exit_code == 2
    assert run("calibrate", "plan").exit_code == 2


def test_only_items_that_the_rule_is_for_are_chosen_from(run: Ponder, outcomes: str, policy: Path) -> None:
    """A certificate speaks of the rule's traffic, so other categories have no part in it."""
    policy.write_text(policy.read_text().replace("[math, code]", "[math]"))
    found = _chosen(run, "--table", outcomes, "--policy", "work")
    assert {cell["category"] for cell in found["cells"]} == {"math"}
    assert found["items"] == 450
