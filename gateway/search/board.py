"""The draws of one search: what was asked for, what came of it, and what is still under way.

Every strategy launches, scores and cancels through its board, which keeps to the ceilings and meets all
that a driver may report: a strategy never hears of a draw that it has not launched, has cancelled or has
done with. A search within a search has a board of its own on the same accounts.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import Final, TypeAlias, TypeVar

from gateway.search import protocol
from gateway.search.accounts import Accounts, Room
from gateway.search.aggregate import aggregate, as_share
from gateway.search.answers import find
from gateway.search.protocol import MAIN, Candidate, Command, DrawId, Event, Launch, Prefix, Task, Turn, Until
from gateway.search.steps import split

_Result = TypeVar("_Result")
Moves: TypeAlias = Generator[Command, Event | None, _Result]
"""A part of a search: it yields commands and comes to a result."""

_End: TypeAlias = protocol.Finished | protocol.StepEnded | protocol.DrawFailed | protocol.Cancelled
_Report: TypeAlias = _End | protocol.Scored | protocol.ScoreFailed

_SEED_STRIDE: Final = 0x9E3779B1
_SEEDS: Final = 2**31


class _State(Enum):
    RUNNING = auto()
    CANCELLING = auto()
    WHOLE = auto()
    OPEN = auto()
    LOST = auto()


@dataclass(slots=True, eq=False)
class Draw:
    """One draw, and the chain that ends in it."""

    launch: Launch
    before: str
    """The text of the chain that it continues."""
    tokens_before: int
    depth: int
    room: Room
    state: _State = _State.RUNNING
    candidate: Candidate | None = None
    answer: str | None = None
    """The final answer of a whole chain; None for one without."""
    is_marked: bool = False
    """Whether the chain's text marks its answer as such."""
    scores: tuple[float, ...] = ()
    score: float | None = None
    """The chain's score as the verifier gives it, aggregated; only its order means something."""
    is_scoring: bool = False
    scoring_cost: int = 0
    """What is set aside for the score that is awaited, in atto-dollars."""
    scored_tokens: int = -1
    """How far the chain had come when its score was last asked for."""

    @property
    def id(self) -> DrawId:
        """Its number."""
        return self.launch.draw

    @property
    def text(self) -> str:
        """The whole chain."""
        return self.before + (self.candidate.text if self.candidate else "")

    @property
    def tokens(self) -> int:
        """The written tokens of the whole chain."""
        return self.tokens_before + (self.candidate.tokens if self.candidate else 0)

    @property
    def is_whole(self) -> bool:
        """Whether the chain came to its end, or was cut off there."""
        return self.state is _State.WHOLE

    @property
    def is_open(self) -> bool:
        """Whether the chain stopped at a step and can be continued."""
        return self.state is _State.OPEN

    @property
    def is_running(self) -> bool:
        """Whether the draw is still writing, and is wanted."""
        return self.state is _State.RUNNING

    @property
    def is_settled(self) -> bool:
        """Whether it has ended, and no score of it is awaited."""
        return self.state in (_State.WHOLE, _State.OPEN, _State.LOST) and not self.is_scoring

    @property
    def is_scored(self) -> bool:
        """Whether the score is that of all that has been written, or there will be none."""
        return not self.is_scoring and self.candidate is not None and self.scored_tokens == self.candidate.tokens


class Board:
    """The draws of one search."""

    def __init__(
        self, accounts: Accounts, owners: list[tuple[Board, Draw]] | None = None, task: Task | None = None
    ) -> None:
        self.accounts = accounts
        self.task = accounts.task if task is None else task
        self.draws: list[Draw] = []
        self._owners: list[tuple[Board, Draw]] = [] if owners is None else owners
        """Every draw of all boards on the same accounts, by its number."""
        self._running = 0
        self._scoring = 0

    def within(self) -> Board:
        """A board for a search within this one."""
        return Board(self.accounts, self._owners, self.task)

    def within_by(self, verifier: protocol.Verifier | None) -> Board:
        """A board for a search within this one that has another verifier."""
        return Board(self.accounts, self._owners, replace(self.task, verifier=verifier))

    # What strategies do

    def launch(
        self,
        *,
        until: Until,
        role: str = MAIN,
        after: Prefix | None = None,
        turns: tuple[Turn, ...] = (),
        temperature: float | None = None,
        steps: int = 1,
        reports_steps: bool = False,
    ) -> Moves[Draw | None]:
        """Draw once more. None where the ceilings leave no room now; as draws end there may be room again.

        A chain that may not be longer than this draw is drawn to its end.
        """
        before, tokens_before, depth = self._chain(after)
        deepest = self.task.ceilings.depth
        if deepest is not None and depth >= deepest:
            if depth > deepest:
                return None
            until, steps = Until.END, 1
        said = sum(len(turn.text.encode()) for turn in turns)  # a token has at least one byte
        read = self.task.prompt_tokens + tokens_before + said
        room = yield from self._room(role, until, read, steps)
        if room is None:
            return None
        number = DrawId(len(self._owners))
        seed = (self.task.seed * _SEED_STRIDE + number) % _SEEDS
        launch = Launch(number, until, room.tokens, seed, role, temperature, after, turns, steps, reports_steps)
        draw = Draw(launch, before, tokens_before, depth, room)
        self.accounts.use(room.tokens, room.cost)
        self.accounts.draws += 1
        self._owners.append((self, draw))
        self.draws.append(draw)
        self._count_running(1)
        yield launch
        return draw

    def score(self, draw: Draw) -> Moves[bool]:
        """Have a chain scored as far as it has come; False where that has been done, or cannot be."""
        candidate, verifier = draw.candidate, self.task.verifier
        if self.accounts.is_over or draw.is_scoring or draw.is_scored or candidate is None or verifier is None:
            return False
        if not self.can_score(draw):
            return False
        draw.scoring_cost = self._price_of_score(draw)
        self.accounts.use(0, draw.scoring_cost)
        draw.is_scoring = True
        draw.scored_tokens = candidate.tokens
        self._scoring += 1
        yield protocol.Score(draw.id, verifier.name)
        return True

    def cancel(self, draws: Iterable[Draw]) -> Moves[None]:
        """Stop those of these draws that still run."""
        for draw in [each for each in draws if each.is_running]:
            draw.state = _State.CANCELLING
            self._count_running(-1)
            self.accounts.cancelling += 1
            self._end_scoring(draw)
            yield protocol.Cancel(draw.id)

    def event(self) -> Moves[Draw | None]:
        """Wait for a draw of this search to end, fail, reach a step or have its scoring done.

        None when nothing of it is under way any more, or time is up.
        """
        while self.is_waiting:
            draw = self._take((yield protocol.Wait()))
            if draw is not None:
                return draw
        return None

    # What strategies look at

    @property
    def is_waiting(self) -> bool:
        """Whether anything of this search is under way that is worth waiting for."""
        return not self.accounts.is_over and (self._running > 0 or self._scoring > 0)

    @property
    def is_over(self) -> bool:
        """Whether time is up."""
        return self.accounts.is_over

    @property
    def running(self) -> list[Draw]:
        """The draws that still write and are wanted."""
        return [draw for draw in self.draws if draw.is_running]

    @property
    def whole(self) -> list[Draw]:
        """The draws that brought a whole chain, in the order of their launch."""
        return [draw for draw in self.draws if draw.is_whole]

    def owns(self, event: Event | None) -> bool:
        """Whether an event is about a draw of this search."""
        found = self._find(event)
        return found is not None and found[0] is self

    def can_score(self, draw: Draw) -> bool:
        """Whether there is a verifier, something to score, and room for its cost."""
        if self.task.verifier is None or draw.candidate is None or draw.state in (_State.LOST, _State.CANCELLING):
            return False
        return self.accounts.has_money_for(self._price_of_score(draw))

    def share(self, draw: Draw) -> float | None:
        """A chain's score from 0 to 1; None where it has none."""
        if draw.score is None or self.task.verifier is None:
            return None
        return as_share(draw.score, is_logit=self.task.verifier.is_logit)

    def shares(self, draw: Draw) -> list[float]:
        """The scores of a chain's steps, each from 0 to 1."""
        is_logit = self.task.verifier is not None and self.task.verifier.is_logit
        return [as_share(score, is_logit=is_logit) for score in draw.scores]

    def steps(self, draw: Draw) -> list[str]:
        """The steps of a chain."""
        return split(draw.text, self.task.terms[draw.launch.role].boundary)

    def best(self, draws: Sequence[Draw] | None = None) -> Draw | None:
        """The best of these chains, or of all: not empty, whole, by score, with an answer, uncut, the earliest."""
        kept = [draw for draw in (self.draws if draws is None else draws) if draw.candidate is not None]
        return min(kept, key=_rank) if kept else None

    def winner(self, draw: Draw | None, confidence: float | None, reason: str) -> protocol.Winner:
        """This draw's chain as the search's answer."""
        if draw is None or draw.candidate is None:
            return protocol.Winner(None, "", None, "no draw brought an answer")
        return protocol.Winner(draw.candidate, draw.text, confidence, reason, draw.is_whole)

    # What happens

    def _chain(self, after: Prefix | None) -> tuple[str, int, int]:
        """The text, tokens and depth of a draw that continues this prefix; of one that is cut, its tokens at most."""
        if after is None:
            return "", 0, 1
        parent = self._owners[after.draw][1]
        text = parent.text if after.steps is None else "".join(self.steps(parent)[: after.steps])
        return text, parent.tokens, parent.depth + 1

    def _room(self, role: str, until: Until, read: int, steps: int) -> Moves[Room | None]:
        """What a draw may use. Where only cancelled draws stand in the way, their end is waited for."""
        while not self.accounts.is_over:
            room = self.accounts.room(role, until, read, steps)
            if room is not None or not self.accounts.cancelling or self.accounts.running or self._scoring:
                return room
            self._take((yield protocol.Wait()))
        return None

    def _price_of_score(self, draw: Draw) -> int:
        """The verifier reads the prompt and the chain."""
        verifier = self.task.verifier
        if verifier is None:
            return 0
        return verifier.call_cost + verifier.input_rate * (self.task.prompt_tokens + draw.tokens)

    def _find(self, event: Event | None) -> tuple[Board, Draw] | None:
        if event is None or isinstance(event, protocol.TimeUp):
            return None
        return self._owners[event.draw] if 0 <= event.draw < len(self._owners) else None

    def _take(self, event: Event | None) -> Draw | None:
        """Account for an event; its draw, where it is one that this search still wants to hear of."""
        if event is None or isinstance(event, protocol.TimeUp):
            self.accounts.is_over = True
            return None
        found = self._find(event)
        if found is None:
            return None
        owner, draw = found
        is_news = owner._heard(draw, event)  # a board on the same accounts
        return draw if is_news and owner is self else None

    def _heard(self, draw: Draw, event: _Report) -> bool:
        """Note what has happened to a draw; whether the search wants to know."""
        if isinstance(event, protocol.Scored):
            return self._scored(draw, event.scores, event.cost)
        if isinstance(event, protocol.ScoreFailed):
            return self._scored(draw, (), event.cost)
        if draw.state not in (_State.RUNNING, _State.CANCELLING):
            return False
        if isinstance(event, protocol.StepEnded) and draw.launch.until is Until.END:
            if draw.is_running:
                draw.candidate = event.candidate
            return draw.is_running
        return self._ended(draw, event)

    def _ended(self, draw: Draw, event: _End) -> bool:
        """Note the end of a draw, and what it truly used."""
        was_wanted = draw.is_running
        if was_wanted:
            self._count_running(-1)
        else:
            self.accounts.cancelling -= 1
        spent = event.candidate if isinstance(event, protocol.Finished | protocol.StepEnded) else event
        self.accounts.use(spent.tokens - draw.room.tokens, spent.cost - draw.room.cost)
        if not was_wanted or not isinstance(spent, Candidate):
            self._end_scoring(draw)
            draw.state, draw.candidate = _State.LOST, None
            return was_wanted
        draw.candidate = spent
        draw.state = _State.OPEN if isinstance(event, protocol.StepEnded) else _State.WHOLE
        if draw.is_whole:
            draw.answer, draw.is_marked = _answer(draw, spent)
        return True

    def _scored(self, draw: Draw, scores: tuple[float, ...], cost: int | None) -> bool:
        if not draw.is_scoring or self.task.verifier is None:
            return False
        if cost is not None:
            self.accounts.use(0, cost - draw.scoring_cost)
        self._end_scoring(draw)
        value = aggregate(scores, self.task.verifier.aggregation)
        if value is not None:
            draw.score, draw.scores = value, scores
        return True

    def _end_scoring(self, draw: Draw) -> None:
        if draw.is_scoring:
            draw.is_scoring = False
            self._scoring -= 1

    def _count_running(self, change: int) -> None:
        self._running += change
        self.accounts.running += change


def _answer(draw: Draw, candidate: Candidate) -> tuple[str | None, bool]:
    found = find(draw.text, is_cut=candidate.is_truncated) or (None, False)
    return found if candidate.answer is None else (candidate.answer, found[1])


def _rank(draw: Draw) -> tuple[bool, bool, float, bool, bool, DrawId]:
    """Smaller is better."""
    is_cut = draw.candidate is not None and draw.candidate.is_truncated
    score = float("-inf") if draw.score is None else draw.score
    is_empty = draw.answer is None and not draw.text.strip()
    return (is_empty, not draw.is_whole, -score, draw.answer is None, is_cut, draw.id)
