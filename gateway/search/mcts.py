"""Monte-Carlo tree search over steps: UCB1 selection, expansion, the verifier's value, back-propagation.

The tree's nodes are steps. A simulation goes down by UCB1 (Auer et al. 2002), draws one next step, has
the chain scored, and adds the score to every node above. Progressive widening (Coulom 2007) lets a node
have more children the more often it is visited. Simulations run in parallel: one that is under way counts
as a visit that brought nothing (virtual loss), so the next goes elsewhere.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from gateway.domain.arm import Strategy
from gateway.domain.search_sizes import SIZES
from gateway.search import parameters
from gateway.search.best_of_n import is_accepted
from gateway.search.board import Board, Draw, Moves
from gateway.search.choosing import choose
from gateway.search.protocol import MAIN, DrawId, Prefix, Turn, Until, Winner
from gateway.search.steps import normalized

_SIZES: Final = SIZES[Strategy.MCTS]
_UNKNOWN: Final = 0.5
"""The value of a chain that the verifier has no score for."""


@dataclass(frozen=True, slots=True)
class Mcts:
    """How many simulations, how many at a time, and how many draws a chain may take.

    ``exploration`` is UCB1's constant. A node visited n times may have ``widening`` · √n children. The
    answer's path goes by value through nodes of at least ``visit_floor`` visits. The defaults were best
    among several on simulated chains of which each step is right with a chance of 0.4; more at a time
    answers sooner, and finds less for the same draws.
    """

    simulations: int = parameters.size(_SIZES["simulations"])
    depth: int = parameters.size(_SIZES["depth"])
    parallel: int = parameters.size(2)
    exploration: float = parameters.share(0.2)
    widening: int = parameters.size(1)
    visit_floor: int = parameters.size(2)
    accept: float = parameters.share(0.99)
    temperature: float = parameters.temperature(0.8)
    role: str = MAIN
    turns: tuple[Turn, ...] = ()

    @property
    def calls_at_most(self) -> int:
        """The most model calls that it takes: a step for each simulation, and one draw to end the best path."""
        return self.simulations + (self.simulations > 1)


@dataclass(slots=True, eq=False)
class Node:
    """A step of the tree; the root is the ask. ``visits`` are simulations that came through and brought a value."""

    parent: Node | None
    draw: Draw | None
    depth: int
    visits: int = 0
    value: float = 0.0
    """The sum of what its visits brought."""
    under_way: int = 0
    children: list[Node] = field(default_factory=list)

    @property
    def mean(self) -> float:
        """The value of a visit."""
        return self.value / self.visits if self.visits else 0.0

    @property
    def is_terminal(self) -> bool:
        """Whether its chain is whole."""
        return self.draw is not None and self.draw.is_whole

    def path(self) -> Iterator[Node]:
        """The node and all above it."""
        node: Node | None = self
        while node is not None:
            yield node
            node = node.parent


def ucb1(node: Node, parent: Node, exploration: float) -> float:
    """The upper confidence bound of a child: its mean, and more the less it was visited of its parent's visits.

    Simulations under way count as visits that brought nothing, on both sides.
    """
    visits = node.visits + node.under_way
    if visits == 0:
        return math.inf
    return node.value / visits + exploration * math.sqrt(math.log(parent.visits + parent.under_way) / visits)


def mcts(board: Board, config: Mcts) -> Moves[Winner]:
    """The whole chain at the end of the best path, or the best whole chain that was met on the way."""
    tree = _Tree(board, config)
    if config.simulations > 1:
        yield from tree.search()
    if not board.is_over and not is_accepted(board, config.accept):
        yield from tree.finish()
    best = tree.best_path()
    chains = board.whole or ([] if best.draw is None else [best.draw])
    return choose(board, chains or board.draws)


class _Tree:
    """The tree of one search, and the simulations under way: the draw of each, and the node that it extends."""

    def __init__(self, board: Board, config: Mcts) -> None:
        self.board = board
        self.config = config
        self.root = Node(None, None, 0)
        self._growing: dict[DrawId, Node] = {}
        self._simulated = 0

    def search(self) -> Moves[None]:
        """Run the simulations."""
        while True:
            yield from self._start()
            draw = yield from self.board.event()
            if draw is None:
                return
            if draw.id in self._growing and not (yield from self._is_being_scored(draw)):
                self._settle(draw)
            if is_accepted(self.board, self.config.accept):
                yield from self.board.cancel(self.board.running)
                return

    def finish(self) -> Moves[None]:
        """Draw the best path to its end, where it has none yet, and have it scored."""
        leaf = self.best_path()
        if leaf.is_terminal:
            return
        draw = yield from self._draw(leaf, Until.END)
        while draw is not None and (yield from self.board.event()) is not None:
            if draw.is_whole:
                yield from self.board.score(draw)

    def best_path(self) -> Node:
        """The leaf that is reached by value, through nodes visited often enough; where none is, the most visited."""
        node = self.root
        while node.children:
            often = [child for child in node.children if child.visits >= self.config.visit_floor]
            if often:
                node = max(often, key=lambda child: child.mean)
            else:
                node = max(node.children, key=lambda child: (child.visits, child.mean))
        return node

    def _start(self) -> Moves[None]:
        """Begin simulations, as many as may run at a time. One draw is left, to bring a path to its end."""
        while len(self._growing) < self.config.parallel and self._simulated < self.config.simulations:
            leaf = self._select()
            if leaf is None:
                return
            if leaf.is_terminal:
                self._simulated += 1
                self._back_up(leaf, leaf.mean)
                continue
            if self.board.accounts.draws_left <= 1:
                return
            draw = yield from self._draw(leaf, Until.END if leaf.depth + 1 >= self.config.depth else Until.STEP)
            if draw is None:
                return
            self._simulated += 1
            self._growing[draw.id] = leaf
            for node in leaf.path():
                node.under_way += 1

    def _select(self) -> Node | None:
        """Down by UCB1 to a node that may have another child, or to a whole chain. None while one must wait."""
        node = self.root
        while not node.is_terminal:
            growing = sum(each is node for each in self._growing.values())
            allowed = math.ceil(self.config.widening * math.sqrt(max(1, node.visits)))
            if len(node.children) + growing < allowed:
                return node
            if not node.children:
                return None
            parent = node
            node = max(node.children, key=lambda child: ucb1(child, parent, self.config.exploration))
        return node

    def _draw(self, parent: Node, until: Until) -> Moves[Draw | None]:
        return (
            yield from self.board.launch(
                until=until,
                role=self.config.role,
                after=None if parent.draw is None else Prefix(parent.draw.id),
                turns=self.config.turns,
                temperature=self.config.temperature if self.config.simulations > 1 else None,
            )
        )

    def _is_being_scored(self, draw: Draw) -> Moves[bool]:
        if not (draw.is_open or draw.is_whole) or self._twin(draw) is not None:
            return False
        return (yield from self.board.score(draw))

    def _twin(self, draw: Draw) -> Node | None:
        """The sibling that says the same; one of them is enough in the tree."""
        if draw.candidate is None:
            return None
        said = normalized(draw.candidate.text)
        for node in self._growing[draw.id].children:
            other = node.draw
            if other is None or other.candidate is None or other.is_whole != draw.is_whole:
                continue
            if normalized(other.candidate.text) == said:
                return node
        return None

    def _settle(self, draw: Draw) -> None:
        """End a simulation: the step joins the tree and its value goes up; a lost draw only takes its marks away."""
        twin = self._twin(draw)
        leaf = self._growing.pop(draw.id)
        for node in leaf.path():
            node.under_way -= 1
        if not (draw.is_open or draw.is_whole):
            return
        share = self.board.share(draw)
        if twin is not None:
            self._back_up(twin, twin.mean)
            return
        node = Node(leaf, draw, leaf.depth + 1)
        leaf.children.append(node)
        self._back_up(node, _UNKNOWN if share is None else share)

    @staticmethod
    def _back_up(leaf: Node, value: float) -> None:
        for node in leaf.path():
            node.visits += 1
            node.value += value
