"""``ponder prm label``: step labels, drawn from models or imported."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import click

from calibrator.prm.completions import Completions
from calibrator.prm.configured import configured_model
from calibrator.prm.items import Item, read_items
from calibrator.prm.label import Labelling, Method
from calibrator.prm.labels import LabelFile, Log, write_chains
from calibrator.prm.options import calls_options
from calibrator.prm.prm800k import read_prm800k
from calibrator.prm.progress import Shown
from calibrator.prm.purse import Purse
from gateway.commands.output import json_option, print_json, print_rows
from gateway.domain.money import show
from gateway.errors import ConfigurationError, PonderError
from gateway.search.steps import Boundary, Mark


class _Boundary(click.ParamType[Boundary]):
    """``blank_line``, ``newline``, ``tag:TEXT`` or ``tokens:NUMBER``."""

    name = "boundary"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Boundary:
        if isinstance(value, Boundary):
            return value
        mark, _, given = str(value).partition(":")
        try:
            return Boundary(
                Mark(mark),
                text=given if mark == Mark.TAG else "",
                tokens=int(given) if mark == Mark.TOKENS else None,
            )
        except ValueError:
            self.fail(f"{value!r} is none of blank_line, newline, tag:TEXT and tokens:NUMBER", param, ctx)


_BLANK_LINE = Mark.BLANK_LINE.value


@click.command()
@click.argument("items", required=False, type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option(
    "--import",
    "imported",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Take labels that people or models gave, in PRM800K's format, instead of drawing any.",
)
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), required=True, help="The file of labels.")
@click.option("--model", "name", help="A model of ponder.yaml, served by vLLM.")
@click.option("--completer", help="Another model, of the same tokenizer, that completes prefixes: a stronger one.")
@click.option("--chains", type=click.IntRange(1), default=4, show_default=True, help="Answers to each item.")
@click.option("--per-prefix", type=click.IntRange(0), default=8, show_default=True, help="Completions of each prefix.")
@click.option("--adaptive/--not-adaptive", default=True, help="Draw half of them first, no more where they agree.")
@click.option(
    "--boundary",
    type=_Boundary(),
    default=_BLANK_LINE,
    show_default=True,
    help="What ends a step: blank_line, newline, tag:TEXT or tokens:NUMBER.",
)
@click.option("--max-tokens", type=click.IntRange(1), default=1024, show_default=True, help="Of a whole answer.")
@click.option("--temperature", type=click.FloatRange(0, 2), default=0.8, show_default=True)
@click.option("--seed", type=int, default=0, show_default=True)
@calls_options
@json_option
def label(
    *, items: Path | None, imported: Path | None, out: Path, boundary: Boundary, name: str | None, as_json: bool,
    **given: Any,
) -> None:  # fmt: skip
    """Label the steps of a model's answers to ITEMS by how often the model, going on from there, ends right.

    Each line of ITEMS is a JSON object with `id`, `prompt` or `messages`, `answer`, and, if wanted, `grader`
    and `difficulty`. What comes back is appended to the file at once. Run it again to go on after an
    interruption or the spending cap: nothing that came back is asked for a second time.
    """
    if (items is None) == (imported is None) or (items is None) != (name is None):
        raise click.UsageError("give ITEMS and --model, or --import and neither")
    if imported is not None:
        mark = boundary.stop or ""
        run = {"imported": imported.name, "mark": mark}
        print_json({"chains": write_chains(out, run, read_prm800k(_lines(imported), imported.name, mark))})
        return
    assert items is not None and name is not None  # noqa: S101, PT018 - checked above
    wanted = read_items(_lines(items), items.name)
    log, refused, fault = asyncio.run(_label(wanted, name, out, boundary, given))
    _print_labels(log, refused, as_json=as_json)
    if fault is not None:
        raise fault


async def _label(
    items: list[Item], name: str, out: Path, boundary: Boundary, given: dict[str, Any]
) -> tuple[Log, list[str], PonderError | None]:
    """What the file holds in the end, the items that were refused, and why the run ended early, if it did."""
    method = Method(
        given["chains"], given["per_prefix"], boundary, given["max_tokens"], given["seed"], given["adaptive"]
    )
    async with AsyncExitStack() as opened:
        writers = [await _writer(each, given, opened) for each in (name, given["completer"]) if each is not None]
        run = {
            "model": name,
            "completer": given["completer"],
            "chains": method.chains,
            "per_prefix": method.per_prefix,
            "adaptive": method.is_adaptive,
            "boundary": [boundary.mark.value, boundary.text, boundary.tokens],
            "max_tokens": method.max_tokens,
            "temperature": given["temperature"],
            "seed": method.seed,
        }
        with LabelFile(out, run) as labels, Shown(len(items), lambda: labels.log.spent) as shown:
            purse = Purse(given["cap"], lambda: labels.log.spent)
            labelling = Labelling(
                writers[0], writers[-1], labels, method, purse, concurrency=given["concurrency"], advance=shown.advance
            )
            fault: PonderError | None = None
            try:
                await labelling.run(items)
            except PonderError as raised:
                fault = raised
            return labels.log, labelling.refused, fault


async def _writer(name: str, given: dict[str, Any], opened: AsyncExitStack) -> Completions:
    """What calls a model of ponder.yaml. Raises ConfigurationError where it costs something and nothing is capped."""
    model, upstream = configured_model(name, given["cap"])
    opened.push_async_callback(upstream.close)
    return Completions(upstream, model, temperature=given["temperature"], timeout_s=given["timeout_s"])


def _print_labels(log: Log, refused: list[str], *, as_json: bool) -> None:
    chains = list(log.labelled())
    judged = [value for chain in chains for value in chain.values if value is not None]
    figures = {
        "items": len({chain.item for chain in chains}),
        "chains": len(chains),
        "right": sum(chain.is_right is True for chain in chains),
        "labelled_steps": len(judged),
        "mean_value": round(sum(judged) / len(judged), 4) if judged else None,
        "completions": sum(map(len, log.draws.values())),
        "prompt_tokens": log.prompt_tokens,
        "output_tokens": log.output_tokens,
        "spent_usd": show(log.spent),
        "refused_items": refused,
    }
    if as_json:
        print_json(figures)
    else:
        print_rows(("", "figure"), [{"": name, "figure": str(figure)} for name, figure in figures.items()])


def _lines(file: Path) -> Iterator[str]:
    try:
        with file.open(encoding="utf-8") as lines:
            yield from lines
    except (OSError, UnicodeDecodeError) as fault:
        raise ConfigurationError(f"{file.name} cannot be read: JSON lines in UTF-8 are expected") from fault
