"""How far estimates from explored traffic are from the truth, on a recorded table that knows every arm's answer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from calibrator.replay.estimate import replay_log
from calibrator.replay.log import Labels, Log
from calibrator.replay.rewards import rewards_of
from calibrator.stats.results import Floats
from calibrator.tables.table import OutcomeTable

_CONFIDENCE: Final = 0.9
_TIERS: Final = ("easy", "medium", "hard")
_EFFORTS: Final = ("low", "medium", "high")
_L, _M, _H = _EFFORTS
_LOGGED: Final = ((_M, _M, _M), (_L, _M, _M), (_L, _M, _H), (_H, _H, _H), (_L, _L, _L))
_REPLAYED: Final = ((_M, _M, _M), (_L, _L, _L), (_H, _H, _H), (_L, _M, _H), (_L, _M, _M), (_L, _L, _M), (_M, _M, _H))


@dataclass(frozen=True, slots=True)
class Contest:
    """A policy that is logged and one that is replayed, each an arm per difficulty; ``explore`` goes to neighbours."""

    logged: tuple[str, str, str]
    replayed: tuple[str, str, str]
    explore: float
    requests: int


@dataclass(frozen=True, slots=True)
class Replays:
    """Over many logs: errors of both estimates, how often the interval held, and what the log amounted to."""

    contest: Contest
    runs: int
    truth: float
    weighted: float
    modelled: float
    """Root mean squared errors."""
    bias: float
    """Of the modelled one."""
    covered: float
    effective_sample_size: float
    doubted: float
    """The share of logs of which it was said that they cannot tell."""

    @property
    def is_doubted(self) -> bool:
        """Whether it was said of most logs."""
        return self.doubted > 0.5


def contests(explore: float, requests: int) -> Iterator[Contest]:
    """Each policy of a few against each other that its exploration reaches, and against itself."""
    for logged in _LOGGED:
        for replayed in _REPLAYED:
            steps = [
                abs(_EFFORTS.index(one) - _EFFORTS.index(other)) for one, other in zip(logged, replayed, strict=True)
            ]
            if max(steps) <= 1:
                yield Contest(logged, replayed, explore, requests)


def measure(table: OutcomeTable, contest: Contest, runs: int, seed: int) -> Replays:
    """Draw requests from the table so many times, answer them under the logged policy, and replay the other."""
    random = np.random.default_rng(seed)
    old, new = chances(table, contest.logged, contest.explore), chances(table, contest.replayed, 0.0)
    truth = float((new[table.cell] * table.scores).sum(axis=1).mean())
    errors: list[tuple[float, float]] = []
    covered = doubted = 0
    size = 0.0
    for _ in range(runs):
        log = draw_log(table, old, new, contest.requests, random)
        found = replay_log(log, rewards_of(log, None), _CONFIDENCE)[0]
        weighted, modelled = found.accuracy.weighted, found.accuracy.modelled
        assert weighted is not None
        assert modelled is not None
        errors.append((weighted.estimate - truth, modelled.estimate - truth))
        covered += modelled.lower <= truth <= modelled.upper
        doubted += bool(found.accuracy.doubts)
        size += found.effective_sample_size / runs
    error = np.array(errors)
    rms = np.sqrt((error**2).mean(axis=0))
    return Replays(
        contest=contest,
        runs=runs,
        truth=truth,
        weighted=float(rms[0]),
        modelled=float(rms[1]),
        bias=float(error[:, 1].mean()),
        covered=covered / runs,
        effective_sample_size=size,
        doubted=doubted / runs,
    )


def chances(table: OutcomeTable, arms: Sequence[str], explore: float) -> Floats:
    """Each cell's chances of every arm, cheapest first: the wanted one, and an even share for its neighbours."""
    order = list(np.argsort(table.costs.mean(axis=0)))
    found = np.zeros((len(table.cells), len(table.arms)))
    for cell, (_, difficulty) in enumerate(table.cells):
        wanted = order.index(table.arm(f"o4-mini:{arms[_TIERS.index(str(difficulty))]}"))
        near = [place for place in (wanted - 1, wanted + 1) if 0 <= place < len(order)]
        found[cell, order[wanted]] = 1 - explore
        for place in near:
            found[cell, order[place]] = explore / len(near)
    return found


def draw_log(table: OutcomeTable, old: Floats, new: Floats, requests: int, random: np.random.Generator) -> Log:
    """A log of so many requests, each an item of the table, answered by an arm that is drawn, and labelled."""
    item = random.integers(len(table.items), size=requests)
    cell = table.cell[item]
    arm = (random.random((requests, 1)) > old[cell].cumsum(axis=1)[:, :-1]).sum(axis=1)
    every = np.arange(requests)
    return Log(
        cells=table.cells,
        arms=table.arms,
        sources=("tests",),
        cell=cell,
        arm=arm,
        old=old,
        old_row=cell,
        new=new,
        new_row=cell,
        cost=table.costs[item, arm],
        latency_s=np.zeros(requests),
        labels=Labels(
            every, np.zeros(requests, np.int64), table.scores[item, arm], np.ones(requests), np.ones(requests)
        ),
        left_out={},
    )
