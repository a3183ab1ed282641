"""Outcomes: how good an answer was, as somebody found out later. Values only.

Without an outcome nothing is known: an answer that nobody judged is neither right nor wrong.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from gateway.domain.identity import id_time
from gateway.errors import InvalidRequest

MOST_SOURCES: Final = 16
"""Outcomes that one key may give a request, each of another source."""
MOST_COMMENT: Final = 2_000
"""Characters."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How good the answer to a request was, in the words of one source. ``score`` is 0 for wrong and 1 for right.

    What the same source of the same key says later takes its place; sources that contradict each other are
    all kept.
    """

    request_id: str
    source: str
    """Who judged: ``user``, ``tests``, … of a client; ``verifier:NAME`` and the like of the calibrator alone."""
    score: float
    at: float
    """Unix seconds: when it was given."""
    key_id: str
    """Of the key that gave it, or ``calibrator``."""
    is_vouched: bool
    """Whether who gave it may speak of anybody's requests; else it counts for requests of its own key."""
    weight: float = 1.0
    """How much it counts beside others, above 0 and up to 1."""
    probability: float | None = None
    """With which the request was chosen to be judged; None where that is not known."""
    comment: str | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.score <= 1:
            raise InvalidRequest("'score' must be a number from 0 to 1", param="score")
        for name, value in (("weight", self.weight), ("probability", self.probability)):
            if value is not None and not 0 < value <= 1:
                raise InvalidRequest(f"'{name}' must be a number above 0 and up to 1", param=name)
        if id_time(self.request_id) is None:
            raise InvalidRequest(
                "'request_id' must be the id of a request, as its answer has it in x-ponder-request-id",
                param="request_id",
            )

    @property
    def begun_at(self) -> float:
        """When its request began, to the millisecond, as the request's id says."""
        begun_at = id_time(self.request_id)
        assert begun_at is not None  # noqa: S101  refused above
        return begun_at
