"""The items of a policy: all its sources together, each in the cell that traffic like it is in."""

from __future__ import annotations

import importlib.util
import json
import tomllib
from collections import Counter
from pathlib import Path

import pytest

from calibrator.items.gathering import gather
from calibrator.items.golden import read_golden
from gateway.difficulty.classifier import Learned
from gateway.domain.check import Kind, TruthCheck
from gateway.domain.prediction import Anchor, Prompt
from gateway.errors import ConfigurationError
from gateway.policy.items_document import GeneratedDocument, ItemsDocument
from tests.calibrator.scripted import golden
from tests.policy.test_shipped import FOLDER
from tests.policy.world import ready, simple

SUM = "What is the derivative of x^3 * sin(x) at x = 2?"


def _policy(folder: Path, *rows: object) -> Path:
    (folder / "golden").mkdir()
    (folder / "golden" / "items.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return folder / "policy.yaml"


def test_what_an_item_does_not_say_is_predicted_as_for_traffic(tmp_path: Path) -> None:
    """Category and difficulty are those of the classifier, cut as the policy cuts them; what is written stays."""
    check = {"kind": "math", "answer": "1"}
    file = _policy(
        tmp_path,
        {"id": "a", "prompt": SUM, "check": check},
        {"id": "b", "prompt": SUM, "category": "code", "difficulty": "hard", "check": check},
    )
    predicted = Learned.load().classify(Prompt(SUM))
    policy = ready()
    first, second = gather(ItemsDocument(), file, policy)
    assert first.cell == ("math", policy.cuts.tier(predicted.success[Anchor.WEAK]))
    assert second.cell == ("code", "hard")


def test_an_item_that_nobody_is_sure_of_belongs_to_no_rule(tmp_path: Path) -> None:
    """Traffic like it gets the reference, whatever is certified."""
    file = _policy(tmp_path, {"prompt": "zxcv qwer uiop hjkl", "check": {"kind": "exact", "answer": "1"}})
    (item,) = gather(ItemsDocument(), file, ready())
    assert item.cell[0] == "other"


def test_how_sure_is_sure_is_the_policys_to_say(tmp_path: Path) -> None:
    """An item below its bound is ``other``, as the ask would be."""
    file = _policy(tmp_path, {"prompt": SUM, "check": {"kind": "math", "answer": "1"}})
    strict = ready(simple(classify="{unsure_below: 1}"))
    assert [item.cell[0] for item in gather(ItemsDocument(), file, strict)] == ["other"]


def test_nothing_to_measure_on_is_a_fault(tmp_path: Path) -> None:
    """Which says where items go."""
    with pytest.raises(ConfigurationError, match=r"put items into .*golden/\*\.jsonl"):
        gather(ItemsDocument(), tmp_path / "policy.yaml", ready())
    with pytest.raises(ConfigurationError, match="nothing to measure on"):
        gather(ItemsDocument(golden=False), _policy(tmp_path, {"prompt": "a", "check": {"kind": "x"}}), ready())


def test_generated_items_need_their_package() -> None:
    """It does not come with Ponder; without it, the fault says how to install it."""
    wanted = ItemsDocument(golden=False, generated=GeneratedDocument(tasks=("gcd",), each=2))
    if importlib.util.find_spec("reasoning_gym") is None:
        with pytest.raises(ConfigurationError, match="reasoning-gym, which is not installed"):
            gather(wanted, Path("policy.yaml"), ready())
    else:
        items = gather(wanted, Path("policy.yaml"), ready())
        assert [type(item.check) for item in items] == [TruthCheck] * 2


def test_the_shipped_items_are_whole() -> None:
    """A hundred and more, of five kinds, each with one right answer, most of which the default rule is for."""
    items = read_golden(FOLDER / "default")
    kinds = Counter(item.id.partition("-")[0] for item in items)
    assert kinds.keys() == {"math", "logic", "code", "planning", "constraint"}
    assert min(kinds.values()) >= 20
    assert all(isinstance(item.check, TruthCheck) for item in items)
    assert {item.check.kind for item in items if isinstance(item.check, TruthCheck)} == {
        Kind.MATH,
        Kind.EXACT,
        Kind.CHOICE,
    }
    placed = gather(ItemsDocument(), FOLDER / "default" / "policy.yaml", ready())
    assert sum(item.cell[0] in kinds for item in placed) >= 100


def test_the_shipped_items_travel_with_the_wheel() -> None:
    """Beside the policy that they are of."""
    files = tomllib.loads((FOLDER.parent / "pyproject.toml").read_text("utf-8"))["tool"]["setuptools"]["data-files"]
    assert files["share/ponder/policies/default/golden"] == ["policies/default/golden/*.jsonl"]


def test_scripted_items_are_golden_ones(tmp_path: Path) -> None:
    """The items that other tests measure on are read as they are meant."""
    (tmp_path / "golden").mkdir()
    (tmp_path / "golden" / "items.jsonl").write_text(golden(6), "utf-8")
    cells = [item.cell for item in read_golden(tmp_path)]
    assert cells == [("math", tier) for tier in ("easy", "medium", "hard")] * 2
