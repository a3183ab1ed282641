"""Monte-Carlo tree search: counts, bounds, widening, and the path that is taken in the end."""

from __future__ import annotations

import math
import random
from dataclasses import replace

import pytest

from gateway.search.accounts import Accounts
from gateway.search.board import Board
from gateway.search.mcts import Mcts, Node, _Tree, ucb1
from gateway.search.protocol import Candidate, Ceilings, Launch, Score, Search, Until
from tests.search.contract import TASK
from tests.search.scripted import Reasoner, run
from tests.search.stand_in import Manners, StandIn


def _tree(*children: tuple[int, float], config: Mcts | None = None) -> _Tree:
    """A tree of one level: for each child its visits and its value."""
    tree = _Tree(Board(Accounts(TASK)), config or Mcts(widening=2))
    for visits, value in children:
        node = Node(tree.root, None, 1, visits, value)
        tree.root.children.append(node)
        tree.root.visits += visits
        tree.root.value += value
    return tree


def test_ucb1_by_hand() -> None:
    """The mean, and the constant times the root of ln(parent's visits) over its own."""
    root = Node(None, None, 0, visits=9, value=5.0)
    child = Node(root, None, 1, visits=4, value=3.0)
    assert ucb1(child, root, 0.7) == pytest.approx(3 / 4 + 0.7 * math.sqrt(math.log(9) / 4))
    assert ucb1(Node(root, None, 1), root, 0.7) == math.inf


def test_a_simulation_under_way_is_a_visit_that_brought_nothing() -> None:
    """It lowers the mean, and counts for the child and for its parent."""
    root = Node(None, None, 0, visits=9, value=5.0, under_way=1)
    child = Node(root, None, 1, visits=4, value=3.0, under_way=1)
    assert ucb1(child, root, 0.7) == pytest.approx(3 / 5 + 0.7 * math.sqrt(math.log(10) / 5))


def test_values_go_up_to_the_root() -> None:
    """Back-propagation adds one visit and the value to every node above, and to no other."""
    tree = _tree((1, 0.5), (1, 0.25))
    first, second = tree.root.children
    leaf = Node(first, None, 2)
    first.children.append(leaf)
    tree._back_up(leaf, 0.75)
    assert [(node.visits, node.value) for node in (leaf, first, second, tree.root)] == [
        (1, 0.75),
        (2, 1.25),
        (1, 0.25),
        (3, 1.5),
    ]


def test_a_node_widens_with_its_visits() -> None:
    """With a constant of 2 a node of 4 visits may have 4 children, so the fifth waits until it has 5 visits."""
    assert _tree(*[(1, 0.5)] * 3)._select() is not None
    full = _tree((1, 0.1), (1, 0.2), (1, 0.9), (1, 0.3))
    assert full._select() is full.root.children[2]
    wider = _tree((2, 0.1), (1, 0.2), (1, 0.9), (1, 0.3))
    assert wider._select() is wider.root


def test_the_best_path_needs_visits() -> None:
    """A lucky single visit does not make a path; the best mean among those visited often enough does."""
    tree = _tree((1, 0.95), (3, 2.1), (6, 3.0), config=Mcts(visit_floor=3))
    assert tree.best_path() is tree.root.children[1]
    sparse = _tree((1, 0.2), (2, 0.9), config=Mcts(visit_floor=3))
    assert sparse.best_path() is sparse.root.children[1]


def _steps(launch: Launch, rng: random.Random) -> Candidate:
    end = "\\boxed{1}" if launch.until is Until.END else ""
    return Candidate(launch.draw, f"step {rng.random()}\n\n{end}", 10)


def test_parallel_simulations_spread_out() -> None:
    """As many draws are out as may be; every simulation is one draw, and one more ends the path."""
    stand_in = StandIn(TASK, write=_steps, judge=lambda _stand_in, draw: (0.3 + (draw % 5) / 10,))
    run("mcts", {"simulations": 12, "parallel": 3, "depth": 6, "widening": 4}, stand_in)
    assert [isinstance(command, Launch) for command in stand_in.log[:4]] == [True, True, True, False]
    assert stand_in.draws == 13
    assert stand_in.launches[max(stand_in.launches)].until is Until.END


def test_every_simulation_is_a_visit_of_the_root_and_leaves_no_mark() -> None:
    """Whatever they come to, a new step, one that was there, or a whole chain again, visits and values add up."""
    for seed in range(30):
        board = Board(Accounts(TASK))
        tree = _Tree(board, Mcts(simulations=25, depth=3, parallel=3, accept=1.0))

        def search(tree: _Tree = tree, board: Board = board) -> Search:
            yield from tree.search()
            return board.winner(None, None, "")

        StandIn(TASK, Manners(ends_early=0.6), seed).run(search())
        nodes = [tree.root]
        for node in nodes:
            nodes.extend(node.children)
            assert node.under_way == 0
            own = 0 if node.draw is None else node.visits - sum(child.visits for child in node.children)
            assert own >= (node.draw is not None)
        assert tree.root.visits == 25
        assert tree.root.value == pytest.approx(sum(child.value for child in tree.root.children))


def test_the_last_draw_brings_the_best_path_to_its_end() -> None:
    """Where the ceiling is lower than the simulations, one draw is kept for the end."""
    task = replace(TASK, ceilings=Ceilings(draws=6))
    stand_in = StandIn(task, write=_steps, judge=lambda _stand_in, _draw: (0.5,))
    winner = run("mcts", {"simulations": 40, "depth": 9}, stand_in)
    assert winner.is_whole
    assert [launch.until for launch in stand_in.launches.values()] == [Until.STEP] * 5 + [Until.END]


def test_equal_steps_are_one_node() -> None:
    """A next step that a sibling has said already is neither scored nor added."""

    def write(launch: Launch, _rng: random.Random) -> Candidate:
        end = "\\boxed{1}" if launch.until is Until.END else ""
        return Candidate(launch.draw, f"The same step.\n\n{end}", 10)

    stand_in = StandIn(TASK, write=write, judge=lambda _stand_in, _draw: (0.5,))
    run("mcts", {"simulations": 10, "parallel": 1, "depth": 3}, stand_in)
    scored = [command.draw for command in stand_in.log if isinstance(command, Score)]
    texts = [stand_in.chains[draw] for draw in scored]
    assert len(texts) == len(set(texts)) + (texts[-1] in texts[:-1])


def test_it_finds_the_step_that_is_good() -> None:
    """With a verifier that knows, it solves what single chains seldom do."""
    runs = 100
    solved = sum(Reasoner(0.4, 4, seed).solves("mcts", {"simulations": 50, "depth": 4}) for seed in range(runs))
    one = sum(Reasoner(0.4, 4, seed).solves("greedy", {}) for seed in range(runs))
    assert solved > 0.6 * runs
    assert one < 0.1 * runs
