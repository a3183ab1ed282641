"""How long arms take, as it was measured: what a deadline is held against."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

ENOUGH_SAMPLES = 20
"""With fewer samples a bucket's 95th percentile is mostly its maximum; a wider bucket speaks for it."""

_LEAST_PROMPT_BITS = 8
_MOST_PROMPT_BITS = 18
_LEAST_OUTPUT_BITS = 6
_MOST_OUTPUT_BITS = 15


class Bucket(NamedTuple):
    """Calls of about the same size under about the same load; None stands for any.

    ``prompt`` grows by one with every fourfold of prompt tokens (up to 256, to 1,024, … more than
    65,536), ``output`` with every doubling of output tokens (up to 64, to 128, … more than 16,384),
    ``load`` with every fourfold of calls under way (up to 1, to 4, to 16, …).
    """

    prompt: int | None = None
    output: int | None = None
    load: int | None = None


ANY = Bucket()


def prompt_bucket(tokens: int) -> int:
    """The bucket of a prompt of so many tokens."""
    return (min(max((max(tokens, 1) - 1).bit_length(), _LEAST_PROMPT_BITS), _MOST_PROMPT_BITS) + 1) // 2


def output_bucket(tokens: int) -> int:
    """The bucket of an answer of so many tokens, thinking included."""
    return min(max((max(tokens, 1) - 1).bit_length(), _LEAST_OUTPUT_BITS), _MOST_OUTPUT_BITS)


def load_bucket(calls: int) -> int:
    """The bucket of so many calls under way, the one in question included."""
    return ((calls - 1).bit_length() + 1) // 2 if calls > 1 else 0


def measured_as(policy: str | None, arm: str) -> str:
    """The name that an arm's calls are noted under: arms of two policies are two, be their names the same.

    A model that requests name themselves is an arm of no policy.
    """
    return arm if policy is None else f"{policy}\n{arm}"


@dataclass(frozen=True, slots=True)
class Timing:
    """How long a past request took, and what it used; ``first_byte_s`` is None for one that was not streamed.

    ``arm`` is the name given by :func:`measured_as`.
    """

    arm: str
    prompt_tokens: int
    output_tokens: int
    thinking_tokens: int
    first_byte_s: float | None
    total_s: float


@dataclass(frozen=True, slots=True)
class Latency:
    """Seconds from a call's start: half of the calls took at most ``p50``, all but a twentieth ``p95``.

    ``first_byte_*`` are None where no call was streamed. ``samples`` is how many calls this rests on;
    those that have faded count in part.
    """

    total_p50_s: float
    total_p95_s: float
    first_byte_p50_s: float | None
    first_byte_p95_s: float | None
    samples: float


@dataclass(frozen=True, slots=True)
class UsualTokens:
    """What an arm's answers have used lately, on average; thinking is part of ``output``."""

    output: float
    thinking: float
    samples: float


@dataclass(frozen=True, slots=True)
class Latencies:
    """What is known of all arms, a second ago at most. ``policy`` is the one whose arms are asked for."""

    by_bucket: Mapping[tuple[str, Bucket], Latency]
    tokens: Mapping[str, UsualTokens]
    policy: str | None = None
    slowest_p95_s: float = math.inf
    """No arm of any policy has a bucket with a longer one: a deadline that is as long need not be held against each."""

    def of(self, policy: str | None) -> Latencies:
        """The same, to be asked for this policy's arms."""
        return Latencies(self.by_bucket, self.tokens, policy, self.slowest_p95_s)

    def usual_tokens(self, arm: str) -> UsualTokens | None:
        """What this arm's answers use on average; None where nothing is known of the arm."""
        return self.tokens.get(measured_as(self.policy, arm))

    def find(
        self, arm: str, *, prompt_tokens: int, output_tokens_at_most: int | None = None, calls_under_way: int = 1
    ) -> Latency | None:
        """How long this arm takes for an ask of this size; None where nothing is known of the arm.

        The narrowest bucket with enough samples speaks, then its neighbours, then wider ones, and at
        last the arm as a whole, however few its samples. An output limit can only shorten an answer,
        so it counts where answers of that length are known and are faster than the arm's usual ones.
        """
        arm = measured_as(self.policy, arm)
        prompt, load = prompt_bucket(prompt_tokens), load_bucket(calls_under_way)
        usual = self._first(arm, _widening(prompt, load)) or self.by_bucket.get((arm, ANY))
        if usual is None or output_tokens_at_most is None:
            return usual
        limited = self._first(arm, _limited(prompt, output_bucket(output_tokens_at_most), load))
        return limited if limited is not None and limited.total_p95_s < usual.total_p95_s else usual

    def _first(self, arm: str, buckets: Iterator[Bucket]) -> Latency | None:
        for bucket in buckets:
            known = self.by_bucket.get((arm, bucket))
            if known is not None and known.samples >= ENOUGH_SAMPLES:
                return known
        return None


NOTHING_KNOWN = Latencies(MappingProxyType({}), MappingProxyType({}), slowest_p95_s=0.0)


def _widening(prompt: int, load: int) -> Iterator[Bucket]:
    """From the narrowest bucket to wider ones; of two neighbours the slower first, to err on the safe side."""
    yield Bucket(prompt, None, load)
    yield Bucket(prompt, None, load + 1)
    yield Bucket(prompt)
    yield Bucket(prompt + 1)
    yield Bucket(prompt - 1)
    yield Bucket(load=load)


def _limited(prompt: int, output: int, load: int) -> Iterator[Bucket]:
    """Buckets whose answers are at least as long as the limit allows; a shorter neighbour would promise too much."""
    yield Bucket(prompt, output, load)
    yield Bucket(prompt, output)
    yield Bucket(prompt, output + 1)
    yield Bucket(prompt + 1, output)
