"""Best of N: the verifier's choice, and what is dropped on the way to it."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from gateway.search.protocol import Cancel, Candidate, DrawId, Event, Finished, Launch, StepEnded
from gateway.search.sampling import Rejection, _is_hopeless
from tests.search.contract import TASK
from tests.search.scripted import Reasoner, answers, run, scores
from tests.search.stand_in import StandIn

SCORES = {0: 0.2, 1: 0.9, 2: 0.5, 3: 0.5}
ANSWERS = ["1", "2", "3", "3"]


def test_the_best_score_wins() -> None:
    """Plain, the one best scored; its confidence is its score."""
    stand_in = StandIn(TASK, write=answers(ANSWERS), judge=scores(SCORES))
    winner = run("best_of_n", {"samples": 4}, stand_in)
    assert (winner.text, winner.confidence) == ("\\boxed{2}", 0.9)


def test_weighted_the_scores_of_equal_answers_add_up() -> None:
    """0.5 + 0.5 is more than 0.9."""
    stand_in = StandIn(TASK, write=answers(ANSWERS), judge=scores(SCORES))
    assert run("best_of_n", {"samples": 4, "weighted": True}, stand_in).text == "\\boxed{3}"


def test_a_verifier_that_fails_leaves_a_vote() -> None:
    """Without any score the most common answer wins."""
    stand_in = StandIn(TASK, write=answers(ANSWERS), judge=scores({}))
    assert run("best_of_n", {"samples": 4}, stand_in).text == "\\boxed{3}"


def test_without_a_verifier_it_stops_as_a_vote_does() -> None:
    """Two that agree decide, as nothing could tell more draws apart."""
    stand_in = StandIn(replace(TASK, verifier=None), write=answers(["1"] * 8))
    run("best_of_n", {"samples": 8}, stand_in)
    assert stand_in.draws == 2


def test_an_accepted_draw_ends_the_search() -> None:
    """A score at the bar, and nothing more is launched."""
    stand_in = StandIn(TASK, write=answers(["1"] * 8), judge=scores(dict.fromkeys(range(8), 0.8)))
    run("best_of_n", {"samples": 8, "accept": 0.8}, stand_in)
    assert stand_in.draws == 2


def test_one_after_another_the_first_draw_is_alone() -> None:
    """A score ends the search, so one at the bar is the only draw; with nothing to accept, all are made."""
    stand_in = StandIn(TASK, write=answers(["1"] * 8), judge=scores(dict.fromkeys(range(8), 0.8)))
    run("best_of_n", {"samples": 8, "accept": 0.8, "schedule": "sequential"}, stand_in)
    assert stand_in.draws == 1
    stand_in = StandIn(TASK, write=answers(["1"] * 8), judge=scores(dict.fromkeys(range(8), 0.8)))
    run("best_of_n", {"samples": 8, "accept": 0.9, "schedule": "sequential"}, stand_in)
    assert stand_in.draws == 8


def test_with_a_perfect_verifier_one_right_draw_is_enough() -> None:
    """N draws of a model that is right with p, and a verifier that knows, are right with 1 − (1 − p)^N."""
    chance, samples, runs = 0.3, 4, 1200
    expected = 1 - (1 - chance) ** samples
    right = sum(Reasoner(chance, 1, seed).solves("best_of_n", {"samples": samples}) for seed in range(runs))
    assert abs(right / runs - expected) < 4 * (expected * (1 - expected) / runs) ** 0.5


class _Reporting(StandIn):
    """A stand-in whose draws report their first step before they end."""

    def _launch(self, launch: Launch) -> None:
        super()._launch(launch)
        assert launch.reports_steps
        step = Candidate(launch.draw, f"draw {launch.draw}\n\n", 5)
        self.ended[launch.draw] = step
        self.chains[launch.draw] = step.text
        self._under_way.append(StepEnded(step))

    def _happen(self) -> Event:
        """Steps are reported, and scored, before anything ends."""
        first = next((event for event in self._under_way if not isinstance(event, Finished)), None)
        if first is not None:
            self._under_way.remove(first)
            return first
        return super()._happen()


def test_a_hopeless_chain_is_dropped_and_another_drawn_in_its_place() -> None:
    """A chain scored below the threshold after its first step is cancelled, and a redraw makes up for it."""
    stand_in = _Reporting(TASK, write=answers(["1", "2", "3"]), judge=scores({0: 0.1, 1: 0.7, 2: 0.6}))
    parameters = {"samples": 2, "reject_below": 0.3, "reject_after": 1, "redraws": 1, "schedule": "concurrent"}
    winner = run("best_of_n", parameters, stand_in)
    assert Cancel(DrawId(0)) in stand_in.log
    assert stand_in.draws == 3
    assert winner.text == "\\boxed{2}"


@pytest.mark.parametrize("redraws", [0, 2])
def test_the_last_hope_is_not_dropped(redraws: int) -> None:
    """Where all chains score below the threshold, the last of them comes to its end: half a chain is no answer."""
    judge = scores(dict.fromkeys(range(2 + redraws), 0.1))
    stand_in = _Reporting(TASK, write=answers(["1", "2", "3", "4"]), judge=judge)
    parameters = {"samples": 2, "reject_below": 0.3, "reject_after": 1, "redraws": redraws, "schedule": "concurrent"}
    winner = run("best_of_n", parameters, stand_in)
    assert stand_in.draws == 2 + redraws
    assert winner.text == f"\\boxed{{{2 + redraws}}}"


@pytest.mark.parametrize(("share", "is_hopeless"), [(0.15, True), (0.25, False), (0.5, False)])
def test_a_chain_is_compared_with_its_siblings(share: float, is_hopeless: bool) -> None:
    """Below the quantile of at least three siblings a chain is hopeless; fewer are no measure."""
    rejection = Rejection(after=1, below=None, quantile=0.4)
    assert _is_hopeless(rejection, share, [0.1, 0.2, 0.6, 0.8]) is is_hopeless
    assert not _is_hopeless(rejection, share, [0.9, 0.9])


def test_auto_takes_fewer_draws_for_easy_asks() -> None:
    """``samples: auto`` follows the predicted success."""
    drawn = []
    for p_success in (0.95, 0.5, 0.2, None):
        task = replace(TASK, p_success=p_success)
        source = random.Random(1)
        stand_in = StandIn(task, write=answers(ANSWERS * 2), judge=scores({n: source.random() / 2 for n in range(8)}))
        run("best_of_n", {"samples": "auto", "max_samples": 8}, stand_in)
        drawn.append(stand_in.draws)
    assert drawn == [2, 6, 8, 8]
