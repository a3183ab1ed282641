"""``ponder policy replay``: what a policy would have cost, taken and got right on logged traffic."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import Any, Final

import click

from calibrator.commands.moments import Moment
from calibrator.commands.progress import counted
from calibrator.commands.stored import database, run
from calibrator.replay.estimate import Measure, Replayed, replay_log
from calibrator.replay.log import Log
from calibrator.replay.reading import Follower, read_log
from calibrator.replay.rewards import Rewards, rewards_of
from calibrator.stats.off_policy import OffPolicyEstimate
from calibrator.stats.results import Interval
from gateway.commands.output import json_option, print_json, print_rows
from gateway.commands.policy_sources import source
from gateway.domain.profile import Profile
from gateway.errors import NotFound
from gateway.store.changes import Changes
from gateway.store.logged import LoggedPeriod
from gateway.store.profiles import Profiles
from gateway.store.rollouts import Rollouts

_REACH: Final = "the chances on record are those the arms were drawn with, and requests do not depend on each other"
_WORLD: Final = "every model is as well and as quick as the policy hopes: what was known of that then is not on record"
_AT_RANDOM: Final = (
    "of {count:,} labels nobody said with what probability their request was chosen; it is taken that among the "
    "answers of an arm in a category, those judged were chosen without regard to how good they are"
)
_LATE: Final = "labels that are still to come are like those that came"


@click.command()
@click.argument("name", metavar="NEW")
@click.option("--since", type=Moment(), default="7d", show_default=True, help="From when on: a time ago, or a date.")
@click.option("--until", type=Moment(), help="Until when, this moment excluded; until now, if left out.")
@click.option("--policy", help="Only what this policy decided; else what any did.")
@click.option("--profile", type=click.IntRange(0), help="Follow this version; 0 for none; else the one in force.")
@click.option("--reward-source", help="Take right and wrong from this source of outcomes alone, such as user.")
@click.option(
    "--confidence", type=click.FloatRange(0, 1, min_open=True, max_open=True), default=0.9, show_default=True,
    help="Of the intervals.",
)  # fmt: skip
@json_option
def replay(
    *,
    name: str,
    since: float,
    until: float | None,
    policy: str | None,
    profile: int | None,
    reward_source: str | None,
    confidence: float,
    as_json: bool,
) -> None:
    """Estimate accuracy, cost and latency of policy NEW, by name or file, from what others decided and drew.

    Overall and by category, with intervals, the effective sample size, and what the log cannot tell. It ranks and
    vetoes; `ponder calibrate` certifies.
    """
    period = LoggedPeriod(since, time.time() if until is None else until, policy)
    log, follower = run(_read(name, period, profile))
    if reward_source is not None and reward_source not in log.sources:
        known = ", ".join(sorted(log.sources)) or "none at all"
        raise NotFound(f"no outcome of source {reward_source!r} is on record for these requests; there is {known}")
    rewards = rewards_of(log, reward_source)
    found = replay_log(log, rewards, confidence)
    version = None if follower.profile is None or follower.profile.current is None else follower.profile.current.number
    said = _document(name, version, log, rewards, found)
    if as_json:
        print_json(said)
    else:
        _print(said)


async def _read(name: str, period: LoggedPeriod, number: int | None) -> tuple[Log, Follower]:
    changes = Changes(database())
    try:
        follower = Follower(name, await _profile(changes, source(name).name, number))
    finally:
        await changes.close()
    with counted(None, "decisions") as advance:
        return await read_log(database(), period, follower, advance), follower


async def _profile(changes: Changes, policy: str, number: int | None) -> Profile | None:
    """The version that is asked for, or the one in force and not expired."""
    if number is None:
        number = (await Rollouts(changes).find(policy)).number
    if not number:
        return None
    version = (await Profiles(changes).find(policy, number)).version()
    return None if version.expires_at <= time.time() else Profile(policy, version)


def _document(name: str, version: int | None, log: Log, rewards: Rewards, found: Sequence[Replayed]) -> dict[str, Any]:
    unknown = rewards.without_probability
    assumptions = [_REACH, _WORLD, *([_LATE] if rewards.labelled else [])]
    return {
        "policy": name,
        "profile_version": version,
        "decisions": int(log.cell.size),
        "labelled": rewards.labelled,
        "sources": list(log.sources),
        "left_out": dict(log.left_out),
        "assumptions": assumptions + ([_AT_RANDOM.format(count=unknown)] if unknown else []),
        "overall": _scope(found[0]),
        "categories": [{"category": each.category, **_scope(each)} for each in found[1:]],
    }


def _scope(found: Replayed) -> dict[str, Any]:
    return {
        "decisions": found.decisions,
        "moved": found.moved,
        "effective_sample_size": found.effective_sample_size,
        "mean_weight": found.mean_weight,
        "out_of_reach": dict(found.out_of_reach),
        "accuracy": _measured(found.accuracy, 0.0, 1.0),
        "cost_usd": _measured(found.cost_usd, 0.0, math.inf),
        "latency_s": _measured(found.latency_s, 0.0, math.inf),
    }


def _measured(found: Measure, low: float, high: float) -> dict[str, Any]:
    """A quantity; ``estimate`` is the modelled one, and its ends are kept to what can be."""
    weighted = found.weighted
    return {
        "can_tell": not found.doubts,
        "doubts": list(found.doubts),
        "known": found.known,
        "logged": _ends(found.logged, low, high),
        "estimate": _ends(found.modelled, low, high),
        "weighted": _ends(weighted, low, high),
        "change": _ends(found.change, -math.inf, math.inf),
        "effective_sample_size": 0.0 if weighted is None else weighted.effective_sample_size,
    }


def _ends(found: Interval | OffPolicyEstimate | None, low: float, high: float) -> dict[str, float] | None:
    if found is None:
        return None
    kept = (min(max(value, low), high) for value in (found.estimate, found.lower, found.upper))
    return {**dict(zip(("mean", "lower", "upper"), kept, strict=True)), "confidence": found.confidence}


def _print(said: dict[str, Any]) -> None:
    followed = "without a profile" if said["profile_version"] is None else f"with profile {said['profile_version']}"
    click.echo(f"{said['policy']}, {followed}, on {said['decisions']:,} decisions, {said['labelled']:,} of them judged")
    left_out = [f"{count:,} {reason}" for reason, count in said["left_out"].items() if count]
    if left_out:
        click.echo(f"left out: {', '.join(left_out)}")
    click.echo()
    rows = [_row("all", said["overall"]), *(_row(each["category"], each) for each in said["categories"])]
    print_rows(tuple(rows[0]), rows)
    click.echo("\nIn brackets what was logged. A question mark: the log cannot tell.")
    for name, scope in (("all", said["overall"]), *((each["category"], each) for each in said["categories"])):
        doubts = [doubt for quantity in ("accuracy", "cost_usd", "latency_s") for doubt in scope[quantity]["doubts"]]
        for doubt in dict.fromkeys(doubts):
            click.echo(f"{name}: {doubt}")
    click.echo("Taken for granted: " + "; ".join(said["assumptions"]) + ".")


def _row(name: str, scope: dict[str, Any]) -> dict[str, str]:
    return {
        "category": name,
        "decisions": f"{scope['decisions']:,}",
        "moved": f"{scope['moved']:.1%}",
        "effective": f"{scope['effective_sample_size']:,.0f}",
        "accuracy": _cell(scope["accuracy"], "{:.1%}"),
        "cost, $": _cell(scope["cost_usd"], "{:.4g}"),
        "latency, s": _cell(scope["latency_s"], "{:.3g}"),
    }


def _cell(measured: dict[str, Any], form: str) -> str:
    found, logged = measured["estimate"], measured["logged"]
    if found is None or logged is None:
        return "?"
    mean, lower, upper = (form.format(found[name]) for name in ("mean", "lower", "upper"))
    doubt = "" if measured["can_tell"] else " ?"
    return f"{mean} ({lower} to {upper}){doubt} [{form.format(logged['mean'])}]"
