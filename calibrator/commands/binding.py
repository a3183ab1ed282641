"""The rule of a policy that a calibration is for: what it promises, and by which digest its certificate knows it."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate

from calibrator.choose import Scope
from gateway.commands.policy_sources import configured, prepare, source
from gateway.domain.profile import Cell
from gateway.errors import ConfigurationError
from gateway.policy.ready import ReadyPolicy, ReadyRule


@dataclass(frozen=True, slots=True)
class Bound:
    """A calibrated rule of a policy, as it is with the models that are configured now."""

    policy: ReadyPolicy
    rule: ReadyRule
    reference: str
    confidence: float
    scope: Scope
    categories: frozenset[str] | None
    difficulties: frozenset[str] | None

    def applies(self, cell: Cell) -> bool:
        """Whether asks of this category and difficulty may be the rule's, as far as its conditions speak of those."""
        names = accumulate(cell[0].split("/"), lambda above, part: f"{above}/{part}")
        is_category = self.categories is None or not self.categories.isdisjoint(names)
        return is_category and (self.difficulties is None or cell[1] is None or cell[1] in self.difficulties)

    @property
    def arms(self) -> tuple[str, ...]:
        """The arms to compare: those that the rule chooses among, and the reference."""
        return tuple(dict.fromkeys((*self.rule.among, self.reference)))


def bound_rules(policy: str) -> tuple[Bound, ...]:
    """The calibrated rules of a policy. Raises ConfigurationError where no arm of it can be used."""
    _, offered = configured()
    read = source(policy).policy()
    ready = prepare(read, offered)
    if ready.reference is None:
        raise ConfigurationError(f"policy {policy}: {ready.notes[0]}, so there is no reference to compare with")
    return tuple(
        Bound(
            policy=ready,
            rule=rule,
            reference=ready.reference,
            confidence=written.calibrated.confidence,
            scope=Scope(written.calibrated.scope),
            categories=None if written.when.category is None else frozenset(written.when.category),
            difficulties=None if written.when.difficulty is None else frozenset(written.when.difficulty),
        )
        for rule, written in zip(ready.rules, read.document.rules, strict=True)
        if written.calibrated is not None
    )


def bound_rule(policy: str, name: str | None) -> Bound:
    """The rule of this name; the only calibrated one, without a name. Raises ConfigurationError if there is none."""
    found = bound_rules(policy)
    names = ", ".join(repr(each.rule.name) for each in found)
    if not found:
        raise ConfigurationError(f"policy {policy} has no calibrated rule")
    if name is None and len(found) > 1:
        raise ConfigurationError(f"policy {policy} has several calibrated rules; name one with --rule: {names}")
    for each in found:
        if name in (None, each.rule.name):
            return each
    raise ConfigurationError(f"policy {policy} has no calibrated rule {name!r}; it has {names}")
