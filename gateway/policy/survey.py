"""The arms of a policy as one ask finds them: each examined at most once, and what was found kept."""

from __future__ import annotations

from dataclasses import dataclass, field

from gateway.domain.plan import Dropped
from gateway.policy.options import Drop, Option, Situation, examine
from gateway.policy.ready import ReadyPolicy


@dataclass(slots=True)
class Survey:
    """One decision's look at the arms, in the order in which it asked for them."""

    policy: ReadyPolicy
    situation: Situation
    drops: dict[str, Drop] = field(default_factory=dict)
    passed_over: dict[str, str] = field(default_factory=dict)
    """Arms that could answer and were not chosen, with the reason."""
    _options: dict[str, Option] = field(default_factory=dict)

    def option(self, name: str) -> Option | None:
        """The arm as an option; None where something speaks against it, which is then in ``drops``."""
        found = self._options.get(name)
        if found is not None:
            return found
        if name in self.drops:
            return None
        examined = examine(self.policy.arms[name], self.situation)
        if isinstance(examined, Drop):
            self.drops[name] = examined
            return None
        self._options[name] = examined
        return examined

    def usable(self, names: tuple[str, ...]) -> list[Option]:
        """Those of the arms that are options, in the same order, each once."""
        return [option for name in dict.fromkeys(names) if (option := self.option(name)) is not None]

    def dropped(self, taken: str) -> tuple[Dropped, ...]:
        """Every arm that was considered and not taken for a reason of its own."""
        found = [Dropped(name, drop.reason) for name, drop in self.drops.items()]
        found += [Dropped(name, reason) for name, reason in self.passed_over.items() if name != taken]
        return tuple(found)
