"""Which of a run's searches tell of a verifier, what they tell, and that a look is kept once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import pytest

from calibrator.examining import Examining, drawn_of, of_traces
from gateway.domain.money import usd
from gateway.domain.search_record import Fate, SearchDraw, SearchRecord
from gateway.errors import ConfigurationError
from gateway.search.aggregate import Aggregation
from gateway.search.replay import Item, Trace
from gateway.search.verifier_health import Sample
from gateway.store.base import locate
from gateway.store.changes import Changes
from gateway.store.connections import Connections
from gateway.store.schema import upgrade
from gateway.store.searches import StoredSearch, StoredSearches
from gateway.store.verifier_looks import VerifierLooks
from tests.flow.searching_house import ScriptedVerifier
from tests.search.test_verifier_look import evidence
from tests.store.tenants import OPERATOR

PRM = ScriptedVerifier(lambda _step: 0.5, aggregation=Aggregation.MIN)


def _search(*draws: tuple[Fate, tuple[float, ...]], strategy: str = "best_of_n", **parameters: Any) -> StoredSearch:
    made = tuple(
        SearchDraw(number, None, None, "main", "small", fate, 9, usd(0), scores)
        for number, (fate, scores) in enumerate(draws)
    )
    record = SearchRecord(strategy, 7, "prm", "the best score", 0.9, made)
    return StoredSearch("1", record, parameters, {str(each.draw): f"text {each.draw}" for each in made})


def test_whole_answers_count_with_the_score_that_chose_between_them() -> None:
    """Aggregated as the verifier's are; what was cut off might have won, what failed or was cancelled not."""
    search = _search(
        (Fate.WHOLE, (0.9, 0.4)), (Fate.CUT, (0.6,)), (Fate.FAILED, ()), (Fate.CANCELLED, (0.9,)), (Fate.WHOLE, ()),
    )  # fmt: skip
    found = drawn_of(search, "i1", PRM)
    assert found is not None
    assert (found.item, found.answers, found.is_decided) == ("i1", (("text 0", 0.4), ("text 1", 0.6)), False)


def test_a_search_that_accepted_an_answer_is_decided() -> None:
    """By the arm's own threshold, on the scale from 0 to 1 that it is of."""
    search = _search((Fate.WHOLE, (0.3,)), (Fate.WHOLE, (0.95,)))
    assert [found.is_decided for found in map(_found, (search, replace(search, parameters={"accept": 0.9})))] == [
        False,
        True,
    ]
    logits = replace(PRM, is_logit=True)
    found = drawn_of(_search((Fate.WHOLE, (6.0,))), "i1", logits)
    assert found is not None
    assert found.is_decided


def _found(search: StoredSearch) -> Any:
    return drawn_of(search, "i1", PRM)


@pytest.mark.parametrize(
    "search",
    [
        _search((Fate.WHOLE, (0.9,)), strategy="beam"),
        _search((Fate.WHOLE, (0.9,)), strategy="vote", weighted=True),
        _search((Fate.WHOLE, (0.9,)), reject_below=0.2),
        _search((Fate.WHOLE, (0.9,)), reject_quantile=0.5),
        _search((Fate.WHOLE, ())),
        replace(_search((Fate.WHOLE, (0.9,))), texts={}),
    ],
)
def test_searches_whose_answers_were_selected_tell_nothing(search: StoredSearch) -> None:
    """By the verifier on their way, or by agreement; nor do those without scores or texts."""
    assert _found(search) is None


def test_recorded_chains_tell_of_their_scores() -> None:
    """Those that were not scored are left out; without any there is nothing to examine."""
    traces = tuple(Trace("1", "1", 9, score == 0.7, score, False) for score in (0.7, None, 0.2))
    found = of_traces("file x", [Item("p", traces)])
    assert found.samples == (Sample("p", 0.7, True), Sample("p", 0.2, False))
    with pytest.raises(ConfigurationError, match="file x has no scores"):
        of_traces("file x", [Item("p", traces[1:2])])


@dataclass(frozen=True, slots=True)
class Site:
    """A database with nothing in it."""

    examining: Examining
    looks: VerifierLooks


@pytest.fixture
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    """Examining in it."""
    url = f"sqlite:///{tmp_path_factory.mktemp('examining')}/ponder.db"
    await upgrade(url)
    changes, connections = Changes(locate(url)), Connections(locate(url), most=1)
    looks = VerifierLooks(changes)
    yield Site(Examining(looks, StoredSearches(connections)), looks)
    await connections.close()
    await changes.close()


async def test_the_same_answers_are_looked_at_once(site: Site) -> None:
    """Whoever looks again, and under another name, is shown the look that there was; a cap that was lifted stays so."""
    first = await site.examining.keep("prm", evidence(80, deceives=True), OPERATOR)
    assert first.in_force is not None
    await site.looks.lift("prm", OPERATOR)
    again = await site.examining.keep("prm", replace(evidence(80, deceives=True), source="run run_1"), OPERATOR)
    assert (again.look, again.in_force) == (first.look, None)
    later = await site.examining.keep("prm", evidence(80, deceives=True, seed=9), OPERATOR)
    assert (later.look.number, later.in_force) == (2, later.look.health.cap)


async def test_looks_at_the_same_time_have_numbers_of_their_own(site: Site) -> None:
    """Who comes second looks again at the part of the risk that is left."""
    found = await asyncio.gather(*(site.examining.keep("prm", evidence(12, seed=seed), OPERATOR) for seed in range(3)))
    assert sorted(each.look.number for each in found) == [1, 2, 3]
    latest: Mapping[str, Any] = await site.looks.latest()
    assert latest["prm"].look.number == 3
