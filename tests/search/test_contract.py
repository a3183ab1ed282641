"""Every strategy keeps the contract."""

from __future__ import annotations

from gateway.search import STRATEGIES, Board, Moves
from gateway.search.accounts import Accounts
from gateway.search.cascade import Cascade, Leg, cascade
from gateway.search.greedy import Greedy, greedy
from gateway.search.protocol import Launch, Search, Task, Turn, Winner
from gateway.search.vote import Vote, vote
from tests.search.contract import Case, StrategyContract, case


class TestGreedy(StrategyContract):
    """One draw."""

    case = case("greedy", {}, calls_if_certain=1, single={})


class TestVote(StrategyContract):
    """Votes in stages."""

    case = case("vote", {"samples": 8}, calls_if_certain=2, single={"samples": 1})


class TestSequentialVote(StrategyContract):
    """Votes one after another."""

    case = case("vote", {"samples": 6, "schedule": "sequential", "stop": "beta"}, calls_if_certain=3)


class TestConcurrentWeightedVote(StrategyContract):
    """Votes all at once, weighted by score."""

    case = case("vote", {"samples": 6, "schedule": "concurrent", "weighted": True}, calls_if_certain=6)


class TestBestOfN(StrategyContract):
    """The best scored draw."""

    case = case("best_of_n", {"samples": 6}, calls_if_certain=2, single={"samples": 1})


class TestWeightedBestOfN(StrategyContract):
    """The answer with the most score, chains being dropped on their way."""

    case = case(
        "best_of_n",
        {
            "samples": 5,
            "weighted": True,
            "reject_below": 0.4,
            "reject_after": 1,
            "redraws": 2,
            "schedule": "concurrent",
        },
        calls_if_certain=5,
    )


class TestBeam(StrategyContract):
    """Two chains by three steps."""

    case = case(
        "beam",
        {"beams": 2, "expand": 3, "depth": 4},
        calls_if_certain=6,
        single={"beams": 1, "expand": 1},
        needs_verifier=True,
    )


class TestBeamThatLooksAhead(StrategyContract):
    """Steps judged by the steps after them."""

    case = case("beam", {"beams": 2, "expand": 2, "depth": 3, "lookahead": 2}, calls_if_certain=4, needs_verifier=True)


class TestDvts(StrategyContract):
    """Three groups of uneven width."""

    case = case(
        "dvts",
        {"beams": 7, "groups": 3, "depth": 4},
        calls_if_certain=7,
        single={"beams": 1, "groups": 1},
        needs_verifier=True,
    )


class TestMcts(StrategyContract):
    """Simulations in parallel."""

    case = case(
        "mcts", {"simulations": 14, "depth": 4}, calls_if_certain=4, single={"simulations": 1}, needs_verifier=True
    )


def _is_no_check(launch: Launch) -> bool:
    return not launch.turns or "Verdict" not in launch.turns[-1].text


class TestRevise(StrategyContract):
    """Answer, check, write again."""

    case = case("revise", {"rounds": 2}, calls_if_certain=1, single={"rounds": 0}, answers_ask=_is_no_check)


class TestDraft(StrategyContract):
    """A small model drafts."""

    case = case("draft", {"depth": 5}, calls_if_certain=1)


def _is_whole_answer(launch: Launch) -> bool:
    return not launch.turns or "parts of my request are solved" in launch.turns[-1].text


class TestDecompose(StrategyContract):
    """Parts, and the whole of them."""

    case = case("decompose", {"parts": 3}, calls_if_certain=2, answers_ask=_is_whole_answer)


class TestRepair(StrategyContract):
    """The first bad step is drawn again."""

    case = case("repair", {"rounds": 3}, calls_if_certain=1, single={"rounds": 0}, needs_verifier=True)


def _cascade(*, carries: bool) -> Case:
    def one(board: Board, turns: tuple[Turn, ...]) -> Moves[Winner]:
        return greedy(board, Greedy(turns=turns, is_scored=True))

    def several(board: Board, turns: tuple[Turn, ...]) -> Moves[Winner]:
        return vote(board, Vote(samples=5, schedule=Vote().schedule, turns=turns))

    legs = (Leg("fast", one), Leg("vote", several), Leg("slow", one))

    def start(task: Task) -> Search:
        return cascade(Board(Accounts(task)), Cascade(legs, escalate_below=0.7, carries=carries))

    return Case(start, calls_at_most=7, calls_if_certain=1)


class TestCascade(StrategyContract):
    """Three arms, of which the second votes."""

    case = _cascade(carries=False)


class TestCascadeThatCarries(StrategyContract):
    """Doubted attempts are handed on."""

    case = _cascade(carries=True)


def test_every_strategy_is_held_to_the_contract() -> None:
    """No strategy of the table is left out."""
    tested = {name.removeprefix("Test").lower() for name in globals() if name.startswith("Test")}
    assert {name.replace("_", "") for name in STRATEGIES} <= {name.replace("_", "") for name in tested}
