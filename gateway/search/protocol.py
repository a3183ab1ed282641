"""What a search says and hears: commands, events and the winner.

A search is a generator. It yields commands; ``Launch``, ``Score`` and ``Cancel`` are answered with None
at once, and ``Wait`` with the next event. It returns its winner. It knows no clock, network or price
list: time is over when :class:`TimeUp` says so, and what a draw can cost stands in its task. So whoever
hands it the same events in the same order gets the same commands and the same winner.

Draws are numbered from 0 in the order in which they are launched. A driver reports each launched draw's
end once, by ``Finished``, ``StepEnded`` for a draw until a step's end, ``DrawFailed``, or ``Cancelled``
for one that it was told to cancel; repeated and late reports do no harm.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Literal, NewType, TypeAlias

from gateway.search.aggregate import Aggregation
from gateway.search.steps import BLANK_LINE, Boundary

DrawId = NewType("DrawId", int)
"""The number of a draw in its search."""

MAIN: Final = "main"
"""The role of the arm's own model."""

DRAFT: Final = "draft"
"""The role of the small model that drafts steps."""


class Until(StrEnum):
    """Where a draw ends: at the end of a step, or of the whole answer."""

    STEP = "step"
    END = "end"


@dataclass(frozen=True, slots=True)
class Turn:
    """Something said after the client's own conversation."""

    speaker: Literal["assistant", "user"]
    text: str


@dataclass(frozen=True, slots=True)
class Prefix:
    """The chain that a draw continues: what led to ``draw`` and its text, or only that chain's first ``steps``."""

    draw: DrawId
    steps: int | None = None


@dataclass(frozen=True, slots=True)
class Launch:
    """Draw once from a model, to the end of the answer or of ``steps`` steps, for at most ``max_tokens`` tokens.

    ``temperature`` None leaves it as the client asked. A draw that ``reports_steps`` and runs to the
    end of its answer is also reported at each step on its way, with its text so far.
    """

    draw: DrawId
    until: Until
    max_tokens: int
    seed: int
    role: str = MAIN
    temperature: float | None = None
    prefix: Prefix | None = None
    turns: tuple[Turn, ...] = ()
    steps: int = 1
    reports_steps: bool = False


@dataclass(frozen=True, slots=True)
class Score:
    """Have the verifier of this name score the chain that ends in this draw, as far as it has come."""

    draw: DrawId
    verifier: str


@dataclass(frozen=True, slots=True)
class Cancel:
    """Stop a running draw; its answer is not wanted any more."""

    draw: DrawId


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing more to do until something happens."""


Command: TypeAlias = Launch | Score | Cancel | Wait


@dataclass(frozen=True, slots=True)
class Candidate:
    """What a draw brought: its own text, without the prefix that it continued.

    ``answer`` is the final answer, where the driver knows it better than by reading the text; ``cost``
    what the draw came to, in atto-dollars.
    """

    draw: DrawId
    text: str
    tokens: int
    answer: str | None = None
    is_truncated: bool = False
    mean_logprob: float | None = None
    cost: int = 0


@dataclass(frozen=True, slots=True)
class Finished:
    """A draw came to the end of its answer, or of its tokens."""

    candidate: Candidate

    @property
    def draw(self) -> DrawId:
        """The draw's number."""
        return self.candidate.draw


@dataclass(frozen=True, slots=True)
class StepEnded:
    """A draw came to the end of a step; one until the end of its answer goes on."""

    candidate: Candidate

    @property
    def draw(self) -> DrawId:
        """The draw's number."""
        return self.candidate.draw


@dataclass(frozen=True, slots=True)
class Scored:
    """The verifier's scores for the steps of a chain, or one for the whole.

    ``cost`` is what they came to, in atto-dollars; None leaves it at the most that it can have been.
    """

    draw: DrawId
    scores: tuple[float, ...]
    cost: int | None = None


@dataclass(frozen=True, slots=True)
class ScoreFailed:
    """The verifier had no score for a chain. It may have cost something all the same, as in :class:`Scored`."""

    draw: DrawId
    cost: int | None = None


@dataclass(frozen=True, slots=True)
class DrawFailed:
    """A draw brought nothing. It may have cost something all the same."""

    draw: DrawId
    tokens: int = 0
    cost: int = 0


@dataclass(frozen=True, slots=True)
class Cancelled:
    """A draw stopped because it was told to; what it had written and cost by then."""

    draw: DrawId
    tokens: int = 0
    cost: int = 0


@dataclass(frozen=True, slots=True)
class TimeUp:
    """The deadline has come, or nobody waits any more; the search returns the best it has."""


Event: TypeAlias = Finished | StepEnded | Scored | ScoreFailed | DrawFailed | Cancelled | TimeUp


@dataclass(frozen=True, slots=True)
class Ceilings:
    """What a search may use at most; None where nothing bounds it.

    ``tokens`` are written tokens of all draws together; ``depth`` is how many draws a chain may be
    made of; ``cost`` is in atto-dollars and counts prompts, answers and the verifier.
    """

    draws: int
    tokens: int | None = None
    depth: int | None = None
    cost: int | None = None


@dataclass(frozen=True, slots=True)
class Terms:
    """What a model takes: the most tokens that one draw may write, atto-dollars a token, and where its steps end."""

    max_tokens: int
    input_rate: int = 0
    output_rate: int = 0
    boundary: Boundary = BLANK_LINE


@dataclass(frozen=True, slots=True)
class Verifier:
    """What scores chains. Its scores are from 0 to 1, or ``is_logit``: any number, where more is better.

    How the scores of steps become one is a property of the verifier, calibrated for each. A score costs
    ``call_cost`` and ``input_rate`` for each token of prompt and chain, in atto-dollars.
    """

    name: str
    aggregation: Aggregation
    is_logit: bool = False
    input_rate: int = 0
    call_cost: int = 0


@dataclass(frozen=True, slots=True)
class Task:
    """One ask as a search sees it: what it may use, whom it may call, and what is predicted of it."""

    ceilings: Ceilings
    terms: Mapping[str, Terms]
    """By role."""
    prompt_tokens: int = 0
    verifier: Verifier | None = None
    seed: int = 0
    p_success: float | None = None
    """How likely one draw is right, as predicted."""
    value: int | None = None
    """What a right answer is worth, in atto-dollars, where somebody said so."""


@dataclass(frozen=True, slots=True)
class Winner:
    """The answer of a search; ``candidate`` is None where no draw brought one.

    ``text`` is the whole chain. ``confidence``, from 0 to 1, is how much speaks for the answer: what it
    means depends on the strategy, and None says that nothing does.
    """

    candidate: Candidate | None
    text: str
    confidence: float | None
    reason: str
    is_whole: bool = True
    """False for a chain that time or the ceilings left open."""


Search: TypeAlias = Generator[Command, Event | None, Winner]
"""A running search: start it with ``next`` or ``send(None)``."""
