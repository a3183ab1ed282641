"""Votes: who wins, and when they end."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest

from gateway.search.protocol import Cancel, Candidate, Launch, Wait
from gateway.search.schedule import Schedule, stage
from tests.search.contract import TASK
from tests.search.scripted import answers, run, scores
from tests.search.stand_in import StandIn

ALL: dict[str, Any] = {"samples": 5, "stop": "never", "schedule": "concurrent"}


def test_the_most_common_meaning_wins() -> None:
    """Answers that mean the same are one vote; confidence is Laplace's."""
    stand_in = StandIn(TASK, write=answers(["3", "1/2", "0.5", "3", "\\frac{1}{2}"]))
    winner = run("vote", ALL, stand_in)
    assert winner.text in {"\\boxed{1/2}", "\\boxed{0.5}", "\\boxed{\\frac{1}{2}}"}
    assert winner.confidence == pytest.approx(4 / 7)
    assert winner.reason == "3 of 5 draws agree"


def test_of_equally_common_answers_the_shorter_chains_win() -> None:
    """A tie goes to the answer whose chains have fewer tokens on average."""
    stand_in = StandIn(TASK, write=answers(["1", "2", "1", "2", "3"], tokens=[50, 40, 50, 40, 5]))
    assert run("vote", ALL, stand_in).text == "\\boxed{2}"


def test_a_weighted_vote_adds_scores() -> None:
    """0.9 + 0.1 loses to 0.6 + 0.5, though plain it is a tie, and to a single 1.0 of three it does not."""
    written = answers(["1", "1", "2", "2", "3"])
    judged = scores({0: 0.9, 1: 0.1, 2: 0.6, 3: 0.5, 4: 1.0})
    stand_in = StandIn(TASK, write=written, judge=judged)
    winner = run("vote", {**ALL, "weighted": True}, stand_in)
    assert winner.text == "\\boxed{2}"
    assert winner.reason == "2 of 5 draws agree by score"


def test_a_weighted_vote_without_all_scores_is_a_plain_one() -> None:
    """One missing score, and every draw counts the same."""
    stand_in = StandIn(TASK, write=answers(["1", "1", "2", "3", "4"]), judge=scores({0: 0.1, 1: 0.1}))
    assert run("vote", {**ALL, "weighted": True}, stand_in).text == "\\boxed{1}"


def test_draws_that_fail_or_say_nothing_have_no_vote() -> None:
    """Two votes of two that answered win; what failed is not drawn again."""
    stand_in = StandIn(TASK, write=answers([None, "8", None, "8", ""]))
    assert run("vote", ALL, stand_in).reason == "2 of 3 draws agree"
    assert stand_in.draws == 5


def test_of_equal_answers_one_that_marks_it_is_shown() -> None:
    """The winner's text is one that a reader, or a grader, finds the answer in."""

    def write(launch: Launch, _rng: random.Random) -> Candidate:
        text = "\\boxed{9}" if launch.draw == 2 else "We count.\n\nSo there are \\(9\\) of them."
        return Candidate(launch.draw, text, 10)

    winner = run("vote", ALL, StandIn(TASK, write=write))
    assert (winner.text, winner.reason) == ("\\boxed{9}", "5 of 5 draws agree")


def test_two_that_agree_end_a_vote_of_eight() -> None:
    """At the default level two equal answers decide."""
    stand_in = StandIn(TASK, write=answers(["5"] * 8))
    run("vote", {"samples": 8}, stand_in)
    assert stand_in.draws == 2


@pytest.mark.parametrize(
    ("given", "after", "draws"),
    [
        (["1", "2", "3", "4", "5", "6", "7", "8"], None, 8),
        (["1", "2", "3", "4", "5", "6", "7", "8"], 4, 4),
        (["1", "2", "3", None, "5", "6", "7", "8"], 4, 5),
        (["1", "2", "1", "2", "3", "4", "5", "6"], 4, 8),
        (["1", "2", "3", "4", "5", "6", "7", "8"], 1, 2),
        ([None, None, "3", "4", "4", "4", "4", "4"], 2, 4),
    ],
    ids=["without", "all disagree", "too few came", "some agree", "two at least", "failures are none"],
)
def test_a_futile_vote_ends(given: list[str | None], after: int | None, draws: int) -> None:
    """So many draws of which no two agree end a vote; failed draws are not counted, and two that agree go on."""
    stand_in = StandIn(TASK, write=answers(given))
    parameters = {"samples": 8} if after is None else {"samples": 8, "futile_after": after}
    run("vote", parameters, stand_in)
    assert stand_in.draws == draws


def test_a_concurrent_vote_cancels_the_rest_once_it_is_decided() -> None:
    """All are launched at once, and what still runs when two agree is cancelled."""
    stand_in = StandIn(TASK, write=answers(["5"] * 8))
    run("vote", {"samples": 8, "schedule": "concurrent"}, stand_in)
    assert sum(isinstance(command, Wait) for command in stand_in.log) == 2
    assert sum(isinstance(command, Cancel) for command in stand_in.log) == 6


def test_stages_hold_no_draw_that_could_not_matter() -> None:
    """Stages and one after another make the same draws, whatever comes; stages wait less often."""
    rounds: Counter[str] = Counter()
    for seed in range(60):
        source = random.Random(seed)
        given = [str(source.choice([1, 1, 2, 3, 4])) for _ in range(8)]
        draws = {}
        for schedule in ("sequential", "staged"):
            stand_in = StandIn(TASK, write=answers(given), seed=seed)
            run("vote", {"samples": 8, "schedule": schedule, "stop": "unbeatable"}, stand_in)
            draws[schedule] = stand_in.draws
            rounds[schedule] += _rounds(stand_in)
        assert draws["staged"] == draws["sequential"]
    assert rounds["staged"] < 0.7 * rounds["sequential"]


def _rounds(stand_in: StandIn) -> int:
    """How often it launched after it had waited."""
    pairs = zip(stand_in.log, stand_in.log[1:], strict=False)
    return sum(isinstance(before, Wait) and isinstance(after, Launch) for before, after in pairs)


def test_stage_sizes() -> None:
    """As many as are needed at the least; 2, 4, 8 where any one could decide; never more than there are to be."""
    assert [stage(Schedule.STAGED, done, 12, needed=None) for done in (0, 1, 2, 3, 4, 8)] == [2, 2, 4, 4, 8, 12]
    assert stage(Schedule.STAGED, 4, 12, needed=1) == 5
    assert stage(Schedule.STAGED, 0, 12, needed=12) == 12
    assert [stage(Schedule.SEQUENTIAL, done, 8, needed=8) for done in (0, 1, 2, 7)] == [2, 2, 3, 8]
    assert [stage(Schedule.SEQUENTIAL, done, 8, needed=None) for done in (0, 1, 7)] == [1, 2, 8]
    assert stage(Schedule.CONCURRENT, 0, 8, needed=1) == 8
    assert stage(Schedule.STAGED, 0, 1, needed=1) == 1


def test_a_vote_that_hears_every_draw_has_one_stage() -> None:
    """No draw can be spared, so waiting for some of them before others are launched gains nothing."""
    stand_in = StandIn(TASK, write=answers(["5"] * 8))
    run("vote", {"samples": 8, "stop": "never", "schedule": "staged"}, stand_in)
    assert stand_in.draws == 8
    assert _rounds(stand_in) == 0


def test_stages_of_a_vote_that_may_be_futile_end_where_it_would() -> None:
    """Four draws of which no two agree end it; so no stage begins more than these."""
    stand_in = StandIn(TASK, write=answers([str(number) for number in range(8)]))
    run("vote", {"samples": 8, "futile_after": 4, "stop": "never", "schedule": "staged"}, stand_in)
    assert stand_in.draws == 4


def test_an_unbeatable_leader_is_the_full_votes() -> None:
    """Stopping at an unbeatable lead never changes the answer."""
    for seed in range(200):
        source = random.Random(seed)
        given = [str(source.randint(1, 3)) for _ in range(7)]
        stopped, full = (StandIn(TASK, write=answers(given), seed=seed) for _ in range(2))
        winner = run("vote", {"samples": 7, "stop": "unbeatable", "schedule": "sequential"}, stopped)
        assert winner.text == run("vote", {**ALL, "samples": 7}, full).text


def test_a_vote_is_right_as_often_as_a_vote_should_be() -> None:
    """Three draws of a model that is right with 0.7, among many wrong answers, win as computed by hand.

    All or two right wins; one right and two different wrong ones tie, and chains being equally long the first wins.
    """
    chance, runs, right = 0.7, 1500, 0
    expected = chance**3 + 3 * chance**2 * (1 - chance) + chance * (1 - chance) ** 2
    for seed in range(runs):
        source = random.Random(f"vote {seed}")
        given = ["1" if source.random() < chance else str(10 + place) for place in range(3)]
        stand_in = StandIn(TASK, write=answers(given), seed=seed)
        right += run("vote", {**ALL, "samples": 3}, stand_in).text == "\\boxed{1}"
    assert abs(right / runs - expected) < 4 * (expected * (1 - expected) / runs) ** 0.5
