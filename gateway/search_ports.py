"""What a search needs of the outside world beyond a model's server, as Protocols that adapters satisfy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from gateway.domain.check import Check
from gateway.domain.key import Key
from gateway.domain.verification import Chain, Problem, Verdict
from gateway.search.aggregate import Aggregation


class Verifier(Protocol):
    """What scores the answers of a search, as far as they have come."""

    @property
    def name(self) -> str: ...

    @property
    def aggregation(self) -> Aggregation:
        """How the scores of steps become one: a property of the verifier, calibrated for each."""
        ...

    @property
    def is_logit(self) -> bool:
        """Whether scores are any number, where more is better; else they are from 0 to 1."""
        ...

    @property
    def model(self) -> str | None:
        """The configured model that it calls, whose price its scores have; None for one that calls none."""
        ...

    @property
    def scores_steps(self) -> bool:
        """Whether an unfinished chain can be scored; else only whole answers."""
        ...

    @property
    def most_readings(self) -> int:
        """How often its model reads the ask and an answer, at most, for one score."""
        ...

    @property
    def most_output_tokens(self) -> int:
        """How many tokens its model writes for one score, at most."""
        ...

    async def score(self, problem: Problem, chain: Chain, *, deadline_s: float, salt: str) -> Verdict:
        """The chain's scores. Calls at the same time may be sent together; what was scored before is remembered.

        ``salt`` keeps the caches of tenants apart. Raises PonderError where there is no score in time:
        UpstreamError of a model's server, Unavailable where the means are missing.
        """
        ...


class Graders(Protocol):
    """What checks answers against what a request brings along: a right answer, a pattern, a schema, tests."""

    async def grader_for(
        self, check: Check, *, key: Key | None = None, verifiers: Mapping[str, Verifier] = ...
    ) -> Verifier:
        """What scores whole answers by this check, or the configured verifier that it names.

        Raises InvalidRequest for a check that is none, Forbidden for a verifier that the key may not use,
        Unavailable where the means are missing here.
        """
        ...


@dataclass(frozen=True, slots=True)
class Load:
    """How busy a model's server says it is."""

    waiting: float
    """Requests that it has accepted and not begun."""
    running: float
    cache_use: float
    """The share of its key-value cache in use, from 0 to 1."""


class LoadSignals(Protocol):
    """How busy servers are, as of a moment ago."""

    def of(self, upstream: str) -> Load | None:
        """The latest word of a server, at most some seconds old; None where it says nothing. Never blocks."""
        ...
