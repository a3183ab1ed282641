"""Scores answers of a run by each item's own check."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from calibrator.items.item import Agreement, Item
from calibrator.majority import agrees
from gateway.adapters.graders.grading import Graders
from gateway.domain.check import NamedCheck
from gateway.domain.pricing import FREE
from gateway.errors import ConfigurationError, Forbidden, InvalidRequest, Unavailable
from gateway.flow.house import Catalog
from gateway.settings import GraderSettings

RIGHT: Final = 1.0
WRONG: Final = 0.0
_DEADLINE_S: Final = 60.0
"""For one check, the start of its process included."""


class Judging:
    """The checks of one process."""

    def __init__(self, settings: GraderSettings, offered: Catalog) -> None:
        self._graders = Graders(settings)
        self._verifiers = offered.verifiers
        self._models = offered.models

    async def check(self, items: Iterable[Item]) -> None:
        """See that every item can be checked here, before anything is asked. Raises ConfigurationError naming one."""
        seen: set[object] = set()
        for item in items:
            if item.check in seen or isinstance(item.check, Agreement):
                continue
            seen.add(item.check)
            if isinstance(item.check, NamedCheck):
                self._check_named(item, item.check.verifier)
            try:
                await self._graders.grader_for(item.check, verifiers=self._verifiers)
            except (InvalidRequest, Forbidden, Unavailable) as fault:
                raise ConfigurationError(f"item {item.id}: {fault.message}") from fault

    def _check_named(self, item: Item, name: str) -> None:
        found = self._verifiers.get(name)
        if found is not None and found.model is not None and self._models[found.model].price != FREE:
            raise ConfigurationError(
                f"item {item.id}: verifier {name!r} calls a model that is not free, and no cap would hold its cost; "
                "take one that is, or a check that is computed: math, exact, choice, regex, json_schema or code"
            )

    async def score(self, item: Item, text: str, majority: str | None = None) -> float:
        """How right an answer is, by the item's check. One that no check can decide in time counts as wrong.

        ``majority`` is what the reference says to an item that has no other truth.
        """
        if not text.strip():
            return WRONG
        if isinstance(item.check, Agreement):
            return RIGHT if majority is not None and agrees(text, majority) else WRONG
        try:
            verdict = await self._graders.grade(
                item.check, item.problem, text, deadline_s=_DEADLINE_S, verifiers=self._verifiers
            )
        except Unavailable:
            return WRONG
        return min(max(verdict.scores[-1], WRONG), RIGHT)

    async def close(self) -> None:
        """End the processes of the checks."""
        await self._graders.close()
