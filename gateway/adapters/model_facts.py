"""What a model takes, put together: the operator's word first, then its provider's, then the table's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from gateway.adapters.price_list import ListedModel
from gateway.domain.capabilities import Budget, Capability, Control, Shown, Taken
from gateway.domain.capability_table import find
from gateway.domain.chat import ThinkingMode
from gateway.domain.effort import LEVELS, OFF
from gateway.thinking_settings import ThinkingSettings

_ANTHROPIC_LEAST = 1024
_KEPT_FOR_ANSWER = 1024


@dataclass(frozen=True, slots=True)
class ReportedModel:
    """What a provider's own list says of one model; None stands where it says nothing."""

    modes: frozenset[ThinkingMode] | None
    levels: tuple[str, ...] | None
    max_input_tokens: int | None
    max_output_tokens: int | None
    takes_images: bool | None


def read_reported(entry: Mapping[str, Any]) -> ReportedModel:
    """One entry of Anthropic's ``GET /v1/models``, as ``anthropic.types.ModelInfo`` has it; odd members say nothing."""
    capabilities = _mapping(entry.get("capabilities"))
    types = _mapping(_mapping(capabilities.get("thinking")).get("types"))
    effort = _mapping(capabilities.get("effort"))
    modes = frozenset(mode for mode in ThinkingMode if _supported(types.get(mode.value)))
    levels = tuple(level for level in LEVELS if _supported(effort.get(level)))
    stops = {ThinkingMode.DISABLED, ThinkingMode.BETWEEN_TOOLS} & modes
    return ReportedModel(
        modes=modes if types else None,
        levels=((OFF,) if stops else ()) + levels if types and effort else None,
        max_input_tokens=_count(entry.get("max_input_tokens")),
        max_output_tokens=_count(entry.get("max_tokens")),
        takes_images=_supported(capabilities["image_input"]) if "image_input" in capabilities else None,
    )


def capability_of(
    provider: str,
    model: str,
    *,
    listed: ListedModel | None,
    reported: ReportedModel | None,
    told: ThinkingSettings | None,
) -> Capability:
    """The capability of a model, by its provider's own name for it."""
    reasons = listed is not None and "reasoning" in listed.abilities
    if told is not None and told.like is not None:
        provider, _, model = told.like.partition("/")
    capability = find(provider, model, reasons=reasons)
    if listed is not None:
        capability = replace(
            capability,
            takes_tools="function_calling" in listed.abilities,
            takes_images="vision" in listed.abilities,
        )
    if reported is not None:
        capability = _as_reported(capability, reported)
    return capability if told is None else _as_told(capability, told)


def _as_reported(capability: Capability, reported: ReportedModel) -> Capability:
    if reported.takes_images is not None:
        capability = replace(capability, takes_images=reported.takes_images)
    if reported.modes is None or capability.control is not Control.ANTHROPIC:
        return capability
    budget = None
    if ThinkingMode.ENABLED in reported.modes:
        most = (reported.max_output_tokens or 0) - _KEPT_FOR_ANSWER
        budget = Budget(_ANTHROPIC_LEAST, most) if most > _ANTHROPIC_LEAST else capability.budget
    return replace(
        capability,
        modes=reported.modes,
        levels=capability.levels if reported.levels is None else reported.levels,
        budget=budget,
    )


def _as_told(capability: Capability, told: ThinkingSettings) -> Capability:
    """The capability with what the operator says; another control begins without the facts of the old one."""
    if told.control is not None and Control(told.control) is not capability.control:
        control = Control(told.control)
        can_stop = control not in {Control.ALWAYS}
        capability = Capability(
            family="ponder.yaml",
            control=control,
            levels=(OFF,) if can_stop else (),
            takes_tools=capability.takes_tools,
            takes_images=capability.takes_images,
        )
    changes: dict[str, Any] = {
        "levels": None if told.levels is None else tuple(level for level in LEVELS if level in told.levels),
        "default": told.default,
        "modes": None if told.modes is None else frozenset(ThinkingMode(mode) for mode in told.modes),
        "shown": None if told.shown is None else Shown(told.shown),
        "forced_tools": _taken(told.forced_tools),
        "sampling": _taken(told.sampling),
        "prefill": _taken(told.prefill),
        "tools_in_chat": _taken(told.tools_in_chat),
        "takes_tools": told.tools,
        "takes_images": told.images,
    }
    said = {name: value for name, value in changes.items() if value is not None}
    if said:
        capability = replace(capability, **said)
    return _with_budget(capability, told)


def _with_budget(capability: Capability, told: ThinkingSettings) -> Capability:
    if told.takes_tokens is False:
        return replace(capability, budget=None)
    if told.takes_tokens is None and told.least_tokens is None and told.most_tokens is None:
        return capability
    base = capability.budget or Budget(_ANTHROPIC_LEAST if capability.control is Control.ANTHROPIC else 1)
    least = base.least if told.least_tokens is None else told.least_tokens
    most = base.most if told.most_tokens is None else told.most_tokens
    return replace(capability, budget=replace(base, least=least, most=most))


def _taken(name: str | None) -> Taken | None:
    return None if name is None else Taken(name)


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _supported(value: Any) -> bool:
    return _mapping(value).get("supported") is True


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None
