"""``ponder prm train`` and ``ponder prm report``: a reward model learnt from step labels, and how good it is."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from calibrator.prm import by_likelihood
from calibrator.prm.by_likelihood import Manner
from calibrator.prm.options import calls_options
from calibrator.prm.quality import Scored, measure
from calibrator.prm.render import document, markdown
from calibrator.prm.scored import HELD_OUT, read_scored
from gateway.commands.output import json_option, print_json
from gateway.errors import ConfigurationError
from gateway.verifier_settings import PLAIN_TEMPLATE

_NEEDED = ("torch", "transformers")
_LOOK = f"import importlib.util, sys; sys.exit(not all(map(importlib.util.find_spec, {_NEEDED!r})))"
_RUN = (
    # At the end of the path: where the other environment has a package too, its own is the one to take.
    "import runpy, sys; sys.path.append(sys.argv.pop(1)); "
    "runpy.run_module('calibrator.prm.reward_model', run_name='__main__', alter_sys=True)"
)
_LEARNING_RATES = {"head": 1e-2, "all": 3e-4, "layers": 2e-4}
_python_option = click.option(
    "--python",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    default=sys.executable,
    show_default="that of Ponder",
    help="A Python that has torch and transformers: .venv-vllm/bin/python.",
)
_threads_option = click.option("--threads", type=click.IntRange(1), default=2, show_default=True, help="Of torch.")


@click.command()
@click.argument("labels", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), required=True, help="The model's folder.")
@click.option(
    "--base",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="A causal language model in Hugging Face's layout.",
)
@click.option("--likelihood-of", "judge", help="Instead of --base: a model of ponder.yaml, served by vLLM, as it is.")
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
    help="Fresh layers on top of a base that stays as it is: of the Llama family, two or more.",
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
@calls_options
@_threads_option
@_python_option
def train(
    *, labels: Path, out: Path, base: Path | None, judge: str | None, tune: str, template: str,
    learning_rate: float | None, python: Path, **given: Any,
) -> None:  # fmt: skip
    """Train a reward model on LABELS, and write it as vLLM serves it behind /classify.

    With --likelihood-of nothing of a model is trained: a head of three numbers learns what the likelihoods that
    the model gives to an answer's steps say of them.
    """
    manner = Manner(given.pop("concurrency"), given.pop("timeout_s"), given.pop("cap"))
    if (base is None) == (judge is None):
        raise click.UsageError("give one of --base and --likelihood-of")
    template = template.replace("\\n", "\n")  # as it is written in a shell
    if not template.endswith("{steps}") or template.count("{steps}") != 1 or template.count("{question}") > 1:
        raise click.UsageError("--template ends with {steps}, and may name {question} once before")
    if given["added_layers"] == 1:
        raise click.UsageError("--added-layers takes two or more: one compares tokens, the next gathers what it found")
    if given["added_layers"] and tune == "all":
        raise click.UsageError("--added-layers leaves the base as it is: take it, or --tune all")
    if judge is not None:
        by_likelihood.train(labels, out, model=judge, template=template, share=given["held_out_share"], manner=manner)
        return
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


@click.command()
@click.argument("model", metavar="FOLDER|SCORED", type=click.Path(path_type=Path, exists=True))
@click.option(
    "--held-out",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Labels of problems that it was not trained on; those that training held out, if left out.",
)
@calls_options
@_threads_option
@_python_option
@json_option
def report(
    *, model: Path, held_out: Path | None, threads: int, python: Path, as_json: bool, **given: Any,
) -> None:  # fmt: skip
    """Say how good a reward model is: calibration, ranking within problems, and what choosing by it buys.

    FOLDER is a trained model; SCORED a file of chains with `item`, `scores` of their steps and `is_right`.
    """
    manner = Manner(given["concurrency"], given["timeout_s"], given["cap"])
    if held_out is not None and not model.is_dir():
        raise click.UsageError("--held-out needs the model's FOLDER, to score the chains")
    if held_out is None:
        scored = read_scored(model / HELD_OUT if model.is_dir() else model)
    elif by_likelihood.is_head(described := by_likelihood.description(model)):
        scored = by_likelihood.scores(described, held_out, manner)
    else:
        scored = _scored(model, held_out, threads, python)
    quality = measure(scored)
    if as_json:
        print_json(document(quality))
        return
    click.echo(markdown(quality, model.name))
    if model.is_dir():
        click.echo("\n".join(_as_configured(by_likelihood.description(model), _name(model), quality.best.value)))


def _as_configured(described: Mapping[str, Any], name: str, aggregation: str) -> Iterator[str]:
    """The verifier as ``ponder.yaml`` has it."""
    yield "## In `ponder.yaml`\n\n```yaml\nverifiers:"
    if by_likelihood.is_head(described):
        yield f"  {name}:\n    kind: likelihood\n    model: {described['model']}"
        yield f"    weights: {json.dumps(described['weights'])}"
    else:
        yield f"  {name}:\n    kind: classify\n    model: {name}  # as `models` names it"
    yield f"    template: {json.dumps(described['template'])}\n    aggregation: {aggregation}\n```"


def _scored(model: Path, held_out: Path, threads: int, python: Path) -> list[Scored]:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / HELD_OUT
        paths = {"labels": str(held_out), "base": str(model), "out": str(file)}
        _run(python, {"do": "score", "threads": threads, **paths})
        return read_scored(file)


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
