"""When a vote is decided: rules that say whether more answers are worth drawing.

Each rule turns the standing of a vote into the probability, in its own model, that the leader stays the
leader, and stops at a level. All look after every stage; what repeated looking means is said with each.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Final

from gateway.errors import ConfigurationError


class Stop(StrEnum):
    """A rule by which a vote ends before all of its answers are drawn."""

    NEVER = "never"
    UNBEATABLE = "unbeatable"
    BETA = "beta"
    FORECAST = "forecast"
    CONFORMAL = "conformal"


@dataclass(frozen=True, slots=True)
class Standing:
    """A vote so far: the weight of its leader and of the next, and of all draws, those without an answer included.

    A draw weighs at most 1. ``left`` draws may still come; ``agreed`` have given the leader's answer.
    """

    leader: float
    runner_up: float
    drawn: float
    left: int
    agreed: int

    def after(self, more: int) -> Standing:
        """The vote once so many more draws have agreed with its leader."""
        return Standing(self.leader + more, self.runner_up, self.drawn + more, self.left - more, self.agreed + more)


def unbeatable(standing: Standing) -> float:
    """1 if the draws that are left could not overtake the leader even if all agreed against it, else 0.

    The answer is that of the full vote for certain, however often one looks.
    """
    return float(standing.leader - standing.runner_up > standing.left)


def beta(standing: Standing) -> float:
    """The posterior probability that the leader is more frequent than the next, from a uniform prior.

    Aggarwal et al. 2023 (arXiv 2305.11860), adaptive self-consistency: the counts of the two give a
    Beta posterior of the leader's share of both, and its mass above one half is returned. Looking
    after each draw makes stopping on a false leader likelier than the level says.
    """
    return 1 - incomplete_beta(standing.leader + 1, standing.runner_up + 1)


@lru_cache(maxsize=4096)
def forecast(standing: Standing) -> float:
    """The probability that the leader still leads once all draws are in; a tie counts half.

    The draws that are left follow a Pólya urn (Blackwell and MacQueen 1973) of concentration one half:
    an answer is as likely to come again as it has come, and all that is new goes to the runner-up,
    which errs towards drawing more. Stopping on a predictive probability is the rule of adaptive
    trials (Lee and Liu 2008); since it looks ahead only to the last draw, looking often is harmless
    where the urn is right. With more than a few draws to come the urn's limit is taken, in which the
    two shares are those of a Beta distribution.
    """
    if standing.left > _MOST_FORESEEN:
        return 1 - incomplete_beta(standing.leader, standing.runner_up + _NEW)
    chances = {(0, 0): 1.0}
    for step in range(standing.left):
        total = standing.drawn + step + _NEW
        after: dict[tuple[int, int], float] = {}
        for (won, lost), chance in chances.items():
            wins = (standing.leader + won) / total
            loses = (standing.runner_up + lost + _NEW) / total
            for place, part in (((won + 1, lost), wins), ((won, lost + 1), loses), ((won, lost), 1 - wins - loses)):
                after[place] = after.get(place, 0.0) + chance * part
        chances = after
    return math.fsum(chance * _holds(standing, won, lost) for (won, lost), chance in chances.items())


_NEW: Final = 0.5
_MOST_FORESEEN: Final = 16
_EVEN: Final = 1e-12


def _holds(standing: Standing, won: int, lost: int) -> float:
    ahead = standing.leader + won - standing.runner_up - lost
    return 0.5 if abs(ahead) < _EVEN else float(ahead > 0)


RULES: Final[Mapping[Stop, Callable[[Standing], float]]] = {
    Stop.NEVER: lambda _standing: 0.0,
    Stop.UNBEATABLE: unbeatable,
    Stop.BETA: beta,
    Stop.FORECAST: forecast,
    Stop.CONFORMAL: forecast,
}
"""The probability that each rule compares with its level."""


def is_decided(stop: Stop, standing: Standing, level: float) -> bool:
    """Whether a vote may end. An unbeatable leader ends every vote but one that is never to end early.

    An answer that one draw alone has given decides nothing, however many others gave none.
    """
    if standing.left == 0:
        return True
    if stop is Stop.NEVER or standing.agreed < _LEAST_AGREED or standing.leader <= standing.runner_up:
        return False
    return unbeatable(standing) == 1 or (stop is not Stop.UNBEATABLE and RULES[stop](standing) >= level)


def is_futile(standing: Standing, after: int | None) -> bool:
    """Whether so many draws have come, two at least, and no two agree: hardly a vote, however many more come.

    As the futility stop of adaptive trials (Lee and Liu 2008). It saves on asks that are too hard for the
    model; where right answers are rare but agree, it costs accuracy.
    """
    return after is not None and standing.drawn >= max(after, _LEAST_AGREED) and standing.agreed < _LEAST_AGREED


def draws_needed(stop: Stop, standing: Standing, level: float, futile_after: int | None = None) -> int:
    """The fewest draws that can end a vote: if all agree with its leader they decide it, or it is shown futile."""

    def decides(more: int) -> bool:
        return is_decided(stop, standing.after(more), level)

    if not standing.left:
        return 0
    needed = 1 + bisect_left(range(1, standing.left), True, key=decides)
    if futile_after is None or standing.agreed >= _LEAST_AGREED:
        return needed
    return min(needed, max(1, math.ceil(max(futile_after, _LEAST_AGREED) - standing.drawn)))


def conformal_level(levels: Sequence[float], losses: Sequence[Sequence[float]], target: float) -> float:
    """The lowest of these levels at which the mean loss of a new ask is at most ``target``.

    ``losses[i][j]`` is the loss, from 0 to 1, of calibration ask i had it been stopped at level j;
    levels ascend. Conformal risk control (Angelopoulos et al. 2022, arXiv 2208.02814): a level is
    taken if (sum of losses + 1) / (asks + 1) is at most the target there and at every higher one, each
    loss being taken as the largest at its level or a higher one, since the theorem wants losses that
    do not grow with the level. The guarantee is on average over calibration sets, for asks
    exchangeable with those calibrated on; it is not one for each ask, nor after a shift, and one level
    is chosen once: choosing again on the same asks voids it. Raises ConfigurationError where no level
    meets the target.
    """
    asks = len(losses)
    allowed: float | None = None
    largest = [0.0] * asks
    for place in range(len(levels) - 1, -1, -1):
        largest = [max(before, loss[place]) for before, loss in zip(largest, losses, strict=True)]
        if (math.fsum(largest) + 1) / (asks + 1) > target:
            break
        allowed = levels[place]
    if allowed is None:
        raise ConfigurationError(
            f"no level keeps the error at {target:g} with {asks} asks to calibrate on; "
            f"the least that so many can show is {1 / (asks + 1):.3g}"
        )
    return allowed


def incomplete_beta(a: float, b: float) -> float:
    """The regularised incomplete beta function at one half: the mass of Beta(a, b) below it.

    By the continued fraction of Lentz (Numerical Recipes, 6.4), on the side where it converges fast.
    """
    if a < b:
        return 1 - incomplete_beta(b, a)
    front = math.exp(math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) - (a + b) * math.log(2)) / a
    return front * _continued_fraction(a, b, 0.5)


_LEAST_AGREED: Final = 2
_TINY: Final = 1e-300
_TERMS: Final = 200


def _continued_fraction(a: float, b: float, x: float) -> float:
    c, d = 1.0, 1 / _off_zero(1 - (a + b) * x / (a + 1))
    value = d
    for m in range(1, _TERMS):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        step = 1.0
        for term in (even, odd):
            d = 1 / _off_zero(1 + term * d)
            c = _off_zero(1 + term / c)
            step = c * d
            value *= step
        if abs(step - 1) < 1e-14:  # noqa: PLR2004 - the precision of a float
            break
    return value


def _off_zero(value: float) -> float:
    return value if abs(value) > _TINY else _TINY
