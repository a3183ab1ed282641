"""From what a server answers to scores; what is no number, or not the number of numbers asked for, is refused."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

from gateway.errors import UpstreamFailed

_SLACK: Final = 1e-3
"""Half-precision probabilities that add up to one may exceed it by this much."""
_MOST: Final = 1e30
_YES_OF_TWO: Final = {1: 0, 2: 1}
"""Which class is the right one where nobody says: the only one, or the second of two."""


def items(answer: Mapping[str, Any], key: str, count: int) -> list[Mapping[str, Any]]:
    """The ``count`` objects of a list, in the order of their ``index``. Raises UpstreamFailed."""
    found = answer.get(key)
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        raise UpstreamFailed(
            f"the answer has no list of objects under {key!r}; is the server vLLM, and the model right?"
        )
    if len(found) != count:
        raise UpstreamFailed(f"{count} texts were asked about, and {len(found)} answered")
    places = [each.get("index") for each in found]
    if sorted(place for place in places if type(place) is int) != list(range(count)):
        raise UpstreamFailed("the parts of the answer are not numbered from 0 on")
    return sorted(found, key=lambda each: int(each["index"]))


def row(value: object) -> tuple[float, ...]:
    """The numbers of one row of classes. Raises UpstreamFailed."""
    numbers = value if isinstance(value, list) else [value]
    if not numbers or not all(_is_number(each) for each in numbers):
        raise UpstreamFailed("the model's answer holds scores that are no numbers")
    return tuple(map(float, numbers))


def of_class(numbers: Sequence[float], label: int | None, *, is_logit: bool) -> float:
    """The score of one class: its probability, or its log-odds against the others. Raises UpstreamFailed."""
    place = _YES_OF_TWO.get(len(numbers)) if label is None else label
    if place is None or place >= len(numbers):
        raise UpstreamFailed(
            f"the model tells {len(numbers)} classes apart; set label to the one that means right, "
            f"from 0 to {len(numbers) - 1}"
        )
    if not is_logit:
        return probability(numbers[place])
    others = [number for each, number in enumerate(numbers) if each != place]
    return numbers[place] - _log_sum(others) if others else numbers[place]


def probability(number: float) -> float:
    """A number that is one, cut to the range from 0 to 1. Raises UpstreamFailed for one far outside."""
    if not -_SLACK <= number <= 1 + _SLACK:
        raise UpstreamFailed("the model gives scores beyond 0 to 1; set scale: logit")
    return min(1.0, max(0.0, number))


def log_odds(likely: object, yes: str, no: str) -> float | None:
    """How likely one token is against another, as a logarithm, by a server's list of likely tokens.

    Tokens are compared without blanks around them, and whatever their case. One that is not listed counts
    as likely as the least likely one that is, which it is at most. None where neither is listed.
    """
    if not isinstance(likely, Mapping):
        return None
    listed = {token: float(each) for token, each in likely.items() if _is_number(each)}
    sums = [_log_sum([each for token, each in listed.items() if same(token, name)]) for name in (yes, no)]
    if all(each == -math.inf for each in sums):
        return None
    least = min(listed.values())
    right, wrong = (least if each == -math.inf else each for each in sums)
    return right - wrong


def same(token: str, word: str) -> bool:
    """Whether a token is this word."""
    return token.strip().casefold() == word.strip().casefold()


def _log_sum(numbers: Sequence[float]) -> float:
    most = max(numbers, default=-math.inf)
    return most if math.isinf(most) else most + math.log(math.fsum(math.exp(each - most) for each in numbers))


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and -_MOST < value < _MOST
