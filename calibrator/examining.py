"""Examines verifiers: answers that they scored are checked by what is known to be right, and the look is kept.

Of a calibration run those searches are looked at whose draws are independent of their scores: best-of-N without
rejection. What a tree of steps comes to was chosen by the verifier on its way, and a vote ends by agreement. An item
counts that has a truth of its own, computed and not another model's word.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from calibrator.experiment import RunPlan
from calibrator.items.item import Agreement, Item
from calibrator.judging import RIGHT, Judging
from calibrator.truths import Known
from gateway.domain.arm import Strategy
from gateway.domain.check import NamedCheck
from gateway.domain.search_record import Fate
from gateway.domain.search_sizes import DRIVEN
from gateway.domain.tenancy import Author
from gateway.errors import ConfigurationError, Conflict, PonderError
from gateway.search import configure
from gateway.search.aggregate import aggregate, as_share
from gateway.search.best_of_n import BestOfN
from gateway.search.replay import Item as RecordedItem
from gateway.search.verifier_health import Sample
from gateway.search.verifier_look import Evidence, look_at
from gateway.search_ports import Verifier
from gateway.store.searches import StoredSearch, StoredSearches
from gateway.store.verifier_looks import VerifierLooks, VerifierStanding

_MOST_ANSWERS: Final = 8_000
"""Checked for one verifier: items are in a random order, so the first of them are a sample."""
_AT_ONCE: Final = 8
_TRIES: Final = 5
_LONGEST_S: Final = 120.0
"""For the verifiers of a run, which waits for it to end."""
_PAUSE_S: Final = 1.0
"""Between looks for requests that the journal has not brought to the database yet: it takes a second or two."""
_ENDED: Final = frozenset({Fate.WHOLE, Fate.CUT})
"""What the verifier chooses between: an answer that was cut off is one that may win."""
_log = logging.getLogger("ponder.examining")


@dataclass(frozen=True, slots=True)
class Drawn:
    """The whole answers of one search in the order they were drawn in, with their scores."""

    item: str
    answers: tuple[tuple[str, float], ...]
    is_decided: bool
    """Whether one of them was accepted, so that no more were drawn."""


class Examining:
    """Looks at the verifiers of one database."""

    def __init__(self, looks: VerifierLooks, searches: StoredSearches) -> None:
        self._looks = looks
        self._searches = searches

    async def of_run(self, plan: RunPlan, run_id: str, known: Known, judging: Judging) -> Mapping[str, Evidence]:
        """By verifier, what a run's answers tell of it; empty where no texts were kept."""
        items = {each.id: each for each in plan.items if _has_truth(each)}
        arms = {name for name, each in plan.policy.ready.arms.items() if each.arm.strategy is Strategy.BEST_OF_N}
        origins = {
            each.request_id: (item, arm)
            for (item, arm), each in known.items()
            if each.request_id is not None and item in items and arm in arms
        }
        verifiers = plan.policy.offered.verifiers
        found: defaultdict[str, defaultdict[str, list[Drawn]]] = defaultdict(lambda: defaultdict(list))
        await self._await(list(origins))
        async for part in self._searches.parts(list(origins)):
            for search in part:
                item, arm = origins[search.request_id]
                verifier = verifiers.get(search.record.verifier or "")
                drawn = None if verifier is None else drawn_of(search, item, verifier)
                if drawn is not None:
                    found[search.record.verifier or ""][arm].append(drawn)
        order = {name: place for place, name in enumerate(items)}
        chosen = {name: sorted(_deepest(arms), key=lambda each: order[each.item]) for name, arms in found.items()}
        return {name: await _checked(f"run {run_id}", drawn, items, judging) for name, drawn in chosen.items()}

    async def keep(self, verifier: str, evidence: Evidence, by: Author) -> VerifierStanding:
        """Look at evidence and keep what it shows; the look that there was at the same samples, if there was one.

        Raises ConfigurationError where the evidence is too little, and Conflict where others keep looking.
        """
        for _ in range(_TRIES):
            before = await self._looks.find(verifier, evidence.digest)
            if before is not None:
                return before
            number = await self._looks.next_number(verifier)
            look = await asyncio.to_thread(look_at, verifier, evidence, number)
            try:
                return await self._looks.record(look, by)
            except Conflict:
                continue
        raise Conflict(f"verifier {verifier!r} is being examined by others; try again")

    async def examine(self, plan: RunPlan, run_id: str, known: Known, judging: Judging, by: Author) -> None:
        """Look at every verifier that a run's answers tell enough of. Nothing that goes wrong holds up the run."""
        try:
            async with asyncio.timeout(_LONGEST_S):
                for verifier, evidence in (await self.of_run(plan, run_id, known, judging)).items():
                    await self._examine(verifier, evidence, by)
        except PonderError as fault:
            _log.warning("the verifiers of run %s are not examined: %s", run_id, fault.message)
        except TimeoutError:
            _log.warning("the verifiers of run %s are not examined: it takes more than %.0f s", run_id, _LONGEST_S)

    async def _examine(self, verifier: str, evidence: Evidence, by: Author) -> None:
        try:
            standing = await self.keep(verifier, evidence, by)
        except ConfigurationError as fault:
            _log.info("verifier %s is not examined: %s", verifier, fault.message)
        else:
            _log.info("verifier %s is examined, by %s; its cap: %s", verifier, evidence.source, standing.in_force)

    async def _await(self, ids: Sequence[str]) -> None:
        for _ in range(_TRIES):
            if not await self._searches.missing(ids):
                return
            await asyncio.sleep(_PAUSE_S)


def of_traces(source: str, items: Iterable[RecordedItem]) -> Evidence:
    """What recorded chains tell; those without a score are left out. Raises ConfigurationError where none has any."""
    samples = tuple(
        Sample(item.id, trace.score, trace.is_correct)
        for item in items
        for trace in item.traces
        if trace.score is not None
    )
    if not samples:
        raise ConfigurationError(f"{source} has no scores; each trace needs a prm_score")
    return Evidence(source, samples)


def _has_truth(item: Item) -> bool:
    return not isinstance(item.check, Agreement | NamedCheck)


def drawn_of(search: StoredSearch, item: str, verifier: Verifier) -> Drawn | None:
    """What a search tells of its verifier; None for one whose draws depended on their scores."""
    if search.record.strategy != Strategy.BEST_OF_N:
        return None
    given = {name: value for name, value in search.parameters.items() if name not in DRIVEN}
    config = configure(Strategy.BEST_OF_N, given)
    assert isinstance(config, BestOfN)  # noqa: S101  the parameters of this strategy
    if config.reject_below is not None or config.reject_quantile is not None:
        return None
    answers = []
    for draw in search.record.draws:
        score, text = aggregate(draw.scores, verifier.aggregation), search.texts.get(str(draw.draw))
        if draw.fate in _ENDED and score is not None and text is not None:
            answers.append((text, score))
    if not answers:
        return None
    best = max(as_share(score, is_logit=verifier.is_logit) for _, score in answers)
    return Drawn(item, tuple(answers), is_decided=best >= config.accept)


def _deepest(arms: Mapping[str, Sequence[Drawn]]) -> Sequence[Drawn]:
    """Those of the arm with the most answers: how well a verifier tells arms apart is another question."""
    return max(arms.values(), key=lambda drawn: sum(len(each.answers) for each in drawn))


async def _checked(source: str, drawn: Sequence[Drawn], items: Mapping[str, Item], judging: Judging) -> Evidence:
    """The samples, each answer checked as the run checks answers; searches are taken whole as long as there is room."""
    taken: list[Drawn] = []
    for each in drawn:
        if sum(len(one.answers) for one in taken) + len(each.answers) <= _MOST_ANSWERS:
            taken.append(each)
    at_once = asyncio.Semaphore(_AT_ONCE)

    async def check(item: Item, text: str) -> bool:
        async with at_once:
            return await judging.score(item, text) >= RIGHT

    pairs = [(each.item, text, score) for each in taken for text, score in each.answers]
    rights = await asyncio.gather(*(check(items[item], text) for item, text, _ in pairs))
    samples = tuple(Sample(item, score, right) for (item, _, score), right in zip(pairs, rights, strict=True))
    return Evidence(source, samples, frozenset(each.item for each in taken if each.is_decided))
