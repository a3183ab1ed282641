"""From what was kept to the figures of the report, stage by stage, and the targets that they are judged by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from statistics import fmean, median
from typing import Any, Final

from tests.bench_search import arms
from tests.bench_search.adaptive import of_mix
from tests.bench_search.attempts import Attempt
from tests.bench_search.figures import (
    Estimate,
    Totals,
    at_random,
    difference,
    matched_multiplier,
    mean_totals,
    oracle,
    pick_on_halves,
    ratio,
    share,
    totals,
    work,
)
from tests.bench_search.run import OPERATIONS, Run, problems

SHARES: Final = (0.16, 0.79, 16.0)
"""Tokens of inference for each token of training: the values of Snell et al."""
_FAILED: Final = 200


@dataclass(frozen=True, slots=True)
class Row:
    """One arm at one difficulty."""

    arm: str
    attempts: Sequence[Attempt]
    accuracy: Estimate
    tokens: Totals
    multiple: float
    """Work beside that of greedy on the same problems."""
    wall_s: float
    oracle: float
    random: float
    failed: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """One target: what was asked for, what was measured, and whether that is enough."""

    name: str
    target: str
    measured: str
    is_met: bool


@dataclass(frozen=True, slots=True)
class Matched:
    """A small model with search beside a large one, at equal work."""

    operations: int
    inference_share: float
    allowed: float
    arms: tuple[str, ...]
    small: Estimate
    large: Estimate
    gain: Estimate


def table(run: Run) -> dict[int, list[Row]]:
    """The rows of each difficulty that was measured, greedy first."""
    found: dict[int, list[Row]] = {}
    for operations in OPERATIONS:
        rows = []
        greedy = of_cell(run, "greedy", operations)
        for arm in arms.TABLE:
            attempts = of_cell(run, arm, operations)
            if attempts and len(greedy) >= len(attempts):
                rows.append(_row(run, arm, attempts, greedy[: len(attempts)]))
        if rows:
            found[operations] = rows
    return found


def of_cell(run: Run, arm: str, operations: int) -> list[Attempt]:
    """An arm's attempts at the test problems of one difficulty: the first ones, as many as were made without a gap."""
    setting = arms.setting(arm, run.bed.weights)
    keys = [(setting, arm, each.question) for each in problems("test", operations, run.problems)]
    return [run.kept.attempts[key] for key in takewhile(run.kept.attempts.__contains__, keys)]


def _row(run: Run, arm: str, attempts: Sequence[Attempt], greedy: Sequence[Attempt]) -> Row:
    sizes = run.bed.sizes
    return Row(
        arm=arm,
        attempts=attempts,
        accuracy=share([each.is_right for each in attempts]),
        tokens=mean_totals(attempts),
        multiple=sum(work(each, sizes) for each in attempts) / sum(work(each, sizes) for each in greedy),
        wall_s=fmean(each.wall_s for each in attempts),
        oracle=oracle(attempts),
        random=at_random(attempts),
        failed=sum(each.status != _FAILED for each in attempts),
    )


def outdone(rows: Sequence[Row]) -> list[str]:
    """The arms than which a cheaper one was right more often, or as often."""
    return [
        row.arm
        for row in rows
        if any(
            other.multiple < row.multiple and other.accuracy.value >= row.accuracy.value
            for other in rows
            if other is not row
        )
    ]


VOTES: Final[Mapping[str, tuple[str, str]]] = {
    "the small model": ("vote 8", "majority of 8"),
    "the small model, giving up after 4 that all disagree": ("vote 8, gives up", "majority of 8"),
    "the large model": ("large, vote 8", "large, majority of 8"),
}
"""The rows of adaptive votes, and of what each is compared with."""


def voting(rows: Mapping[int, Sequence[Row]], name: str) -> tuple[Estimate, Estimate] | None:
    """Adaptive voting beside the majority of 8, over all difficulties: points of accuracy, and the share of tokens."""
    adaptive, full = VOTES[name]
    one: list[Attempt] = []
    other: list[Attempt] = []
    for each in rows.values():
        by_arm = {row.arm: row.attempts for row in each}
        for left, right in zip(by_arm.get(adaptive, ()), by_arm.get(full, ()), strict=False):
            one.append(left)
            other.append(right)
    if not one:
        return None
    return _points(one, other), ratio([totals(each).written for each in one], [totals(each).written for each in other])


def _over_all(rows: Mapping[int, Sequence[Row]]) -> dict[str, list[Attempt]]:
    found: dict[str, list[Attempt]] = {}
    for each in rows.values():
        for row in each:
            found.setdefault(row.arm, []).extend(row.attempts)
    return found


def _points(one: Sequence[Attempt], other: Sequence[Attempt]) -> Estimate:
    return difference([100 * each.is_right for each in one], [100 * each.is_right for each in other])


@dataclass(frozen=True, slots=True)
class Allocated:
    """One way to allocate, beside uniform best-of-N on the same mix."""

    kind: str
    accuracy: Estimate
    tokens: Totals
    points: Estimate
    token_share: Estimate


def allocated(run: Run, tuned: Mapping[str, Any]) -> tuple[Allocated, list[Allocated]]:
    """Uniform best-of-N, and the adaptive ones beside it."""
    name = arms.UNIFORM[tuned["uniform"]]
    sizes = tuned["sizes"]
    uniform = of_mix(run, name, arms.setting(name, run.bed.weights), sizes)
    ways = [
        _allocated(kind, of_mix(run, f"adaptive, {kind}", found["setting"], sizes), uniform)
        for kind, found in tuned["kinds"].items()
    ]
    return _allocated("uniform", uniform, uniform), ways


def _allocated(kind: str, attempts: Sequence[Attempt], uniform: Sequence[Attempt]) -> Allocated:
    return Allocated(
        kind,
        share([each.is_right for each in attempts]),
        mean_totals(attempts),
        _points(attempts, uniform),
        ratio([totals(each).both for each in attempts], [totals(each).both for each in uniform]),
    )


def matched(run: Run, rows: Mapping[int, Sequence[Row]]) -> list[Matched]:
    """The small model with the best search that the large one's work allows, beside the large one."""
    found = []
    for operations, each in rows.items():
        by_arm = {row.arm: row for row in each}
        large = by_arm.get("large")
        if large is None:
            continue
        small = {row.arm: row for row in each if all("large" not in one.uses for one in row.attempts)}
        size_ratio = run.bed.sizes["large"] / run.bed.sizes["small"]
        for inference_share in SHARES:
            allowed = matched_multiplier(size_ratio, inference_share)
            able = [row for row in small.values() if row.multiple <= allowed]
            count = min(len(row.attempts) for row in (large, *able))
            right = {row.arm: [one.is_right for one in row.attempts[:count]] for row in able}
            picked, hits = pick_on_halves(right)
            hits_of_large = [one.is_right for one in large.attempts[:count]]
            gain = difference([100 * hit for hit in hits], [100 * hit for hit in hits_of_large])
            found.append(Matched(operations, inference_share, allowed, picked, share(hits), share(hits_of_large), gain))
    return found


def cache_shares(rows: Mapping[int, Sequence[Row]]) -> dict[str, float]:
    """The share of whole prompt blocks, seen before in the same search, that were read from the prefix cache."""
    found = {}
    for arm, attempts in _over_all(rows).items():
        cacheable = sum(each.cacheable for each in attempts)
        if arm in ("best of 16", "beam 4 × 4", "DVTS 16 / 4", "MCTS 50") and cacheable:
            found[arm] = sum(each.from_cache for each in attempts) / cacheable
    return found


def driver_ratio(driver: Mapping[str, Any]) -> Estimate:
    """Tokens per second through the search beside the bare generator's, over the rounds."""
    return ratio([each["search"] for each in driver["rounds"]], [each["bare"] for each in driver["rounds"]])


def verdicts(run: Run, rows: Mapping[int, Sequence[Row]], stages: Mapping[str, Any]) -> list[Verdict]:
    """Every target that was measured."""
    judged: list[Verdict] = []
    if "adaptive" in stages:
        for each in allocated(run, stages["adaptive"])[1]:
            name = f"adaptive allocation, difficulty {each.kind}: tokens beside uniform best-of-N at equal accuracy"
            said = f"{show(each.token_share)}, {signed(each.points)} points"
            judged.append(Verdict(name, "≤ 0.30", said, each.token_share.value <= 0.3 and each.points.high >= 0))
    for voter in VOTES:
        votes = voting(rows, voter)
        if votes is not None:
            points, tokens = votes
            said = f"{show(tokens)}, {signed(points)} points"
            met = tokens.value <= 0.45 and points.value >= -0.5
            name = f"adaptive voting of {voter}, beside its majority of 8: tokens"
            judged.append(Verdict(name, "≤ 0.45 at ≥ −0.5 points", said, met))
    if "driver" in stages:
        speed, gone = driver_ratio(stages["driver"]), stages["driver"]["gone_ms"]
        judged.append(Verdict("tokens/s beside a bare load generator", "≥ 0.95", show(speed), speed.value >= 0.95))
        said = f"median {median(gone):.0f} ms, most {max(gone):.0f} ms"
        judged.append(Verdict("a client has left: its draws are gone", "≤ 150 ms", said, max(gone) <= 150))
    for arm, read in cache_shares(rows).items():
        judged.append(Verdict(f"prompt blocks from the prefix cache, {arm}", "≥ 95%", f"{read:.1%}", read >= 0.95))
    return judged


def show(each: Estimate) -> str:
    """A ratio with its interval."""
    return f"{each.value:.2f} ({each.low:.2f} to {each.high:.2f})"


def signed(each: Estimate) -> str:
    """A difference with its interval."""
    return f"{each.value:+.1f} ({each.low:+.1f} to {each.high:+.1f})".replace("-", "−")


def percent(each: Estimate) -> str:
    """A share with its interval."""
    return f"{100 * each.value:.1f} ({100 * each.low:.0f}–{100 * each.high:.0f})"
