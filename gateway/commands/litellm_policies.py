"""LiteLLM's fallbacks and groups of deployments, as policies: a client asks for ``auto:NAME``."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

_NOT_IN_NAMES: Final = re.compile(r"[^a-z0-9_.-]+")
_LONGEST: Final = 60
_MOST_USD: Final = 1


class Remarking(Protocol):
    """Where what did not map is noted."""

    def remark(self, where: str, why: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Chain:
    """For each group of deployments that has one: the models that are tried, in this order."""

    models: Mapping[str, Sequence[str]]

    @classmethod
    def read(cls, document: Mapping[str, Any], groups: Mapping[str, Sequence[str]], made: Remarking) -> Chain:
        """The chains of a file, from its groups of deployments and its fallbacks."""
        chains: dict[str, Sequence[str]] = {}
        fallbacks = dict(_fallbacks(document, made))
        everywhere = fallbacks.pop("*", ())
        for group, own in groups.items():
            wanted = [*own]
            for fallback in fallbacks.get(group, everywhere):
                if fallback in groups:
                    wanted += [name for name in groups[fallback] if name not in wanted]
                elif fallback != group:
                    made.remark("fallbacks", f"{group}: its fallback {fallback} did not map")
            if len(wanted) > 1:
                chains[group] = wanted
        for group in fallbacks.keys() - groups.keys():
            made.remark("fallbacks", f"{group} did not map, nor do its fallbacks")
        return cls(chains)


def policies_of(chain: Chain) -> dict[str, dict[str, Any]]:
    """A policy for each chain: its first model answers, the others where that fails."""
    made: dict[str, dict[str, Any]] = {}
    for group, models in chain.models.items():
        arms = {_name(model): {"model": model} for model in models}
        first, *others = arms
        defaults: dict[str, Any] = {"arm": first, "reference": first, "max_cost_usd": _MOST_USD}
        if others:
            defaults["fallbacks"] = others
        name = _name(group)
        made[name] = {"policy": name, "arms": arms, "defaults": defaults}
    return made


def _fallbacks(document: Mapping[str, Any], made: Remarking) -> Iterator[tuple[str, Sequence[str]]]:
    for section in ("litellm_settings", "router_settings"):
        settings = document.get(section)
        if not isinstance(settings, dict):
            continue
        if isinstance(default := settings.get("default_fallbacks"), list):
            yield "*", tuple(map(str, default))
        for each in settings.get("fallbacks") or []:
            for group, names in (each if isinstance(each, dict) else {}).items():
                if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
                    made.remark(f"{section}.fallbacks", f"{group}: a fallback with fields of its own is not taken over")
                    continue
                yield str(group), tuple(names)


def _name(text: str) -> str:
    """A name as policies and arms have it."""
    return _NOT_IN_NAMES.sub("-", text.lower()).strip("-_.")[:_LONGEST] or "models"
