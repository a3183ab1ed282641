"""A choice and a forecast as tables for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import click

from calibrator.planning import Forecast
from calibrator.report.page import basis_text, cell_name, shortage_text
from gateway.commands.output import print_rows


def show_choice(said: Mapping[str, Any]) -> None:
    """Print a choice's document."""
    columns = ("cell", "share", "arm", "labels", "loss", "bound", "relative cost")
    rows = [
        {
            "cell": cell_name(cell),
            "share": f"{cell['share']:.1%}",
            "arm": cell["arm"],
            "labels": str(cell["labels"]),
            "loss": _number(cell["loss"]),
            "bound": _number(cell["bound"]),
            "relative cost": f"{cell['relative_cost']:.3f}",
        }
        for cell in said["cells"]
    ]
    print_rows(columns, rows)
    click.echo()
    promise = f"{said['loss_at_most']:g} at confidence {said['confidence']:g}"
    if said["certified"]:
        found = said["certificate"]
        click.echo(
            f"Certified: the mean loss against {said['reference']} is at most {promise} (bound {found['bound']:.4f}, "
            f"seen {found['loss']:+.4f}), by {found['labels_read']} labels; {found['method']}"
            + (f"; {basis_text(said['agreement'])}." if said.get("agreement") else ".")
        )
    else:
        click.echo(f"Nothing is certified: a mean loss of at most {promise} cannot be shown of any change.")
    click.echo(f"Relative cost: {said['relative_cost']:.3f}.")
    if said["shortage"] is not None:
        click.echo(f"The next step would take {shortage_text(said['shortage'])}.")
    for name, found in (("the items left over", said["true_loss"]["left_over"]), ("all", said["true_loss"]["full"])):
        if found is not None:
            click.echo(f"True loss on {name} ({found['items']:,} items): {found['loss']:+.4f}.")
    if said["resplits"] is not None:
        _show_resplits(said["resplits"], said["loss_at_most"])


def show_measured(said: Mapping[str, Any]) -> None:
    """Print how all arms of a run did on its pilot, the items that every one of them was asked."""
    rows = [
        {
            "arm": each["arm"],
            "items": str(each["items"]),
            "mean score": f"{each['mean_score']:.3f}",
            f"{said['cost_unit']} each": f"{each['mean_cost']:.4g}",
        }
        for each in said["arms_on_the_pilot"]
    ]
    print_rows(("arm", "items", "mean score", f"{said['cost_unit']} each"), rows)


def _show_resplits(found: Mapping[str, Any], target: float) -> None:
    spend, broken, left = found["relative_cost"], found["violations"], found["violations_left_over"]
    click.echo(f"\n{found['runs']} runs, each with other labels; on the whole table:")
    click.echo(f"  loss beyond {target:g}: {_between(broken)} of the runs; the largest was {found['worst_loss']:+.4f}")
    if left is not None:
        click.echo(f"  on the items left over, which are few: {_between(left)}")
    click.echo(f"  relative cost: {_between(spend)}; anything changed in {found['changed']:.1%} of the runs\n")
    mine = {"name": "calibrated", "loss": found["mean_loss"], "relative_cost": spend["estimate"]}
    rows = [
        {"": each["name"], "loss": f"{each['loss']:+.4f}", "relative cost": f"{each['relative_cost']:.3f}"}
        for each in (mine, *found["controls"])
    ]
    print_rows(("", "loss", "relative cost"), rows)


def _between(found: Mapping[str, Any]) -> str:
    return f"{found['estimate']:.3f} ({found['lower']:.3f} to {found['upper']:.3f})"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:+.4f}"


def show_forecasts(forecasts: Sequence[Forecast], each: float | None) -> None:
    """Print what targets would buy; ``each`` is what the answers to one labelled item cost."""
    sizes = [size for size, _ in forecasts[0].expected]
    columns = ("loss at most", "in reach", *(f"{size:,} labels" for size in sizes), "half", "four fifths")
    rows = [
        {
            "loss at most": f"{found.loss_at_most:g}",
            "in reach": f"{found.in_reach:.3f}",
            **{f"{size:,} labels": f"{cost:.3f}" for size, cost in found.expected},
            "half": _needed(found.labels_for_half, each),
            "four fifths": _needed(found.labels_for_most, each),
        }
        for found in forecasts
    ]
    print_rows(columns, rows)
    click.echo(
        "\nExpected relative cost by number of labels; at the end the labels for half and for four fifths of the "
        "saving in reach, and what their answers cost. A forecast from the outcomes given, no promise."
    )


def _needed(labels: int | None, each: float | None) -> str:
    if labels is None:
        return "none will do"
    return f"{labels:,}" if each is None else f"{labels:,} ({labels * each:.4g})"
