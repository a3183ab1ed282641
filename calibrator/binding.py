"""The rule of a policy that a calibration is for: what it promises, and by which digest its certificate knows it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

from calibrator.choose import Scope, Target
from calibrator.in_force import offered, versions_in_force
from gateway.clock import SystemClock
from gateway.commands.policy_sources import prepare, source
from gateway.domain.profile import Cell
from gateway.errors import ConfigurationError
from gateway.flow.house import Catalog
from gateway.policy.reading import Policy
from gateway.policy.ready import ReadyPolicy, ReadyRule
from gateway.settings import Places, Settings, database_url, load, places
from gateway.store.base import Database, locate
from gateway.store.changes import Changes


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
    def target(self) -> Target:
        """What the rule asks to be shown."""
        return Target(self.rule.loss_at_most, self.confidence, self.scope)

    @property
    def usable(self) -> tuple[str, ...]:
        """Those of its arms that can be asked as things are."""
        return tuple(name for name in self.arms if self.policy.arms[name].problem is None)

    @property
    def arms(self) -> tuple[str, ...]:
        """The arms to compare: those that the rule chooses among, and the reference."""
        return tuple(dict.fromkeys((*self.rule.among, self.reference)))


@dataclass(frozen=True, slots=True)
class BoundPolicy:
    """A policy with its calibrated rules, the file it was read from, and what the configuration offers it."""

    read: Policy
    file: Path
    rules: tuple[Bound, ...]
    offered: Catalog

    @property
    def ready(self) -> ReadyPolicy:
        """The policy, ready to decide. There is one, as there are rules."""
        return self.rules[0].policy


async def bound_policy(policy: str, changes: Changes, found: Catalog) -> BoundPolicy:
    """A policy by its name, file or folder, as it is in force. Raises ConfigurationError where no arm can be used."""
    written = source(policy)
    read = written.policy()
    in_force = await versions_in_force({written.name: read}, changes, SystemClock())
    return bind(in_force[written.name], written.file, found)


def bind(read: Policy, file: Path, found: Catalog) -> BoundPolicy:
    """The policy with its rules, over the models that there are. Raises ConfigurationError where none can be used."""
    ready = prepare(read, found)
    if ready.reference is None:
        raise ConfigurationError(f"policy {read.name}: {ready.notes[0]}, so there is no reference to compare with")
    rules = tuple(
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
    return BoundPolicy(read, file, rules, found)


def bound_rules(policy: str) -> tuple[Bound, ...]:
    """The calibrated rules of a policy. Raises ConfigurationError where no arm of it can be used."""
    where = places(os.environ)
    return asyncio.run(_bound(policy, where, load(where.config), os.environ)).rules


async def _bound(policy: str, where: Places, settings: Settings, environment: Mapping[str, str]) -> BoundPolicy:
    database = locate(database_url(where, settings))
    changes = Changes(database)
    try:
        async with offered(where, settings, environment, changes) as found:
            if _is_absent(database):
                written = source(policy)
                return bind(written.policy(), written.file, found)
            return await bound_policy(policy, changes, found)
    finally:
        await changes.close()


def _is_absent(database: Database) -> bool:
    """Whether no gateway has made the database yet: then nothing was rolled back, and outcomes can be looked at."""
    return database.is_sqlite and not Path(str(database.url.database)).exists()


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
