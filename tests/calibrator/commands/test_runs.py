"""`ponder calibrate import`, `runs` and `publish`."""

from __future__ import annotations

import json
from pathlib import Path

from tests.calibrator.commands.conftest import Ponder


def test_imported_outcomes_are_chosen_from_as_from_their_file(run: Ponder, outcomes: str, policy: Path) -> None:
    """A run has the same digest as the file, and the same choice comes of it."""
    result = run("calibrate", "import", "--table", outcomes, "--policy", "work", "--json")
    assert result.exit_code == 0, result.output
    kept = json.loads(result.stdout)
    assert (kept["items"], kept["outcomes"], kept["items_left_out"]) == (900, 2_700, 0)
    asked = ("calibrate", "choose", "--policy", "work", "--labels", "400", "--json")
    from_file = json.loads(run(*asked, "--table", outcomes).stdout)
    from_run = json.loads(run(*asked, "--run", kept["run"]).stdout)
    assert from_file == from_run
    assert from_file["data_digest"] == from_run["data_digest"]
    listed = json.loads(run("calibrate", "runs", "--json").stdout)
    assert [(each["run"], each["policy"], each["state"]) for each in listed] == [(kept["run"], "work", "unchanged")]
    assert kept["run"] in run("calibrate", "runs", "--policy", "work").stdout
    assert json.loads(run("calibrate", "runs", "--policy", "other", "--json").stdout) == []


def test_only_arms_of_the_policy_are_imported(run: Ponder, policy: Path, tmp_path: Path) -> None:
    """An arm that the policy does not have is named, with those that it has."""
    file = tmp_path / "t.csv"
    file.write_text("item,category,arm,correct,cost\na,math,other,1,1\n")
    result = run("calibrate", "import", "--table", str(file), "--policy", "work")
    assert "policy work has no arm 'other'; it has fast, think, think-hard" in result.stderr


def test_a_run_that_there_is_not_is_told(run: Ponder, policy: Path) -> None:
    """With the command that lists those that there are."""
    result = run("calibrate", "choose", "--run", "run_x", "--policy", "work")
    assert "there is no run 'run_x'; `ponder calibrate runs` lists" in result.stderr


def test_a_profile_is_published_under_the_next_number(run: Ponder, outcomes: str, policy: Path, tmp_path: Path) -> None:
    """Versions count up; a rule that changed since is refused."""
    file = tmp_path / "profile.json"
    chosen = run("calibrate", "choose", "--table", outcomes, "--policy", "work", "--out", str(file))
    assert chosen.exit_code == 0, chosen.output
    asked = ("calibrate", "publish", str(file), "--expires-after-days", "30")
    numbers = [json.loads(run(*asked, "--json").stdout)["number"] for _ in range(2)]
    assert numbers == [1, 2]
    assert "Profile work, version 3, is published; it expires" in run(*asked).stdout
    policy.write_text(policy.read_text().replace("loss_at_most: 0.04", "loss_at_most: 0.02"))
    assert "certifies rule 'checkable' of policy work as it was" in run(*asked).stderr
