"""A stand-in for models and verifier: it runs a search, decides what happens in which order, and checks every command.

What it can use at most is counted here anew, from the commands alone, so that a search's own accounts are
not what proves them.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

from gateway.search.protocol import (
    Cancel,
    Cancelled,
    Candidate,
    Command,
    DrawFailed,
    DrawId,
    Event,
    Finished,
    Launch,
    Score,
    Scored,
    ScoreFailed,
    Search,
    StepEnded,
    Task,
    TimeUp,
    Until,
    Wait,
    Winner,
)


@dataclass(frozen=True, slots=True)
class Manners:
    """How often what happens; chances from 0 to 1."""

    fails: float = 0.0
    is_empty: float = 0.0
    is_cut: float = 0.0
    repeats: float = 0.0
    scoring_fails: float = 0.0
    scores_are_odd: float = 0.0
    ends_early: float = 0.3
    """A draw until the end of a step comes to the end of the answer."""
    answers: int = 4
    """How many different answers there are."""
    time_up_after: int | None = None
    """Events until time is up."""


Write = Callable[[Launch, random.Random], Candidate | None]
Judge = Callable[["StandIn", DrawId], tuple[float, ...] | None]


@dataclass(slots=True)
class StandIn:
    """Runs one search. ``write`` and ``judge`` stand in for model and verifier where a test needs its own."""

    task: Task
    manners: Manners = field(default_factory=Manners)
    seed: int = 0
    write: Write | None = None
    judge: Judge | None = None
    log: list[Command] = field(default_factory=list)
    launches: dict[DrawId, Launch] = field(default_factory=dict)
    chains: dict[DrawId, str] = field(default_factory=dict)
    """The whole text that ends in a draw."""
    ended: dict[DrawId, Candidate] = field(default_factory=dict)
    whole: dict[DrawId, Candidate] = field(default_factory=dict)
    cancelled: set[DrawId] = field(default_factory=set)
    tokens: int = 0
    cost: int = 0
    _under_way: list[Event] = field(default_factory=list)
    _late: list[Event] = field(default_factory=list)
    _told: int = 0
    _is_over: bool = False
    _rng: random.Random = field(default_factory=random.Random)

    def run(self, search: Search) -> Winner:
        """The winner of the search, every command of which is checked."""
        self._rng.seed(self.seed)
        event: Event | None = None
        try:
            while True:
                command = search.send(event)
                assert not self._is_over, f"{command} after time was up"
                self.log.append(command)
                event = self._do(command)
        except StopIteration as done:
            winner: Winner = done.value
        self._check_winner(winner)
        return winner

    @property
    def draws(self) -> int:
        """The draws that were launched."""
        return len(self.launches)

    def _do(self, command: Command) -> Event | None:
        match command:
            case Launch():
                self._launch(command)
            case Score(draw, _):
                self._score(draw)
            case Cancel(draw):
                self._cancel(draw)
            case Wait():
                return self._happen()
        return None

    def _launch(self, launch: Launch) -> None:
        assert launch.draw == len(self.launches), "draws are numbered in order"
        assert launch.max_tokens >= 1
        if launch.prefix is not None:
            assert launch.prefix.draw in self.ended, "a chain continues one that has come"
        self.launches[launch.draw] = launch
        ceilings, terms = self.task.ceilings, self.task.terms[launch.role]
        assert self.draws <= ceilings.draws
        assert ceilings.depth is None or self._depth(launch.draw) <= ceilings.depth
        self.tokens += launch.max_tokens
        self.cost += terms.output_rate * launch.max_tokens + self._read_cost(launch)
        self._check_ceilings()
        self._under_way.append(self._outcome(launch))

    def _read_cost(self, launch: Launch) -> int:
        said = sum(len(turn.text.encode()) for turn in launch.turns)
        before = 0 if launch.prefix is None else self._chain_tokens(launch.prefix.draw)
        return self.task.terms[launch.role].input_rate * (self.task.prompt_tokens + said + before)

    def _chain_tokens(self, draw: DrawId) -> int:
        prefix = self.launches[draw].prefix
        return self.ended[draw].tokens + (0 if prefix is None else self._chain_tokens(prefix.draw))

    def _depth(self, draw: DrawId) -> int:
        prefix = self.launches[draw].prefix
        return 1 if prefix is None else 1 + self._depth(prefix.draw)

    def _check_ceilings(self) -> None:
        ceilings = self.task.ceilings
        assert ceilings.tokens is None or self.tokens <= ceilings.tokens
        assert ceilings.cost is None or self.cost <= ceilings.cost

    def _outcome(self, launch: Launch) -> Event:
        rng, manners = self._rng, self.manners
        if rng.random() < manners.fails:
            return DrawFailed(launch.draw, rng.randint(0, launch.max_tokens), 0)
        is_end = launch.until is Until.END or rng.random() < manners.ends_early
        candidate = self.write(launch, rng) if self.write is not None else self._write(launch, is_end)
        if candidate is None:
            return DrawFailed(launch.draw)
        has_end = "boxed" in candidate.text or candidate.answer is not None or candidate.is_truncated
        is_step = launch.until is Until.STEP and not (is_end if self.write is None else has_end)
        return StepEnded(candidate) if is_step else Finished(candidate)

    def _write(self, launch: Launch, is_end: bool) -> Candidate:
        rng, manners = self._rng, self.manners
        tokens = rng.randint(1, launch.max_tokens)
        cost = self._read_cost(launch) + self.task.terms[launch.role].output_rate * tokens
        if rng.random() < manners.is_empty:
            return Candidate(launch.draw, "", 0, cost=0)
        steps = "".join(f"step {rng.randint(0, 9)}\n\n" for _ in range(rng.randint(1, 3) if is_end else 1))
        if rng.random() < manners.is_cut:
            return Candidate(launch.draw, steps, tokens, is_truncated=True, cost=cost)
        text = steps + (f"\\boxed{{{rng.randint(1, manners.answers)}}}" if is_end else "")
        return Candidate(launch.draw, text, tokens, mean_logprob=-rng.random(), cost=cost)

    def _score(self, draw: DrawId) -> None:
        assert draw in self.ended, "only what has come can be scored"
        assert draw not in self.cancelled, "nothing cancelled is scored"
        assert self.task.verifier is not None
        read = self.task.prompt_tokens + self._chain_tokens(draw)
        self.cost += self.task.verifier.call_cost + self.task.verifier.input_rate * read
        self._check_ceilings()
        self._under_way.append(self._judged(draw))

    def _judged(self, draw: DrawId) -> Event:
        rng, manners = self._rng, self.manners
        if rng.random() < manners.scoring_fails:
            return ScoreFailed(draw)
        if self.judge is not None:
            scores = self.judge(self, draw)
            return ScoreFailed(draw) if scores is None else Scored(draw, scores)
        if rng.random() < manners.scores_are_odd:
            odd = [(), (float("nan"),), (float("inf"), 0.5), (-3.0, 12.5), (0.0,) * 40]
            return Scored(draw, rng.choice(odd))
        steps = max(1, len([step for step in self.chains[draw].split("\n\n") if step]))
        return Scored(draw, tuple(rng.random() for _ in range(steps)))

    def _cancel(self, draw: DrawId) -> None:
        ends = [event for event in self._under_way if _ends(event, draw)]
        assert ends, "only a draw that runs is cancelled"
        self.cancelled.add(draw)
        if self._rng.random() < 0.5:  # the other half comes to its end before the cancellation reaches it
            self._under_way.remove(ends[0])
            self._under_way.append(Cancelled(draw, self._rng.randint(0, self.launches[draw].max_tokens), 0))

    def _happen(self) -> Event:
        assert self._under_way, "a search waits only for what is under way"
        if self.manners.time_up_after is not None and self._told >= self.manners.time_up_after:
            self._is_over = True
            return TimeUp()
        self._told += 1
        if self._late and self._rng.random() < self.manners.repeats:
            return self._rng.choice([*self._late, DrawFailed(DrawId(9_999)), Scored(DrawId(9_999), (1.0,))])
        event = self._under_way.pop(self._rng.randrange(len(self._under_way)))
        self._late.append(event)
        self._settle(event)
        return event

    def _settle(self, event: Event) -> None:
        """Replace the most that a draw could use by what it has used."""
        if isinstance(event, Scored | ScoreFailed | TimeUp):
            return
        launch = self.launches[event.draw]
        used = event.candidate if isinstance(event, Finished | StepEnded) else event
        self.tokens += used.tokens - launch.max_tokens
        most = self.task.terms[launch.role].output_rate * launch.max_tokens + self._read_cost(launch)
        self.cost += used.cost - most
        if isinstance(used, Candidate):
            self.ended[event.draw] = used
            self.chains[event.draw] = self._before(launch) + used.text
            if isinstance(event, Finished) and event.draw not in self.cancelled:
                self.whole[event.draw] = used

    def _before(self, launch: Launch) -> str:
        if launch.prefix is None:
            return ""
        text = self.chains[launch.prefix.draw]
        if launch.prefix.steps is None:
            return text
        return "".join(f"{step}\n\n" for step in text.split("\n\n")[: launch.prefix.steps])

    def _check_winner(self, winner: Winner) -> None:
        if winner.candidate is None:
            return
        draw = winner.candidate.draw
        assert draw in self.ended
        assert draw not in self.cancelled
        assert winner.text == self.chains[draw]
        assert winner.confidence is None or 0 <= winner.confidence <= 1


def _ends(event: Event, draw: DrawId) -> bool:
    return isinstance(event, Finished | StepEnded | DrawFailed) and event.draw == draw
