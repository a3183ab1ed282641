"""Strategies run again on recorded chains: the very same generators, no model and no money.

Recorded are whole chains that were drawn independently, so what can be replayed are strategies of whole
independent draws. Time is counted in tokens, as if every chain were written at the same speed: a
cancelled one has cost what it would have written by then.
"""

from __future__ import annotations

import heapq
import json
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from gateway.domain.arm import Strategy
from gateway.errors import ConfigurationError
from gateway.search import Config, begin, entry
from gateway.search.aggregate import Aggregation
from gateway.search.answers import find
from gateway.search.best_of_n import BestOfN
from gateway.search.equivalence import Meaning, meaning, same
from gateway.search.protocol import (
    MAIN,
    Cancel,
    Cancelled,
    Candidate,
    Ceilings,
    Command,
    DrawId,
    Event,
    Finished,
    Launch,
    Score,
    Scored,
    ScoreFailed,
    Task,
    Terms,
    Verifier,
)

REPLAYABLE: Final = (Strategy.GREEDY, Strategy.VOTE, Strategy.BEST_OF_N)
"""Strategies that recorded chains can replay; the others would need draws that nobody recorded."""


@dataclass(frozen=True, slots=True)
class Trace:
    """One recorded chain. ``score`` is the verifier's, where it was asked."""

    answer: str | None
    text: str
    tokens: int
    is_correct: bool
    score: float | None
    is_truncated: bool


@dataclass(frozen=True, slots=True)
class Item:
    """One problem and the chains that were drawn for it."""

    id: str
    traces: tuple[Trace, ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a replay of one problem came to."""

    is_correct: bool
    tokens: int
    draws: int
    span: int
    """The tokens that were written one after another: what the caller waits for."""


def read_items(lines: Iterable[str], place: str) -> list[Item]:
    """The problems of a file, one JSON object a line. Raises ConfigurationError with the line that is wrong."""
    items = [_item(line, f"{place}:{number}") for number, line in enumerate(lines, 1) if line.strip()]
    if not items:
        raise ConfigurationError(f"{place} holds no problems; one JSON object a line is expected: id, gold, traces")
    return items


def _item(line: str, place: str) -> Item:
    try:
        row = json.loads(line)
        traces = tuple(_trace(each) for each in row["traces"])
        name = str(row["id"])
    except (ValueError, KeyError, TypeError) as fault:
        raise ConfigurationError(
            f"{place}: a JSON object is expected with id, gold and traces, a list of objects with answer or text, "
            f"tokens, correct and, where it was scored, prm_score"
        ) from fault
    if not traces:
        raise ConfigurationError(f"{place}: there are no traces; each problem needs at least one")
    return Item(name, traces)


def _trace(row: Any) -> Trace:
    if not isinstance(row, Mapping):
        raise TypeError("traces")
    text, answer, score = row.get("text"), row.get("answer"), row.get("prm_score")
    if text is None and answer is None and "answer" not in row:
        raise KeyError("text")
    tokens = row["tokens"]
    if not isinstance(tokens, int) or tokens < 0 or not isinstance(row["correct"], bool | int):
        raise TypeError("tokens")
    said = str(text) if text is not None else str(answer or "")
    is_truncated = bool(row.get("truncated", False))
    found = None if answer is not None or text is None else find(said, is_cut=is_truncated)
    known = answer if found is None else found.answer
    return Trace(
        None if known is None else str(known),
        said,
        tokens,
        bool(row["correct"]),
        None if score is None else float(score),
        is_truncated,
    )


def check_strategy(strategy: str) -> None:
    """Raise ConfigurationError for a strategy that recorded chains cannot replay."""
    entry(strategy)
    if strategy not in REPLAYABLE:
        raise ConfigurationError(
            f"recorded chains cannot replay {strategy}: it needs draws that nobody recorded; "
            f"they can replay {', '.join(REPLAYABLE)}"
        )


def check(strategy: str, config: Config, items: Sequence[Item]) -> None:
    """Raise ConfigurationError for parameters that these chains cannot replay."""
    if isinstance(config, BestOfN) and (config.reject_below is not None or config.reject_quantile is not None):
        raise ConfigurationError("recorded chains have no scores on their way; leave reject_below and reject_quantile")
    short = next((item for item in items if len(item.traces) < config.calls_at_most), None)
    if short is not None:
        raise ConfigurationError(
            f"{strategy} takes up to {config.calls_at_most} draws, and {short.id} has {len(short.traces)} traces"
        )


def replay(item: Item, strategy: str, config: Config, seed: int, verifier: Verifier | None) -> Outcome:
    """Run a strategy on one problem; the seed decides in which order its chains come."""
    order = ordered(item, seed)
    longest = max(trace.tokens for trace in order)
    task = Task(
        ceilings=Ceilings(draws=len(order)),
        terms={MAIN: Terms(max_tokens=max(1, longest))},
        verifier=verifier,
        seed=seed,
    )
    server = _Server(order)
    search = begin(strategy, task, config)
    event: Event | None = None
    try:
        while True:
            event = server.answer(search.send(event))
    except StopIteration as done:
        candidate = done.value.candidate
    is_correct = candidate is not None and order[candidate.draw].is_correct
    return Outcome(is_correct, server.tokens(), server.draws, server.now)


def majority(item: Item, seed: int) -> Outcome:
    """The usual yardstick: the most common answer of all chains, of equally common ones that which came first."""
    order = ordered(item, seed)
    clusters: list[tuple[Meaning, list[Trace]]] = []
    for trace in order:
        if trace.answer is None:
            continue
        said = meaning(trace.answer)
        cluster = next((members for each, members in clusters if same(each, said)), None)
        if cluster is None:
            clusters.append((said, [trace]))
        else:
            cluster.append(trace)
    largest = max((members for _, members in clusters), key=len, default=[])
    spent = [trace.tokens for trace in order]
    return Outcome(bool(largest) and largest[0].is_correct, sum(spent), len(spent), max(spent))


def ordered(item: Item, seed: int) -> list[Trace]:
    """The chains of a problem in the order in which a seed lets them come."""
    order = list(item.traces)
    random.Random(f"{seed} {item.id}").shuffle(order)  # noqa: S311 - an order, not a secret
    return order


class _Server:
    """Stands in for the model and the verifier: draw n is the n-th chain, and a score takes no time."""

    def __init__(self, traces: Sequence[Trace]) -> None:
        self._traces = traces
        self._events: list[tuple[int, int, Event]] = []
        """By the time at which they happen, then in the order in which they were caused."""
        self._started: dict[DrawId, int] = {}
        self._used: dict[DrawId, int] = {}
        self.now = 0
        self._caused = 0

    @property
    def draws(self) -> int:
        """The draws that were launched."""
        return len(self._started)

    def tokens(self) -> int:
        """What has been written: of draws that ended their chain, of those still running what they have by now."""
        running = {draw: self.now - started for draw, started in self._started.items() if draw not in self._used}
        return sum(self._used.values()) + sum(
            min(tokens, self._traces[draw].tokens) for draw, tokens in running.items()
        )

    def answer(self, command: Command) -> Event | None:
        """Do what the search wants; the next event, where it waits for one."""
        match command:
            case Launch():
                self._launch(command.draw)
            case Score(draw, _):
                score = self._traces[draw].score
                self._cause(self.now, ScoreFailed(draw) if score is None else Scored(draw, (score,)))
            case Cancel(draw):
                self._used[draw] = min(self.now - self._started[draw], self._traces[draw].tokens)
                self._cause(self.now, Cancelled(draw, self._used[draw]))
            case _:
                return self._next()
        return None

    def _launch(self, draw: DrawId) -> None:
        trace = self._traces[draw]
        self._started[draw] = self.now
        candidate = Candidate(draw, trace.text, trace.tokens, trace.answer, trace.is_truncated)
        self._cause(self.now + trace.tokens, Finished(candidate))

    def _cause(self, at: int, event: Event) -> None:
        heapq.heappush(self._events, (at, self._caused, event))
        self._caused += 1

    def _next(self) -> Event:
        self.now, _, event = heapq.heappop(self._events)
        if isinstance(event, Finished):
            self._used.setdefault(event.draw, event.candidate.tokens)
        return event


def verifier_of(items: Sequence[Item]) -> Verifier | None:
    """The verifier whose scores were recorded; None where some chain has none. Scores beyond 0 to 1 are logits."""
    scores = [trace.score for item in items for trace in item.traces]
    known = [score for score in scores if score is not None]
    if len(known) < len(scores):
        return None
    is_logit = any(not 0 <= score <= 1 for score in known)
    return Verifier("recorded", Aggregation.MEAN, is_logit=is_logit)
