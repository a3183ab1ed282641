"""``ponder prm``: step labels, training on them, and the report."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import click

from calibrator.prm.completions import Completions
from calibrator.prm.items import Item, read_items
from calibrator.prm.label import Labelling, Method
from calibrator.prm.labels import LabelFile, Log, write_chains
from calibrator.prm.prm800k import read_prm800k
from calibrator.prm.progress import Shown
from calibrator.prm.purse import Purse
from calibrator.prm.quality import measure
from calibrator.prm.render import document, markdown
from calibrator.prm.scored import read_scored
from gateway.commands.amounts import Dollars
from gateway.commands.models import NOT_RUNNING_YET
from gateway.commands.output import json_option, print_json, print_rows
from gateway.domain.model import Model
from gateway.domain.money import show
from gateway.domain.pricing import FREE
from gateway.errors import ConfigurationError, PonderError, UnknownModel
from gateway.ports import Upstream
from gateway.search.steps import Boundary, Mark
from gateway.settings import load, places
from gateway.verifier_settings import PLAIN_TEMPLATE
from gateway.wiring import catalog

_HELD_OUT = "held_out.jsonl"
_DESCRIPTION = "prm.json"
_NEEDED = ("torch", "transformers")
_LOOK = f"import importlib.util, sys; sys.exit(not all(map(importlib.util.find_spec, {_NEEDED!r})))"
_RUN = (
    # At the end of the path: where the other environment has a package too, its own is the one to take.
    "import runpy, sys; sys.path.append(sys.argv.pop(1)); "
    "runpy.run_module('calibrator.prm.reward_model', run_name='__main__', alter_sys=True)"
)
_LEARNING_RATES = {"head": 1e-2, "all": 3e-4, "layers": 3e-3}


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
_python_option = click.option(
    "--python",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    default=sys.executable,
    show_default="that of Ponder",
    help="A Python that has torch and transformers: .venv-vllm/bin/python.",
)
_threads_option = click.option("--threads", type=click.IntRange(1), default=2, show_default=True, help="Of torch.")


@click.group()
def prm() -> None:
    """Process reward models: what scores the steps of an answer."""


@prm.command()
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
@click.option("--concurrency", type=click.IntRange(1, 1024), default=32, show_default=True, help="Calls at a time.")
@click.option("--timeout-s", type=click.FloatRange(1), default=600, show_default=True, help="Of one call.")
@click.option("--spend-at-most-usd", "cap", type=Dollars(), help="Needed unless the model is free.")
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
    model, upstream = _model(name)
    opened.push_async_callback(upstream.close)
    if given["cap"] is None and model.price != FREE:
        raise ConfigurationError(f"model {name} is not free: say --spend-at-most-usd")
    return Completions(upstream, model, temperature=given["temperature"], timeout_s=given["timeout_s"])


def _model(name: str) -> tuple[Model, Upstream]:
    where = places(os.environ)
    offered, _ = catalog(load(where.config), os.environ, embedded_url=where.embedded_url or NOT_RUNNING_YET)
    model = offered.models.get(name)
    if model is None:
        raise UnknownModel(f"there is no model {name!r}; there are: {', '.join(sorted(offered.models)) or 'none'}")
    return model, offered.upstreams[model.upstream]


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


@prm.command()
@click.argument("labels", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), required=True, help="The model's folder.")
@click.option(
    "--base",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    required=True,
    help="A causal language model in Hugging Face's layout.",
)
@click.option(
    "--tune",
    type=click.Choice(["head", "all"]),
    default="head",
    show_default=True,
    help="Train the head alone, or all weights: for small models.",
)
@click.option(
    "--added-layers",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    help="Fresh layers on top of a base that stays as it is: of the Llama and Qwen families.",
)
@click.option("--template", default=PLAIN_TEMPLATE, show_default=True, help="What it reads; ends with {steps}.")
@click.option("--epochs", type=click.IntRange(1), default=4, show_default=True)
@click.option("--learning-rate", type=click.FloatRange(0, min_open=True), show_default="by --tune")
@click.option("--batch", type=click.IntRange(1), default=32, show_default=True, help="Chains at a time.")
@click.option(
    "--held-out-share",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    default=0.2,
    show_default=True,
    help="The share of problems that is kept for the report.",
)
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--dtype", type=click.Choice(["bfloat16", "float32"]), default="bfloat16", show_default=True)
@_threads_option
@_python_option
def train(
    *, labels: Path, out: Path, base: Path, tune: str, template: str, learning_rate: float | None, python: Path,
    **given: Any,
) -> None:  # fmt: skip
    """Train a reward model on LABELS, and write it as vLLM serves it behind /classify."""
    template = template.replace("\\n", "\n")  # as it is written in a shell
    if not template.endswith("{steps}") or template.count("{steps}") != 1 or template.count("{question}") > 1:
        raise click.UsageError("--template ends with {steps}, and may name {question} once before")
    if given["added_layers"] and tune == "all":
        raise click.UsageError("--added-layers leaves the base as it is: take it, or --tune all")
    _run(
        python,
        {
            "do": "train",
            "labels": str(labels),
            "base": str(base),
            "out": str(out),
            "template": template,
            "tunes_all": tune == "all",
            "learning_rate": learning_rate or _LEARNING_RATES["layers" if given["added_layers"] else tune],
            **given,
        },
    )


@prm.command()
@click.argument("model", metavar="FOLDER|SCORED", type=click.Path(path_type=Path, exists=True))
@click.option(
    "--held-out",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Labels of problems that it was not trained on; those that training held out, if left out.",
)
@_threads_option
@_python_option
@json_option
def report(*, model: Path, held_out: Path | None, threads: int, python: Path, as_json: bool) -> None:
    """Say how good a reward model is: calibration, ranking within problems, and what choosing by it buys.

    FOLDER is a trained model; SCORED a file of chains with `item`, `scores` of their steps and `is_right`.
    """
    if held_out is not None and not model.is_dir():
        raise click.UsageError("--held-out needs the model's FOLDER, to score the chains")
    if held_out is None:
        scored = read_scored(model / _HELD_OUT if model.is_dir() else model)
    else:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / _HELD_OUT
            paths = {"labels": str(held_out), "base": str(model), "out": str(file)}
            _run(python, {"do": "score", "threads": threads, **paths})
            scored = read_scored(file)
    quality = measure(scored)
    if as_json:
        print_json(document(quality))
        return
    click.echo(markdown(quality, model.name))
    if model.is_dir():
        template = json.dumps(json.loads((model / _DESCRIPTION).read_text("utf-8"))["template"])
        click.echo("## In `ponder.yaml`\n\n```yaml\nverifiers:")
        click.echo(f"  {_name(model)}:\n    kind: classify\n    model: {_name(model)}  # as `models` names it")
        click.echo(f"    template: {template}\n    aggregation: {quality.best.value}\n```")


def _name(model: Path) -> str:
    return re.sub(r"[^a-z0-9-]+", "-", model.resolve().name.lower()).strip("-") or "prm"


def _run(python: Path, arguments: dict[str, Any]) -> None:
    """Do in another Python what needs torch. Raises ConfigurationError where that has none, or fails."""
    if subprocess.run([python, "-c", _LOOK], check=False).returncode:  # noqa: S603 - the Python that was named
        raise ConfigurationError(
            f"{python} has no {' and '.join(_NEEDED)}; vLLM's environment has both: "
            "`make .venv-vllm/.ready`, then --python .venv-vllm/bin/python"
        )
    root = str(Path(__file__).parent.parent.parent)
    ended = subprocess.run([python, "-c", _RUN, root, json.dumps(arguments)], check=False)  # noqa: S603
    if ended.returncode:
        raise ConfigurationError(f"the reward model's program ended with code {ended.returncode}; see above")


def _lines(file: Path) -> Iterator[str]:
    try:
        with file.open(encoding="utf-8") as lines:
            yield from lines
    except (OSError, UnicodeDecodeError) as fault:
        raise ConfigurationError(f"{file.name} cannot be read: JSON lines in UTF-8 are expected") from fault
