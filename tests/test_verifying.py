"""Verifiers made of the configuration: references, kinds and reloads."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.errors import ConfigurationError
from gateway.flow.house import Catalog
from gateway.search.aggregate import Aggregation
from gateway.settings import Settings
from gateway.wiring import catalog

GPU = {"kind": "vllm", "base_url": "http://127.0.0.1:1/v1"}
UPSTREAMS: dict[str, Any] = {
    "gpu": GPU,
    "cpu": {"kind": "openai", "base_url": "http://127.0.0.1:1/v1"},
    "claude": {"kind": "anthropic", "api_key_env": "KEY"},
    "others": {"kind": "litellm", "provider": "gemini", "api_key_env": "KEY"},
}
PRM = {"kind": "step_rewards", "model": "prm"}


def offered(verifiers: dict[str, Any]) -> Catalog:
    """What is offered with these verifiers."""
    settings = Settings.model_validate(
        {
            "upstreams": UPSTREAMS,
            "models": {
                "prm": {"upstream": "gpu", "price": "free"},
                "small": {"upstream": "cpu", "price": "free"},
                "haiku": {"upstream": "claude", "price": "free"},
                "gemini": {"upstream": "others", "price": "free"},
            },
            "verifiers": verifiers,
        }
    )
    return catalog(settings, {"KEY": "k"}, embedded_url=None)[0]


def test_verifiers_are_offered_by_name() -> None:
    """Each kind is made of its settings, and says what it is."""
    made = offered(
        {
            "prm": {**PRM, "aggregation": "product"},
            "classes": {"kind": "classify", "model": "prm", "scale": "logit", "steps": "last"},
            "labels": {"kind": "label", "model": "small", "template": "{steps}"},
            "outcome": {"kind": "outcome", "model": "prm"},
            "judge": {"kind": "judge", "model": "haiku"},
        }
    ).verifiers
    assert {name: each.name for name, each in made.items()} == {name: name for name in made}
    assert {name: each.model for name, each in made.items()} == {
        "prm": "prm", "classes": "prm", "labels": "small", "outcome": "prm", "judge": "haiku",
    }  # fmt: skip
    assert {name for name, each in made.items() if each.scores_steps} == {"prm", "classes", "labels"}
    assert {name for name, each in made.items() if each.is_logit} == {"classes"}
    assert made["prm"].aggregation is Aggregation.PRODUCT


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({**PRM, "model": "prn"}, "verifiers.v: model 'prn' is not configured"),
        ({**PRM, "model": "small"}, "kind step_rewards needs a model at an upstream of kind vllm, and cpu is of"),
        ({"kind": "classify", "model": "haiku"}, "kind classify needs a model at an upstream of kind vllm"),
        ({"kind": "outcome", "model": "gemini"}, "kind outcome needs a model at an upstream of kind vllm"),
        (
            {"kind": "label", "model": "haiku", "template": "{steps}"},
            "kind label needs a model at an upstream of kind vllm or openai, and claude is of another kind",
        ),
        ({"kind": "label", "model": "gemini", "template": "{steps}"}, "and others is of another kind"),
    ],
)
def test_a_verifier_that_cannot_work_is_refused(settings: dict[str, Any], message: str) -> None:
    """A model that is not configured, or whose server cannot score in this way, is told at start."""
    with pytest.raises(ConfigurationError, match=r"^verifiers\.v: ") as caught:
        offered({"v": settings})
    assert message in caught.value.message


@pytest.mark.parametrize("model", ["prm", "small", "haiku", "gemini"])
def test_any_model_can_judge(model: str) -> None:
    """A judge is a chat model anywhere."""
    assert offered({"v": {"kind": "judge", "model": model}}).verifiers["v"].model == model


def test_a_reload_keeps_what_did_not_change() -> None:
    """A verifier whose settings, model and upstream are the same stays, with its scores; another is made anew."""

    def loaded(before: Catalog | None, upstreams: Any, **changes: Any) -> tuple[Catalog, Any]:
        settings = Settings.model_validate(
            {
                "upstreams": {"gpu": GPU},
                "models": {"prm": {"upstream": "gpu", "price": "free"}},
                "verifiers": {"prm": {**PRM, **changes}, "judge": {"kind": "judge", "model": "prm"}},
            }
        )
        kept = None if before is None else before.verifiers
        return catalog(settings, {}, embedded_url=None, reusable=upstreams, verifiers=kept)

    first, upstreams = loaded(None, None)
    again, _ = loaded(first, upstreams)
    assert again.verifiers == first.verifiers
    changed, _ = loaded(first, upstreams, step_tag="[STEP]")
    assert changed.verifiers["prm"] is not first.verifiers["prm"]
    assert changed.verifiers["judge"] is first.verifiers["judge"]
    elsewhere, _ = loaded(first, None)
    assert elsewhere.verifiers["prm"] is not first.verifiers["prm"]
