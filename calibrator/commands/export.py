"""``ponder export``: verified traces as JSONL that TRL's trainers load."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import click

from calibrator.commands.moments import Moment
from calibrator.commands.progress import counted
from calibrator.commands.stored import database, day, run
from calibrator.export.rows import Row, Thoughts, Wanted, grpo_rows, labelled_rows, prm_rows, sft_rows
from calibrator.export.trace import Trace, read_trace
from calibrator.export.writing import SetWriter
from calibrator.prm.labels import read_chains
from gateway.commands.output import json_option, print_json
from gateway.errors import NotFound
from gateway.store.connections import Connections
from gateway.store.logged import LoggedPeriod
from gateway.store.traces import Traces

_Command = TypeVar("_Command", bound=Callable[..., Any])
_Rows: TypeAlias = Callable[[Trace, Wanted], Iterator[Row]]
_SHARE = click.FloatRange(0, 1)
_OUT = click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), required=True,
    help="The folder for train.jsonl, test.jsonl and export.json; those of an earlier run are replaced at the end.",
)  # fmt: skip
_TEST_SHARE = click.option(
    "--test-share", type=click.FloatRange(0, 1, max_open=True), default=0.1, show_default=True,
    help="Of the items, chosen by a digest of each: the same in every set.",
)  # fmt: skip
_PERIOD = (
    click.option("--since", type=Moment(), default="30d", show_default=True, help="A time ago, or a date."),
    click.option("--until", type=Moment(), help="Until when, this moment excluded; until now, if left out."),
    click.option("--policy", help="Only what this policy decided."),
)


def _period(command: _Command) -> _Command:
    for option in reversed((*_PERIOD, _OUT, _TEST_SHARE)):
        command = option(command)
    return json_option(command)


@click.group()
def export() -> None:
    """Write verified traces as data to train on, in the forms that TRL's trainers load.

    Only requests whose texts were kept are there: where a policy says `store_text: true`, or ponder.yaml
    `retention: {store_text: true}`. Keys, addresses and numbers of phones, cards and accounts are taken out.
    """


@export.command()
@_period
@click.option("--min-score", type=_SHARE, help="Only prompts whose answer was found at least this good.")
def grpo(*, min_score: float | None, **given: Any) -> None:
    """Prompts with checkable answers (GRPOTrainer): requests that brought a `ponder.verify`, each prompt once."""
    _export("grpo", grpo_rows, Wanted(min_score), given)


@export.command()
@_period
@click.option(
    "--min-score", type=_SHARE, default=1.0, show_default=True, help="How good an answer must have been found."
)
@click.option(
    "--thinking", "thoughts", type=click.Choice([each.value for each in Thoughts]), default=Thoughts.TAGS.value,
    show_default=True, help="Between <think> tags, under the key `thinking`, or left out.",
)  # fmt: skip
def sft(*, min_score: float, thoughts: str, **given: Any) -> None:
    """Thought-out answers (SFTTrainer): those that feedback, a verifier or a test found right."""
    _export("sft", sft_rows, Wanted(min_score, thoughts=Thoughts(thoughts)), given)


@export.command()
@_period
@click.option(
    "--labels", "files", type=click.Path(path_type=Path, exists=True, dir_okay=False), multiple=True,
    help="Take the steps of a file of `ponder prm label` instead of logged searches. May be repeated.",
)  # fmt: skip
@click.option(
    "--right-from", type=_SHARE, default=0.5, show_default=True, help="The least score of a step that counts as right."
)
def prm(*, files: tuple[Path, ...], right_from: float, **given: Any) -> None:
    """Labelled steps (PRMTrainer): chains of searches whose steps a verifier scored, or that rollouts labelled."""
    wanted = Wanted(None, right_from)
    if not files:
        _export("prm", prm_rows, wanted, given)
        return
    with SetWriter(given["out"], test_share=given["test_share"]) as writer:
        chains = [chain for file in files for chain in read_chains(file)]
        for chain in chains:
            for row in labelled_rows(chain, wanted):
                writer.add(row)
        about = {"kind": "prm", "labels": [file.name for file in files], "right_from": right_from}
        _say(writer, about, len(chains), given)


def _export(kind: str, rows: _Rows, wanted: Wanted, given: dict[str, Any]) -> None:
    until = time.time() if given["until"] is None else given["until"]
    period = LoggedPeriod(given["since"], until, given["policy"])
    with SetWriter(given["out"], test_share=given["test_share"]) as writer:
        read = run(_write(writer, rows, wanted, period))
        about = {
            "kind": kind,
            "since": day(period.since),
            "until": day(period.until),
            "policy": period.policy,
            "min_score": wanted.min_score,
            **({"right_from": wanted.right_from} if kind == "prm" else {}),
        }
        _say(writer, about, read, given)


async def _write(writer: SetWriter, rows: _Rows, wanted: Wanted, period: LoggedPeriod) -> int:
    """Write the rows of all traces of a period, and how many traces there were."""
    connections = Connections(database(), most=1)
    try:
        traces, read = Traces(connections), 0
        with counted(await traces.count(period), "requests") as advance:
            async for part in traces.parts(period):
                for trace in filter(None, map(read_trace, part)):
                    for row in rows(trace, wanted):
                        writer.add(row)
                read += len(part)
                advance(read)
    finally:
        await connections.close()
    if not read:
        raise NotFound(
            "no text of a request is kept for this time; `store_text: true` in a policy, or under retention in "
            "ponder.yaml, keeps those that come from then on"
        )
    return read


def _say(writer: SetWriter, about: Mapping[str, Any], read: int, given: dict[str, Any]) -> None:
    said = writer.finish({**about, "read": read})
    if given["as_json"]:
        print_json(said)
        return
    rows, items = said["rows"], said["items"]
    click.echo(
        f"{sum(rows.values()):,} rows of {sum(items.values()):,} items from {read:,} read: {rows['train']:,} to train "
        f"on and {rows['test']:,} to test with, in {given['out']}"
    )
    if said["repeated"]:
        click.echo(f"{said['repeated']:,} that were there already are left out")
