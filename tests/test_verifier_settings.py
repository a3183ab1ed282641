"""``verifiers`` of ``ponder.yaml``: every fault is named with its line, and what would be valid."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest

from gateway.errors import ConfigurationError
from gateway.settings import load
from gateway.verifier_settings import KINDS, ClassifySettings, VerifierSettings


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("kind: step_reward", "verifiers.v: needs a kind: step_rewards, classify, label, likelihood, outcome, judge"),
        ("batch: 3", "verifiers.v: needs a kind: step_rewards, classify, label, likelihood, outcome, judge"),
        (
            "kind: step_rewards\n    step_tg: x",
            "ponder.yaml:5: verifiers.v.step_rewards.step_tg: unknown key; did you ",
        ),
        ("kind: judge\n    scale: logit", "verifiers.v.judge.scale: unknown key; valid are model, kind, "),
        ("kind: outcome\n    steps: each", "verifiers.v.outcome.steps: unknown key"),
        ("kind: label", "verifiers.v.label.template: Field required"),
        (
            "kind: label\n    template: '{qestion} {steps}'",
            "names {qestion}; it may name {system}, {question}, {steps}",
        ),
        ("kind: classify\n    template: '{question}'", "must name {steps} once"),
        ("kind: classify\n    template: '{steps}{steps}'", "must name {steps} once"),
        ("kind: classify\n    template: '{{steps}}'", "must name {steps} once"),
        ("kind: label\n    template: '{steps}'\n    labels: [Good, ' good']", "labels are two different tokens"),
        ("kind: step_rewards\n    step_tag: ''", "verifiers.v.step_rewards.step_tag: String should have at least 1"),
        ("kind: classify\n    aggregation: max", "verifiers.v.classify.aggregation: Input should be 'min', 'product'"),
        ("kind: classify\n    label: -1", "verifiers.v.classify.label: Input should be greater than or equal to 0"),
    ],
)
def test_a_fault_is_named(tmp_path: Path, lines: str, message: str) -> None:
    """Whoever wrote a verifier wrongly is told where, and what would be valid."""
    path = tmp_path / "ponder.yaml"
    path.write_text(f"verifiers:\n  v:\n    model: prm\n    {lines}\n")
    with pytest.raises(ConfigurationError) as caught:
        load(path)
    assert message in caught.value.message


def test_braces_that_name_nothing_stand(tmp_path: Path) -> None:
    """A template may hold LaTeX: empty braces are left alone, and doubled ones stand for themselves."""
    path = tmp_path / "ponder.yaml"
    path.write_text("verifiers: {v: {kind: classify, model: m, template: 'in \\boxed{} {{x}} {steps}'}}")
    settings = load(path).verifiers["v"]
    assert isinstance(settings, ClassifySettings)
    assert settings.template == "in \\boxed{} {{x}} {steps}"


def test_every_kind_is_listed() -> None:
    """What the reference documents is all that can be configured."""
    union, _ = get_args(VerifierSettings)
    assert get_args(union) == KINDS
