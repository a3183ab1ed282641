"""The board: room under the ceilings, late and repeated reports, searches within a search."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.search.accounts import Accounts
from gateway.search.aggregate import Aggregation
from gateway.search.board import Board, Draw, Moves
from gateway.search.protocol import (
    MAIN,
    Cancel,
    Cancelled,
    Candidate,
    Ceilings,
    Command,
    DrawFailed,
    DrawId,
    Event,
    Finished,
    Launch,
    Prefix,
    Scored,
    TimeUp,
    Until,
    Verifier,
    Wait,
)
from gateway.search.steps import boundary_of
from gateway.search.together import together
from tests.search.contract import TASK
from tests.search.scripted import answers, run
from tests.search.stand_in import StandIn


def board(**ceilings: int | None) -> Board:
    """A board with these ceilings."""
    return Board(Accounts(replace(TASK, ceilings=Ceilings(**{"draws": 9, **ceilings}))))  # type: ignore[arg-type]


def drive(moves: Moves[object], events: list[Event]) -> tuple[list[Command], object]:
    """The commands of a part of a search that is told these events, one at each wait, and its result."""
    commands: list[Command] = []
    reply: Event | None = None
    try:
        while True:
            command = moves.send(reply)
            commands.append(command)
            reply = events.pop(0) if isinstance(command, Wait) else None
    except StopIteration as done:
        return commands, done.value


def launched(on: Board, role: str = MAIN) -> Draw:
    """A draw to the end of the answer."""
    _, draw = drive(on.launch(until=Until.END, role=role), [])
    assert isinstance(draw, Draw)
    return draw


def finished(draw: int, tokens: int = 10, text: str = "\\boxed{1}") -> Finished:
    """The end of a draw."""
    return Finished(Candidate(DrawId(draw), text, tokens))


def test_a_draw_is_not_cut_short_while_others_may_leave_it_room() -> None:
    """Two fit at once under 250 tokens; the others wait until those have ended, and get all that a draw may have."""
    task = replace(TASK, ceilings=Ceilings(draws=9, tokens=250))
    stand_in = StandIn(task, write=answers(["1", "2", "3", "4"]))
    run("vote", {"samples": 4, "stop": "never", "schedule": "concurrent"}, stand_in)
    assert [launch.max_tokens for launch in stand_in.launches.values()] == [100] * 4


def test_the_last_draw_gets_what_is_left_if_it_is_enough() -> None:
    """With nothing else under way a draw is cut to the room there is; less than a few tokens is none."""
    on = board(tokens=150)
    first = launched(on)
    drive(on.event(), [finished(0, tokens=100)])
    assert (first.launch.max_tokens, launched(on).launch.max_tokens) == (100, 50)
    drive(on.event(), [finished(1, tokens=40)])
    assert drive(on.launch(until=Until.END), []) == ([], None)


def test_cost_counts_what_is_read_and_written() -> None:
    """20 tokens read at 1 and 100 written at 5 are 520; a second does not fit under 1,000 until the first ended."""
    on = board(cost=1000)
    launched(on)
    assert drive(on.launch(until=Until.END), [])[1] is None
    drive(on.event(), [Finished(Candidate(DrawId(0), "x", 4, cost=40))])
    assert launched(on).launch.max_tokens == 100


def test_room_that_cancelled_draws_still_hold_is_waited_for() -> None:
    """A launch that only a cancelled draw stands in the way of waits for its end, and then may be repeated."""
    on = board(tokens=100)
    draw = launched(on)
    assert drive(on.cancel([draw]), [])[0] == [Cancel(DrawId(0))]
    commands, second = drive(on.launch(until=Until.END), [Cancelled(DrawId(0), tokens=30)])
    assert isinstance(second, Draw)
    assert [type(command) for command in commands] == [Wait, Launch]
    assert second.launch.max_tokens == 70
    drive(on.event(), [finished(1, tokens=5)])
    assert launched(on).launch.max_tokens == 65


def test_what_comes_late_or_twice_is_not_heard() -> None:
    """Events of unknown, cancelled and ended draws are passed over; the next that counts is returned."""
    on = board()
    first, second = launched(on), launched(on)
    drive(on.cancel([first]), [])
    late = [finished(7), finished(0), Scored(DrawId(1), (1.0,)), Cancelled(DrawId(0)), finished(1), finished(1)]
    commands, heard = drive(on.event(), late)
    assert heard is second
    assert len(commands) == 5
    assert (first.candidate, first.is_whole, second.score) == (None, False, None)
    assert on.is_waiting is False


def test_when_time_is_up_nothing_more_is_asked_for() -> None:
    """No launch, no score and no wait follow."""
    on = board()
    draw = launched(on)
    drive(on.event(), [finished(0)])
    launched(on)
    assert drive(on.event(), [TimeUp()])[1] is None
    assert on.is_over
    for moves in (on.launch(until=Until.END), on.score(draw), on.event()):
        assert drive(moves, [])[0] == []  # type: ignore[arg-type]


def test_a_chain_at_its_greatest_length_is_drawn_to_its_end() -> None:
    """At the ceiling of depth a step becomes the rest, and beyond it there is nothing."""
    on = board(depth=1)
    _, draw = drive(on.launch(until=Until.STEP), [])
    assert isinstance(draw, Draw)
    assert draw.launch.until is Until.END
    drive(on.event(), [finished(0, text="one\n\n\\boxed{1}")])
    assert drive(on.launch(until=Until.END, after=Prefix(draw.id, 1)), []) == ([], None)


def test_a_score_is_asked_for_once() -> None:
    """What has been scored, or is being scored, is not sent again; without money it is not sent at all."""
    on = board()
    draw = launched(on)
    drive(on.event(), [finished(0)])
    assert drive(on.score(draw), [])[1] is True
    assert drive(on.score(draw), [])[1] is False
    drive(on.event(), [Scored(DrawId(0), (0.25, 0.75))])
    assert (on.share(draw), draw.is_scored) == (0.5, True)
    assert drive(on.score(draw), [])[1] is False
    poor = board(cost=540)
    read = launched(poor)
    drive(poor.event(), [Finished(Candidate(DrawId(0), "x", 100, cost=530))])
    assert drive(poor.score(read), [])[1] is False


@pytest.mark.parametrize(
    "lost", [DrawFailed(DrawId(0)), finished(0, text=""), finished(0, text="there is no answer in here at all")]
)
def test_the_best_is_never_an_empty_one(lost: Event) -> None:
    """Failed, empty and answerless draws are worse than one with an answer."""
    on = board()
    launched(on)
    second = launched(on)
    for event in (lost, finished(1)):
        drive(on.event(), [event])
    assert on.best() is second


def test_a_text_that_was_cut_off_is_better_than_none() -> None:
    """An empty answer loses even to one without an end, and to an open chain, however it is scored."""
    on = board()
    for event in (finished(0, text=""), Finished(Candidate(DrawId(1), "so far", 100, is_truncated=True))):
        launched(on)
        drive(on.event(), [event])
    on.draws[0].score = 1.0
    assert on.best() is on.draws[1]


def test_a_search_within_hears_nothing_of_the_draws_around_it() -> None:
    """The outer search's draw ends while the inner one waits: it is noted, and not the inner one's news."""
    on = board()
    outer = launched(on)
    within = on.within()
    inner = launched(within)
    assert drive(within.event(), [finished(0), finished(1)])[1] is inner
    assert outer.is_whole
    assert (on.whole, within.whole) == ([outer], [inner])


def test_searches_at_the_same_time_hear_of_their_own_draws_only() -> None:
    """Each gets its own events, in whatever order they come, and a late one of neither goes astray."""
    on = board()
    drive(on.cancel([launched(on)]), [])

    def one(within: Board) -> Moves[str]:
        draw = yield from within.launch(until=Until.END)
        heard = yield from within.event()
        assert heard is draw
        return "" if heard is None else heard.text

    inner = [on.within(), on.within()]
    commands, results = drive(
        together([(each, one(each)) for each in inner]),  # type: ignore[arg-type]
        [Cancelled(DrawId(0)), finished(2, text="second"), finished(1, text="first")],
    )
    assert results == ["first", "second"]
    assert [type(command) for command in commands] == [Launch, Launch, Wait, Wait, Wait]


def test_a_score_counts_with_what_it_came_to() -> None:
    """A dear score leaves no money for another until it has come and was cheap; untold, it stays dear."""
    dear = Verifier("prm", Aggregation.LAST, call_cost=600)
    task = replace(TASK, verifier=dear, ceilings=Ceilings(draws=9, cost=2000))
    for told, is_left in ((5, True), (None, False)):
        on = Board(Accounts(task))
        first, second = launched(on), launched(on)
        drive(on.event(), [finished(0)])
        drive(on.event(), [finished(1)])
        on.accounts.use(0, 1200)
        drive(on.score(first), [])
        assert not on.can_score(second)
        drive(on.event(), [Scored(first.id, (0.5,), told)])
        assert on.can_score(second) is is_left


def test_the_steps_of_a_draw_end_where_its_models_arm_has_it() -> None:
    """Two legs of a cascade, one that ends its steps with a line and one with a blank line, each keep theirs."""
    main = TASK.terms[MAIN]
    by_line = replace(main, boundary=boundary_of({"step": "newline"}))
    on = Board(Accounts(replace(TASK, terms={**TASK.terms, MAIN: by_line, "other": replace(main)})))
    written = "one\ntwo\n\nthree"
    for role, steps in ((MAIN, ["one\n", "two\n\n", "three"]), ("other", ["one\ntwo\n\n", "three"])):
        draw = launched(on, role)
        drive(on.event(), [Finished(Candidate(draw.id, written, 4))])
        assert on.steps(draw) == steps
