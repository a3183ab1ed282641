"""Learning how long each arm takes from the calls it makes, in bounded memory.

A call is noted in a list and folded into t-digests later, in batches: into one for its own bucket and
into those of the wider buckets that hold it. What was measured fades by half every hour, but never
below the samples that a bucket needs: until there are newer ones, old knowledge is better than none.

Each process learns for itself, from its own calls, and at its start from the latest requests in the
database. There is no file of it: the log of requests is the truth already, and a new replica that
reads it starts as wise as its peers.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from types import MappingProxyType
from typing import Final, TypeAlias

from fastdigest import TDigest

from gateway.domain.latency import (
    ANY,
    ENOUGH_SAMPLES,
    NOTHING_KNOWN,
    Bucket,
    Latencies,
    Latency,
    Timing,
    UsualTokens,
    load_bucket,
    output_bucket,
    prompt_bucket,
)
from gateway.ports import Clock

HALF_LIFE_S: Final = 3600.0
FORGOTTEN_S: Final = 7 * 86_400.0
"""A bucket that no call fell into for so long is forgotten."""
REFRESH_S: Final = 1.0
MOST_CELLS: Final = 1024
"""Buckets over all arms, some 7 KB each; the one least recently used makes room."""

_FOLD_AT = 2048
"""Where nobody asks for a snapshot; otherwise each second is folded at once, which costs least per call."""
_CENTROIDS = 48
_QUANTILES = (0.5, 0.95)

_Sample: TypeAlias = tuple[float | None, float, int, int]
"""Seconds to the first byte and in all; tokens of the answer, and of thinking among them."""


class LatencyLearner:
    """What this process knows of its arms' speed. Used in one event loop."""

    def __init__(self, clock: Clock, *, most_cells: int = MOST_CELLS) -> None:
        self._clock = clock
        self._most_cells = most_cells
        self._pending: dict[tuple[str, int, int, int | None], list[_Sample]] = {}
        self._pending_count = 0
        # In the order of their last use, the stalest first.
        self._cells: OrderedDict[tuple[str, Bucket], _Cell] = OrderedDict()
        self._tokens: dict[str, _Tokens] = {}
        self._changed: set[tuple[str, Bucket]] = set()
        self._known: dict[tuple[str, Bucket], Latency] = {}
        self._latest = NOTHING_KNOWN
        self._due = 0.0

    def note(
        self,
        arm: str,
        *,
        prompt_tokens: int,
        output_tokens: int,
        thinking_tokens: int,
        load: int | None,
        first_byte_s: float | None,
        total_s: float,
    ) -> None:
        """Take in how one request was answered by an arm; ``load`` is the calls under way, None if not known.

        ``arm`` is the name given by :func:`gateway.domain.latency.measured_as`.
        Requests that were given up for taking too long belong here too, with the time they had: to
        leave them out would make slow arms look fast.
        """
        key = (arm, prompt_bucket(prompt_tokens), output_bucket(output_tokens), _bucket_of(load))
        sample = (first_byte_s, total_s, output_tokens, thinking_tokens)
        pending = self._pending.get(key)
        if pending is None:
            self._pending[key] = [sample]
        else:
            pending.append(sample)
        self._pending_count += 1
        if self._pending_count >= _FOLD_AT:
            self._fold()

    def learn(self, history: Iterable[Timing]) -> None:
        """Take in what the log of requests tells, the oldest first."""
        for timing in history:
            self.note(
                timing.arm,
                prompt_tokens=timing.prompt_tokens,
                output_tokens=timing.output_tokens,
                thinking_tokens=timing.thinking_tokens,
                load=None,
                first_byte_s=timing.first_byte_s,
                total_s=timing.total_s,
            )

    def snapshot(self) -> Latencies:
        """What is known, a second ago at most."""
        now = self._clock.monotonic()
        if now >= self._due:
            self._due = now + REFRESH_S
            self._fold()
            if self._changed:
                self._refresh()
        return self._latest

    def _fold(self) -> None:
        now = self._clock.monotonic()
        pending, self._pending, self._pending_count = self._pending, {}, 0
        batches: dict[tuple[str, Bucket], list[_Sample]] = {}
        for (arm, prompt, output, load), samples in pending.items():
            for bucket in _holding(prompt, output, load):
                batches.setdefault((arm, bucket), []).extend(samples)
        for key, batch in batches.items():
            cell = self._cells.get(key)
            if cell is None:
                cell = self._cells[key] = _Cell(now)
            cell.add(batch, now)
            self._cells.move_to_end(key)
            if key[1] == ANY:
                self._tokens.setdefault(key[0], _Tokens(now)).add(batch, now)
        self._changed.update(batches)
        self._forget(now)

    def _forget(self, now: float) -> None:
        while self._cells:
            key, stalest = next(iter(self._cells.items()))
            if len(self._cells) <= self._most_cells and now - stalest.used_at < FORGOTTEN_S:
                return
            del self._cells[key]
            self._known.pop(key, None)
            self._changed.discard(key)
            if key[1] == ANY:
                del self._tokens[key[0]]

    def _refresh(self) -> None:
        for key in self._changed:
            self._known[key] = self._cells[key].latency()
        self._changed.clear()
        tokens = {arm: each.usual() for arm, each in self._tokens.items()}
        self._latest = Latencies(
            MappingProxyType(self._known.copy()),
            MappingProxyType(tokens),
            slowest_p95_s=max([each.total_p95_s for each in self._known.values()], default=0.0),
        )


class _Cell:
    """The calls of one arm and bucket."""

    __slots__ = ("_faded_at", "_first_byte", "_total", "used_at")

    def __init__(self, now: float) -> None:
        self._total = TDigest(_CENTROIDS)
        self._first_byte: TDigest | None = None
        self._faded_at = self.used_at = now

    def add(self, samples: list[_Sample], now: float) -> None:
        halvings = int((now - self._faded_at) // HALF_LIFE_S)
        if halvings:
            self._faded_at += halvings * HALF_LIFE_S
            self._total = _faded(self._total, halvings)
            if self._first_byte is not None:
                self._first_byte = _faded(self._first_byte, halvings)
        self.used_at = now
        self._total.batch_update([each[1] for each in samples])
        first_bytes = [each[0] for each in samples if each[0] is not None]
        if first_bytes:
            if self._first_byte is None:
                self._first_byte = TDigest(_CENTROIDS)
            self._first_byte.batch_update(first_bytes)

    def latency(self) -> Latency:
        median, most = self._total.quantile_vec(_QUANTILES)
        first = (None, None) if self._first_byte is None else self._first_byte.quantile_vec(_QUANTILES)
        return Latency(median, most, first[0], first[1], self._total.mass())


class _Tokens:
    """What the answers of one arm used."""

    __slots__ = ("_count", "_faded_at", "_output", "_thinking")

    def __init__(self, now: float) -> None:
        self._count = self._output = self._thinking = 0.0
        self._faded_at = now

    def add(self, samples: list[_Sample], now: float) -> None:
        halvings = int((now - self._faded_at) // HALF_LIFE_S)
        if halvings:
            self._faded_at += halvings * HALF_LIFE_S
            share = _kept_share(self._count, halvings)
            self._count *= share
            self._output *= share
            self._thinking *= share
        self._count += len(samples)
        self._output += sum([each[2] for each in samples])
        self._thinking += sum([each[3] for each in samples])

    def usual(self) -> UsualTokens:
        return UsualTokens(self._output / self._count, self._thinking / self._count, self._count)


def _faded(digest: TDigest, halvings: int) -> TDigest:
    share = _kept_share(digest.mass(), halvings)
    if share == 1:
        return digest
    means, weights = zip(*digest.centroids, strict=True)
    return TDigest.from_values(means, [share * weight for weight in weights], max_centroids=_CENTROIDS)


def _kept_share(samples: float, halvings: int) -> float:
    """The share that is left after so many half-lives; never so little that too few samples would be left."""
    if samples <= ENOUGH_SAMPLES:
        return 1.0
    return max(0.5**halvings, ENOUGH_SAMPLES / samples)


def _bucket_of(load: int | None) -> int | None:
    return None if load is None else load_bucket(load)


def _holding(prompt: int, output: int, load: int | None) -> Iterator[Bucket]:
    """The buckets that hold a call, those that :meth:`Latencies.find` looks into; the widest is the last to go."""
    if load is not None:
        yield Bucket(prompt, output, load)
        yield Bucket(prompt, None, load)
        yield Bucket(load=load)
    yield Bucket(prompt, output)
    yield Bucket(prompt)
    yield ANY
