"""Tests of gateway/flow/drive.py: searches over hands that work at the test's command."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from gateway.flow.drive import FanOut, drive
from gateway.search import begin, configure
from gateway.search.aggregate import Aggregation
from gateway.search.protocol import (
    MAIN,
    Cancelled,
    Candidate,
    Ceilings,
    DrawFailed,
    DrawId,
    Event,
    Finished,
    Launch,
    Scored,
    Search,
    Task,
    Terms,
    Verifier,
    Winner,
)

TASK = Task(ceilings=Ceilings(draws=64), terms={MAIN: Terms(100)}, seed=3)


class Workers:
    """Hands that write ``answers``, in the order of the draws; a draw waits for its gate where it has one."""

    def __init__(self, answers: Callable[[int], str | None]) -> None:
        self.gates: dict[int, asyncio.Event] = {}
        self.at_once = self.most_at_once = 0
        self.are_all_waiting = asyncio.Event()
        """As many draws are under way as there are gates."""
        self.cancelled: list[int] = []
        self.scored: list[tuple[int, str]] = []
        self._answers = answers

    async def draw(self, launch: Launch, report: Callable[[Event], None]) -> Event:
        """The answer of this draw; None fails."""
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        if self.at_once == len(self.gates):
            self.are_all_waiting.set()
        try:
            await (self.gates[launch.draw].wait() if launch.draw in self.gates else asyncio.sleep(0))
        except asyncio.CancelledError:
            self.cancelled.append(launch.draw)
            return Cancelled(launch.draw, tokens=5, cost=7)
        finally:
            self.at_once -= 1
        answer = self._answers(launch.draw)
        return DrawFailed(launch.draw) if answer is None else Finished(Candidate(launch.draw, answer, 10))

    async def score(self, draw: DrawId, verifier: str) -> Event:
        """Later draws are better."""
        self.scored.append((draw, verifier))
        await asyncio.sleep(0)
        return Scored(draw, (draw / 100,))


def _search(strategy: str, verifier: Verifier | None = None, **parameters: object) -> Search:
    task = Task(ceilings=TASK.ceilings, terms=TASK.terms, seed=3, verifier=verifier)
    return begin(strategy, task, configure(strategy, parameters))


async def _run(search: Search, hands: Workers, *, left_s: float = 30, at_once: int = 64) -> tuple[Winner, list[Event]]:
    seen: list[Event] = []
    winner = await drive(search, hands, left_s=left_s, fan_out=FanOut(at_once, 64), watch=seen.append)
    return winner, seen


async def test_draws_that_agree_end_a_vote_and_the_others_are_cancelled_at_once() -> None:
    """Five of eight have come and cannot be overtaken: the three that wait are stopped, and what they used is seen."""
    workers = Workers(lambda _draw: "\\boxed{4}")
    workers.gates = {number: asyncio.Event() for number in (5, 6, 7)}
    search = _search("vote", samples=8, schedule="concurrent", stop="unbeatable")
    winner, seen = await _run(search, workers)
    assert winner.text == "\\boxed{4}"
    assert sorted(workers.cancelled) == [5, 6, 7]
    assert [event for event in seen if isinstance(event, Cancelled)] == [
        Cancelled(DrawId(number), 5, 7) for number in (5, 6, 7)
    ]


async def test_scores_come_from_the_verifier_that_the_search_names() -> None:
    """Each draw is scored by name, and the best one wins."""
    workers = Workers(lambda draw: f"\\boxed{{{draw}}}")
    search = _search("best_of_n", Verifier("prm", Aggregation.LAST), samples=4, schedule="concurrent")
    winner, _ = await _run(search, workers)
    assert winner.text == "\\boxed{3}"
    assert sorted(workers.scored) == [(number, "prm") for number in range(4)]


async def test_no_more_draws_run_at_once_than_the_request_may_have() -> None:
    """Eight draws go out, three at a time."""
    workers = Workers(lambda draw: f"\\boxed{{{draw}}}")
    await _run(_search("vote", samples=8, schedule="concurrent", stop="never"), workers, at_once=3)
    assert workers.most_at_once == 3


async def test_searches_of_a_process_share_its_draws() -> None:
    """Two searches of four draws each, and two permits for both."""
    workers, fan_out = Workers(lambda _draw: "\\boxed{1}"), FanOut(8, 2)
    both = [
        drive(_search("vote", samples=4, schedule="concurrent", stop="never"), workers, left_s=30, fan_out=fan_out)
        for _ in range(2)
    ]
    await asyncio.gather(*both)
    assert workers.most_at_once == 2


async def test_the_deadline_ends_a_search_with_the_best_so_far() -> None:
    """One draw has come and one never does: time is up, and the one is the answer."""
    workers = Workers(lambda _draw: "\\boxed{9}")
    workers.gates = {1: asyncio.Event()}
    winner, _ = await _run(_search("vote", samples=2, schedule="concurrent", stop="never"), workers, left_s=0.05)
    assert winner.text == "\\boxed{9}"
    assert workers.cancelled == [1]


async def test_a_search_without_time_has_no_answer() -> None:
    """Nothing is waited for."""
    workers = Workers(lambda _draw: "\\boxed{9}")
    workers.gates = {number: asyncio.Event() for number in range(4)}
    winner, _ = await _run(_search("vote", samples=4), workers, left_s=-1)
    assert winner.candidate is None


async def test_draws_that_fail_leave_the_others() -> None:
    """Of four, one comes back."""
    workers = Workers(lambda draw: "\\boxed{2}" if draw == 2 else None)
    winner, _ = await _run(_search("vote", samples=4, schedule="concurrent"), workers)
    assert winner.text == "\\boxed{2}"


async def test_whoever_leaves_cancels_every_draw_before_it_is_gone() -> None:
    """Cancelling the search waits until its draws have closed their calls."""
    workers = Workers(lambda _draw: "\\boxed{1}")
    workers.gates = {number: asyncio.Event() for number in range(4)}
    task = asyncio.create_task(_run(_search("vote", samples=4, schedule="concurrent"), workers))
    await workers.are_all_waiting.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (sorted(workers.cancelled), workers.at_once) == ([0, 1, 2, 3], 0)


async def test_a_fault_of_ours_is_raised_and_not_taken_for_a_failed_draw() -> None:
    """What a draw raises ends the search, with the other draws cancelled."""

    def answers(draw: int) -> str:
        if draw == 0:
            raise ZeroDivisionError("a bug")
        return "\\boxed{1}"

    workers = Workers(answers)
    workers.gates = {1: asyncio.Event()}
    with pytest.raises(ZeroDivisionError):
        await _run(_search("vote", samples=2, schedule="concurrent"), workers)
    assert workers.cancelled == [1]
