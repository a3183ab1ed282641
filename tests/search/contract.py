"""What every strategy promises, whatever models and verifiers do; each strategy's tests inherit it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.search import begin, configure
from gateway.search.aggregate import Aggregation
from gateway.search.protocol import (
    DRAFT,
    MAIN,
    Candidate,
    Ceilings,
    Launch,
    Search,
    Task,
    Terms,
    Until,
    Verifier,
)
from tests.search.stand_in import Manners, StandIn

VERIFIER = Verifier("judge", Aggregation.MEAN, input_rate=1)
TASK = Task(
    ceilings=Ceilings(draws=1000),
    terms={MAIN: Terms(100, input_rate=1, output_rate=5), DRAFT: Terms(100, input_rate=1, output_rate=1)},
    prompt_tokens=20,
    verifier=VERIFIER,
)
_CHANCES = st.sampled_from([0.0, 0.1, 0.5, 1.0])
_CEILINGS = st.builds(
    Ceilings,
    draws=st.integers(1, 40),
    tokens=st.none() | st.integers(1, 3000),
    depth=st.none() | st.integers(1, 5),
    cost=st.none() | st.integers(0, 20_000),
)
_MANNERS = st.builds(
    Manners,
    fails=_CHANCES,
    is_empty=_CHANCES,
    is_cut=_CHANCES,
    repeats=st.sampled_from([0.0, 0.5]),
    scoring_fails=_CHANCES,
    scores_are_odd=_CHANCES,
    answers=st.integers(1, 5),
    time_up_after=st.none() | st.integers(0, 30),
)


@dataclass(frozen=True, slots=True)
class Case:
    """A strategy at sizes that are quick to run, and what is known of it."""

    start: Callable[[Task], Search]
    calls_at_most: int
    calls_if_certain: int
    """The most draws while every answer is the same, scored with 1 and found without fault."""
    single: Callable[[Task], Search] | None = None
    """The same strategy with a size of one; None where it has no such size."""
    answers_ask: Callable[[Launch], bool] = lambda _launch: True
    """Whether a draw is an answer to the ask, and not a check or a part."""
    needs_verifier: bool = False


def case(
    name: str, given: dict[str, Any], *, calls_if_certain: int, single: dict[str, Any] | None = None, **more: Any
) -> Case:
    """The case of a strategy of the table."""
    config = configure(name, given)

    def begun(task: Task) -> Search:
        return begin(name, task, config)

    def begun_single(task: Task) -> Search:
        return begin(name, task, configure(name, single or {}))

    return Case(begun, config.calls_at_most, calls_if_certain, None if single is None else begun_single, **more)


def certain(launch: Launch, _rng: object) -> Candidate:
    """An answer that is the same each time, ends where it begins, and of which the model is sure."""
    return Candidate(launch.draw, "\\boxed{7}\nVerdict: correct", 5, mean_logprob=0.0, cost=30)


class StrategyContract:
    """Inherited by each strategy's test class, which names its case."""

    case: ClassVar[Case]

    @given(ceilings=_CEILINGS, manners=_MANNERS, seed=st.integers(0, 10_000))
    def test_keeps_its_ceilings_whatever_comes_back(self, ceilings: Ceilings, manners: Manners, seed: int) -> None:
        """No answer, failure, score or order of events brings it over a ceiling, or makes it refer to what is not."""
        task = replace(TASK, ceilings=ceilings, seed=seed)
        stand_in = StandIn(task, manners, seed)
        winner = stand_in.run(self.case.start(task))
        assert stand_in.draws <= self.case.calls_at_most
        answered = [
            draw
            for draw, candidate in stand_in.whole.items()
            if candidate.text and self.case.answers_ask(stand_in.launches[draw])
        ]
        assert winner.candidate is not None or not answered, "something that came back is better than nothing"

    @given(seed=st.integers(0, 10_000), time_up_after=st.none() | st.integers(0, 20))
    def test_same_events_same_search(self, seed: int, time_up_after: int | None) -> None:
        """The same seed and the same events lead to the same commands and the same winner."""
        manners = Manners(0.1, 0.1, 0.1, 0.2, 0.1, 0.1, time_up_after=time_up_after)
        task = replace(TASK, seed=seed)
        first, second = (StandIn(task, manners, seed) for _ in range(2))
        assert first.run(self.case.start(task)) == second.run(self.case.start(task))
        assert first.log == second.log

    def test_is_cheap_when_the_answer_is_certain(self) -> None:
        """Where all agree and the verifier is sure, few draws are made."""
        stand_in = StandIn(TASK, write=certain, judge=lambda _stand_in, _draw: (1.0,))
        winner = stand_in.run(self.case.start(TASK))
        assert winner.text.startswith("\\boxed{7}")
        assert stand_in.draws <= self.case.calls_if_certain

    def test_at_size_one_it_is_its_one_draw(self) -> None:
        """With a size of one it draws once, to the end, as the client asked, and returns that."""
        if self.case.single is None:
            assert self.case.calls_at_most > 1
            return
        for seed in range(20):
            stand_in = StandIn(TASK, Manners(is_empty=0.3, is_cut=0.3), seed)
            winner = stand_in.run(self.case.single(TASK))
            (launch,) = stand_in.launches.values()
            assert (launch.until, launch.temperature, launch.prefix) == (Until.END, None, None)
            assert winner.candidate == stand_in.whole[launch.draw]

    def test_works_without_a_verifier_or_says_that_it_cannot(self) -> None:
        """Without a verifier it still answers, unless it needs one and says so; with one that fails it answers too."""
        bare = replace(TASK, verifier=None)
        if self.case.needs_verifier:
            with pytest.raises(Exception, match="needs a verifier"):
                self.case.start(bare)
        else:
            assert StandIn(bare, seed=3).run(self.case.start(bare)).candidate is not None
        for seed in range(10):
            stand_in = StandIn(TASK, Manners(scoring_fails=1.0), seed)
            assert stand_in.run(self.case.start(TASK)).candidate is not None

    def test_draws_have_seeds_of_their_own(self) -> None:
        """Each draw has another seed, and another task seed changes them."""
        stand_ins = [StandIn(replace(TASK, seed=seed), seed=1) for seed in (1, 2)]
        for stand_in in stand_ins:
            stand_in.run(self.case.start(stand_in.task))
        first, second = ([launch.seed for launch in each.launches.values()] for each in stand_ins)
        assert len(set(first)) == len(first)
        assert set(first).isdisjoint(second)
