"""``ponder classifier``: what the learned classifier says of prompts, and how well it does."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

import click

from gateway.commands.output import json_option, print_json, print_rows
from gateway.dialects.asked import prompt_of
from gateway.difficulty.classifier import SHIPPED, Learned
from gateway.difficulty.report import Report, Routing, report
from gateway.domain.chat import Dialect
from gateway.domain.excerpt import excerpt
from gateway.domain.prediction import Anchor, Prediction, Prompt
from gateway.domain.tiers import DEFAULT_CUTS
from gateway.errors import InvalidRequest

_weights_option = click.option(
    "--weights",
    type=click.Path(path_type=Path),
    default=SHIPPED,
    help="Weights that you have trained; those that ship with Ponder if left out.",
)


@click.group()
def classifier() -> None:
    """What kind of work prompts are, and who is likely to succeed at them."""


@classifier.command()
@click.argument("file", type=click.File(encoding="utf-8"))
@_weights_option
@json_option
def predict(file: IO[str], weights: Path, as_json: bool) -> None:
    """Classify the prompts of FILE (- for standard input).

    Each line is a JSON object with `prompt`, a text, or `messages`, as in a chat completion request.
    With --json, one JSON object is printed for each.
    """
    learned = Learned.load(weights)
    rows = (_as_json(learned.classify(prompt)) for prompt in _prompts(file))
    if as_json:
        for row in rows:
            click.echo(json.dumps(row))
        return
    columns = ("prompt", "category", "confidence", "difficulty", *(f"P({anchor})" for anchor in Anchor))
    print_rows(
        columns, [dict(zip(columns, (str(number), *_as_cells(row)), strict=True)) for number, row in enumerate(rows, 1)]
    )


def _prompts(file: IO[str]) -> Iterator[Prompt]:
    for number, line in enumerate(file, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as fault:
            raise InvalidRequest(
                f"{file.name}, line {number}: not JSON; one object with `prompt` or `messages` is expected"
            ) from fault
        yield _prompt(row, f"{file.name}, line {number}")


def _prompt(row: Any, place: str) -> Prompt:
    if not isinstance(row, Mapping):
        raise InvalidRequest(f"{place}: a {type(row).__name__}; one object with `prompt` or `messages` is expected")
    if isinstance(row.get("prompt"), str):
        return Prompt(excerpt(row["prompt"]))
    if isinstance(row.get("messages"), list):
        return prompt_of(Dialect.OPENAI_CHAT, row)
    raise InvalidRequest(f"{place}: neither `prompt`, a text, nor `messages`, a list")


def _as_json(prediction: Prediction) -> dict[str, Any]:
    weak = prediction.success.get(Anchor.WEAK)
    return {
        "category": str(prediction.category),
        "confidence": round(prediction.confidence, 4),
        "difficulty": None if weak is None else DEFAULT_CUTS.tier(weak).value,
        "p_success": {str(anchor): round(chance, 4) for anchor, chance in prediction.success.items()},
    }


def _as_cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    chances = ("" if (chance := row["p_success"].get(anchor)) is None else f"{chance:.2f}" for anchor in Anchor)
    return (row["category"], f"{row['confidence']:.2f}", row["difficulty"] or "unknown", *chances)


@classifier.command("report")
@click.option(
    "--data",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    required=True,
    help="A folder of recorded prompts and answers.",
)
@_weights_option
@json_option
def report_(data: Path, weights: Path, as_json: bool) -> None:
    """Measure it on the held-out part of a folder of recorded prompts."""
    measured = report(Learned.load(weights), data)
    if as_json:
        print_json(asdict(measured))
        return
    _print_categorising(measured)
    click.echo()
    _print_routing(measured.routing)
    click.echo(
        f"\nLatency on one core: p50 {measured.latency_ms_p50:.2f} ms, p99 {measured.latency_ms_p99:.2f} ms a prompt."
    )
    if not measured.is_same_data:
        click.echo("This is not the data that the weights were trained on; prompts that both hold may have been seen.")


def _print_categorising(measured: Report) -> None:
    figures = measured.categorising
    columns = ("category", "figure")
    rows = [
        ("prompts held out", str(figures.prompts)),
        ("macro-F1, recorded sources", f"{figures.macro_f1_covered:.3f}"),
        ("macro-F1, labelled prompts", f"{figures.macro_f1_labelled:.3f}"),
        ("macro-F1, all twelve categories", f"{figures.macro_f1_all:.3f}"),
        ("calibration error of confidence", f"{figures.calibration_error:.3f}"),
        ("calibration error of success", f"{measured.calibration_error_success:.3f}"),
        *((f"F1 of {name}", f"{score:.3f}") for name, score in figures.f1_by_category.items()),
        *((f"accuracy on {name}", f"{share:.3f}") for name, share in figures.accuracy_by_source.items()),
        *((f"accuracy in {name}", f"{share:.3f}") for name, share in figures.accuracy_by_language.items()),
    ]
    print_rows(columns, [dict(zip(columns, row, strict=True)) for row in rows])


def _print_routing(routing: tuple[Routing, ...]) -> None:
    figures = {each.source: each.figures() for each in routing}
    names = next(iter(figures.values()), {})
    rows = [{"routing": name, **{source: shown[name] for source, shown in figures.items()}} for name in names]
    print_rows(("routing", *figures), rows)
