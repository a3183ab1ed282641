"""The tree of a search as it grows, for its record."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from gateway.domain.bound import as_usd
from gateway.domain.search_record import Fate, SearchDraw, SearchRecord
from gateway.search.answers import answer_of
from gateway.search.equivalence import Meaning, meaning, same
from gateway.search.protocol import (
    Cancelled,
    DrawFailed,
    DrawId,
    Event,
    Finished,
    Launch,
    Scored,
    StepEnded,
    Until,
    Winner,
)

_LONGEST_REASON: Final = 500


@dataclass(slots=True)
class _Node:
    launch: Launch
    model: str
    has_ended: bool = False
    fate: Fate = Fate.CANCELLED
    tokens: int = 0
    cost: int = 0
    scores: tuple[float, ...] = ()
    text: str = ""


class Tree:
    """Every draw that was launched, and what is known of it."""

    def __init__(self) -> None:
        self._nodes: dict[DrawId, _Node] = {}

    @property
    def draws(self) -> int:
        """How many draws have been launched."""
        return len(self._nodes)

    @property
    def ended(self) -> int:
        """How many of them have ended."""
        return sum(node.has_ended for node in self._nodes.values())

    @property
    def tokens(self) -> int:
        """The tokens that all draws have written."""
        return sum(node.tokens for node in self._nodes.values())

    def tokens_of(self, winner: Winner) -> int:
        """The tokens of the answer's own chain."""
        return sum(self._nodes[number].tokens for number in self._path(winner))

    def plant(self, launch: Launch, model: str) -> None:
        """A draw begins."""
        self._nodes[launch.draw] = _Node(launch, model)

    def see(self, event: Event) -> None:
        """Note what has become of a draw."""
        match event:
            case Finished(candidate) | StepEnded(candidate):
                node = self._nodes[candidate.draw]
                node.tokens, node.cost, node.text = candidate.tokens, candidate.cost, candidate.text
                if isinstance(event, StepEnded):
                    node.fate = Fate.STEP
                else:
                    node.fate = Fate.CUT if candidate.is_truncated else Fate.WHOLE
                node.has_ended = node.fate is not Fate.STEP or node.launch.until is Until.STEP
            case DrawFailed(draw, tokens, cost) | Cancelled(draw, tokens, cost):
                node = self._nodes[draw]
                node.fate = Fate.FAILED if isinstance(event, DrawFailed) else Fate.CANCELLED
                node.tokens, node.cost, node.has_ended = tokens, cost, True
            case Scored(draw, scores):
                self._nodes[draw].scores = scores
            case _:
                pass

    @property
    def texts(self) -> dict[str, str]:
        """What each draw wrote, by its number."""
        return {str(number): node.text for number, node in self._nodes.items() if node.text}

    def record(self, winner: Winner, *, strategy: str, seed: int, verifier: str | None) -> SearchRecord:
        """The search as it is recorded."""
        chosen = self._path(winner)
        answers = self._answers()
        draws = tuple(
            SearchDraw(
                draw=number,
                parent=None if node.launch.prefix is None else node.launch.prefix.draw,
                kept_steps=None if node.launch.prefix is None else node.launch.prefix.steps,
                role=node.launch.role,
                model=node.model,
                fate=node.fate,
                tokens=node.tokens,
                cost=as_usd(node.cost),
                scores=node.scores,
                agrees_with=answers.get(number),
                is_chosen=number in chosen,
            )
            for number, node in sorted(self._nodes.items())
        )
        return SearchRecord(strategy, seed, verifier, winner.reason[:_LONGEST_REASON], winner.confidence, draws)

    def _path(self, winner: Winner) -> frozenset[DrawId]:
        """The draws that the winner's chain is made of."""
        path: set[DrawId] = set()
        at = None if winner.candidate is None else winner.candidate.draw
        while at is not None and at not in path:
            path.add(at)
            prefix = self._nodes[at].launch.prefix
            at = None if prefix is None else prefix.draw
        return frozenset(path)

    def _answers(self) -> dict[DrawId, DrawId]:
        """For each draw with an answer the first that came to the same."""
        firsts: list[tuple[DrawId, Meaning]] = []
        found: dict[DrawId, DrawId] = {}
        for number, node in sorted(self._nodes.items()):
            answer = answer_of(node.text) if node.fate is Fate.WHOLE else None
            if answer is None:
                continue
            meant = meaning(answer)
            first = next((each for each, other in firsts if same(other, meant)), None)
            if first is None:
                firsts.append((number, meant))
            found[number] = number if first is None else first
        return found
