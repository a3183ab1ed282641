"""What an arm may write for its search: each parameter in its range, and only where the strategy takes it."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest
from pydantic import ValidationError

from gateway.policy.document import ArmDocument
from gateway.policy.schema import json_schema

SCHEMA = json.loads(json_schema())
_ARM = {"$ref": "#/$defs/ArmDocument", "$defs": SCHEMA["$defs"]}


def _arm(**written: Any) -> ArmDocument:
    return ArmDocument.model_validate({"model": "local", **written})


@pytest.mark.parametrize(
    "written",
    [
        {"strategy": "vote", "samples": "auto", "schedule": "auto", "stop": "beta", "confidence": 1, "weighted": True},
        {"strategy": "vote", "futile_after": 4},
        {"strategy": "best_of_n", "reject_below": 0.3, "reject_quantile": 0.5, "reject_after": 1, "redraws": 0},
        {"strategy": "best_of_n", "step": "newline", "accept": 0, "temperature": 2},
        {"strategy": "beam", "verifier": "prm", "lookahead": 2, "step": {"tag": "</step>", "tokens": 200}},
        {"strategy": "dvts", "verifier": "prm", "beams": 3, "groups": 3, "step": {"tokens": 64}},
        {"strategy": "mcts", "verifier": "prm", "exploration": 0.5, "widening": 2, "visit_floor": 1, "parallel": 4},
        {"strategy": "revise", "rounds": 0, "accept": 0.5},
        {"strategy": "draft", "draft": ["tiny", "small"], "sure": 0.9, "patience": 1, "depth": 4},
        {"strategy": "decompose", "parts": 3, "part_samples": 5},
        {"strategy": "repair", "verifier": "prm", "floor": 0.4, "fall": 0.2, "step": {"mark": "newline", "tokens": 9}},
    ],
)
def test_every_strategy_takes_its_own_parameters(written: dict[str, Any]) -> None:
    """They are told to the search as they are written; the schema for editors takes them as well."""
    arm = _arm(**written)
    said = {name: value for name, value in written.items() if name not in {"strategy", "verifier", "draft"}}
    assert arm.parameters == said
    assert json.loads(json.dumps(arm.parameters)) == said
    jsonschema.validate({"model": "local", **written}, _ARM)


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ({"strategy": "vote", "reject_below": 0.1}, "strategy vote does not take reject_below, which belongs to best_"),
        ({"strategy": "beam", "verifier": "v", "groups": 2}, "take groups, which belongs to dvts; valid are accept, b"),
        ({"strategy": "mcts", "verifier": "v", "beam": 2}, "Extra inputs"),
        ({"strategy": "vote", "step": "newline"}, "strategy vote does not take step, which belongs to best_of_n, beam"),
        ({"strategy": "vote", "max_samples": 2, "parts": 2}, "strategy vote does not take parts"),
        ({"samples": 2}, "strategy greedy does not take samples, which belongs to vote, best_of_n; valid are none"),
        ({"strategy": "draft"}, "strategy draft needs draft: the small model"),
        ({"strategy": "vote", "draft": "tiny"}, "strategy vote does not take draft, which belongs to draft"),
        ({"strategy": "dvts", "verifier": "v", "beams": 3}, "4 groups need at least as many beams, and there are 3"),
        ({"strategy": "repair"}, "strategy repair needs a verifier"),
        ({"escalate_below": 0.5}, "escalate_below and carries belong to a cascade"),
        ({"carries": True}, "escalate_below and carries belong to a cascade"),
    ],
)
def test_what_the_strategy_does_not_take_is_refused(written: dict[str, Any], message: str) -> None:
    """It would change nothing; whoever wrote it is told where it belongs and what there is."""
    with pytest.raises(ValidationError) as refused:
        _arm(**written)
    assert message in str(refused.value)


@pytest.mark.parametrize(
    ("strategy", "written"),
    [
        ("vote", {"samples": 0}),
        ("vote", {"samples": True}),
        ("vote", {"samples": "all"}),
        ("vote", {"max_samples": 4097}),
        ("vote", {"schedule": "later"}),
        ("vote", {"stop": "soon"}),
        ("vote", {"confidence": 1.01}),
        ("vote", {"futile_after": 0}),
        ("vote", {"weighted": 1}),
        ("vote", {"temperature": 2.1}),
        ("best_of_n", {"redraws": -1}),
        ("best_of_n", {"accept": True}),
        ("best_of_n", {"step": "paragraph"}),
        ("best_of_n", {"step": {}}),
        ("best_of_n", {"step": {"tag": " "}}),
        ("best_of_n", {"step": {"tokens": 0}}),
        ("best_of_n", {"step": {"tag": "x", "mark": "newline"}}),
        ("revise", {"rounds": -1}),
        ("decompose", {"parts": 0}),
    ],
)
def test_values_out_of_their_range_are_refused(strategy: str, written: dict[str, Any]) -> None:
    """By the document; what would be accepted is told by the range."""
    with pytest.raises(ValidationError):
        _arm(strategy=strategy, **written)


def test_a_cascade_may_carry_its_attempts() -> None:
    """And takes nothing that is a single arm's."""
    cascade = {"cascade": ["a", "b"], "escalate_below": 0.5}
    assert ArmDocument.model_validate({**cascade, "carries": True}).carries
    with pytest.raises(ValidationError, match="a cascade takes escalate_below, carries, verifier and like, and not sa"):
        ArmDocument.model_validate({**cascade, "samples": 3})
