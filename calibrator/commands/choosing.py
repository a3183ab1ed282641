"""``ponder calibrate choose``: the certified choice on a table of outcomes, and how it fares on what it did not see."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

from calibrator.binding import Bound, bound_rule
from calibrator.choice_document import document, read_order
from calibrator.choose import Choice, Scope, Target, choose
from calibrator.commands.options import needed, promise_options, table, table_options
from calibrator.commands.progress import counted
from calibrator.commands.shown import show_choice
from calibrator.comparison import Resplits, resplit
from calibrator.publish import profile, rule_profile
from calibrator.report.page import page
from calibrator.stats.paths import Rule
from calibrator.tables.table import OutcomeTable
from calibrator.trial import PILOT_SHARE, Draw, Question, draw, has_difficulty, rule_of
from gateway.commands.output import json_option, print_json
from gateway.domain.profile_document import read_document
from gateway.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class Chosen:
    """A choice with what it was made from."""

    question: Question
    drawn: Draw
    choice: Choice
    seed: int
    resplits: Resplits | None
    bound: Bound | None

    def document(self) -> dict[str, Any]:
        """As JSON."""
        return document(self.question, self.drawn, self.choice, self.seed, self.resplits)


_Command = TypeVar("_Command", bound=Callable[..., Any])
_SHARE = click.FloatRange(0, 1, max_open=True)
_FILE = click.Path(path_type=Path, exists=True, dir_okay=False)
_NEW = click.Path(path_type=Path, dir_okay=False)
_CHOICE = (
    click.option(
        "--loss-at-most", type=click.FloatRange(0, 1, min_open=True, max_open=True), help="On average, as 0.02."
    ),
    click.option("--labels", type=click.IntRange(1), help="Label so many items, drawn at random; all if not said."),
    click.option("--seed", type=click.IntRange(0), default=0, show_default=True),
    click.option("--resplits", type=click.IntRange(2), help="Do it so many times over, and judge by the whole table."),
    click.option(
        "--pilot", "pilot_share", type=_SHARE,
        help=f"The share of the labels that only sets the order; {PILOT_SHARE} where nothing else does, else 0.",
    ),
    click.option("--order", type=_FILE, help="Take the order from an earlier run: what --json printed of it."),
    click.option(
        "--p95-latency-at-most-s", "latency_at_most_s", type=click.FloatRange(0, min_open=True),
        help="Leave out arms that are slower in a cell.",
    ),
    click.option("--current", type=_FILE, help="The profile in force, as --out wrote it."),
    click.option("--most-changed", type=click.IntRange(1), help="Change at most so many categories of --current."),
    click.option("--policy", help="The policy that it is for: name, file or folder."),
    click.option("--rule", "rule_name", help="Its rule, where several are calibrated."),
)  # fmt: skip


def _choice_options(command: _Command) -> _Command:
    for option in reversed(_CHOICE):
        command = option(command)
    return command


@click.command("choose")
@table_options
@promise_options
@_choice_options
@click.option("--out", type=_NEW, help="Write the profile here; needs --policy.")
@click.option("--report", type=_NEW, help="Write a page with plots here: HTML that needs nothing else.")
@json_option
def choose_(*, as_json: bool, out: Path | None, report: Path | None, **given: Any) -> None:
    """Choose the cheapest arms whose loss against the reference is certified, from a table of outcomes.

    So many items as --labels says are taken as labelled; on the others the choice is tried afterwards. With
    too little evidence nothing changes, and the number of labels that are missing is printed.
    """
    chosen = _chosen(given)
    if out is not None:
        out.write_text(_profile(chosen), "utf-8")
    said = chosen.document()
    if report is not None:
        report.write_text(page(chosen.question, chosen.drawn, chosen.choice, said), "utf-8")
    if as_json:
        print_json(said)
    else:
        show_choice(said)


@click.command("report")
@table_options
@promise_options
@_choice_options
@click.option("--out", type=_NEW, required=True, help="The page: HTML with its plots inside.")
def report(*, out: Path, **given: Any) -> None:
    """Write what `choose` would choose as a page with plots, which opens in any browser and asks for nothing else."""
    chosen = _chosen(given)
    out.write_text(page(chosen.question, chosen.drawn, chosen.choice, chosen.document()), "utf-8")
    click.echo(f"Written: {out}")


def _chosen(given: dict[str, Any]) -> Chosen:
    bound = bound_rule(given["policy"], given["rule_name"]) if given["policy"] else None
    found = table(given, bound.arms if bound else ())
    if bound is not None:
        found = found.of_cells(bound.applies)
    question = _question(given, found, bound)
    drawn = draw(question, given["seed"])
    choice = choose(drawn.ground, drawn.labels, question.target, drawn.path)
    resplits = None
    if given["resplits"]:
        with counted(given["resplits"], "of the resplits") as advance:
            resplits = resplit(question, given["resplits"], given["seed"], advance)
    return Chosen(question, drawn, choice, given["seed"], resplits, bound)


def _question(given: dict[str, Any], found: OutcomeTable, bound: Bound | None) -> Question:
    def of(name: str, option: str, own: Any) -> Any:
        return needed(given[name] if given[name] is not None else own, option)

    target = Target(
        of("loss_at_most", "--loss-at-most", bound and bound.rule.loss_at_most),
        of("confidence", "--confidence", bound and bound.confidence),
        Scope(of("scope", "--scope", bound.scope if bound else Scope.POLICY)),
    )
    reference = of("reference", "--reference", bound and bound.reference)
    risk = read_order(given["order"], found) if given["order"] else None
    has_order = risk is not None or has_difficulty(found.cells)
    pilot_share = given["pilot_share"] if given["pilot_share"] is not None else 0.0 if has_order else PILOT_SHARE
    labels = given["labels"] or len(found.items)
    if labels > len(found.items):
        raise ConfigurationError(f"--labels {labels}: the table has {len(found.items)} items; that is the most")
    return Question(
        table=found,
        reference=found.arm(reference),
        target=target,
        labels=labels,
        pilot_share=pilot_share,
        risk=risk,
        latency_at_most_s=given["latency_at_most_s"],
        current=_current(given, found, reference),
        most_changed=given["most_changed"],
        is_graded=given["is_graded"],
    )


def _current(given: dict[str, Any], found: OutcomeTable, reference: str) -> Rule | None:
    """The rule in force, by the profile that was given."""
    if given["current"] is None:
        return None
    rules = read_document(given["current"].read_text("utf-8")).rules
    name = str(given["rule_name"] or (next(iter(rules)) if len(rules) == 1 else ""))
    if name not in rules:
        raise ConfigurationError(f"--current has no rule {name!r}; name one with --rule: {', '.join(rules)}")
    arms = {(cell.category, cell.difficulty): cell.arm for cell in rules[name].cells}
    return rule_of(found.cells, found.arms, arms, reference)


def _profile(chosen: Chosen) -> str:
    bound = chosen.bound
    if bound is None:
        raise ConfigurationError("--out needs --policy: a profile is one of a policy's rule as it is now")
    wanted, target = bound.rule, chosen.question.target
    if (wanted.loss_at_most, bound.confidence, bound.scope) != (target.loss_at_most, target.confidence, target.scope):
        raise ConfigurationError(
            f"rule {wanted.name!r} asks for a loss of at most {wanted.loss_at_most:g} at confidence "
            f"{bound.confidence:g}, scope {bound.scope}; a profile for it promises just that: leave --loss-at-most, "
            "--confidence and --scope out"
        )
    if chosen.question.table.arms[chosen.question.reference] != bound.reference:
        raise ConfigurationError(f"rule {wanted.name!r} measures against {bound.reference}; leave --reference out")
    published = rule_profile(
        chosen.choice,
        target,
        rule_digest=wanted.certificate_digest,
        reference=bound.reference,
        among=wanted.among,
        labels=int(chosen.drawn.labels.cells.size),
    )
    table_digest = chosen.question.table.digest
    return profile(
        bound.policy.name, bound.policy.digest, table_digest, chosen.seed, {bound.rule.name: published}
    ).encoded()
