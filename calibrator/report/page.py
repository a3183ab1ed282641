"""The page: what was chosen and promised, what it rests on, what it costs and loses, cell by cell."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from html import escape
from typing import Any, Final

import numpy as np

from calibrator.choose import Choice
from calibrator.stats.betting import bound_mean
from calibrator.stats.intervals import wilson
from calibrator.stats.results import Floats
from calibrator.tables.table import OutcomeTable
from calibrator.trial import Draw, Question
from gateway.http.dashboard.charts import COLOURS, STYLE, Bar, Point, accuracy_by_cost, bars

_LEVEL: Final = 0.9
_HEAD: Final = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">
<title>Calibration report</title><style>
COLOURS:root{color-scheme:light dark}
body{background:var(--paper);color:var(--ink);font:15px/1.5 system-ui,sans-serif}
body{max-width:1180px;margin:2rem auto;padding:0 1rem}
h1{font-size:1.5rem}h2{font-size:1.15rem;margin-top:2rem}p.note,figcaption{color:var(--soft)}
table{border-collapse:collapse;display:block;overflow-x:auto}
th,td{padding:.25rem .75rem;border-bottom:1px solid var(--rule);text-align:right}
th:first-child,td:first-child{text-align:left}code{font-size:.85em;overflow-wrap:anywhere}
.charts{display:grid;grid-template-columns:repeat(auto-fill,minmax(320px,1fr));gap:1rem}svg{width:100%;height:auto}
STYLE</style></head><body>
"""
_CHARTED: Final = (
    "<p class=note>Of the labelled items of each cell; bands are 90% intervals of each arm by itself. The ring is what "
    "was chosen, the dark point the reference. Pairs are compared far more closely than the bands suggest: both arms "
    "answer the same items.</p>"
)


def page(question: Question, drawn: Draw, choice: Choice, said: Mapping[str, Any]) -> str:
    """The page of a choice; ``said`` is its document. Equal choices make equal pages."""
    parts = [
        _HEAD.replace("COLOURS", COLOURS).replace("STYLE", STYLE),
        f"<h1>{_headline(said)}</h1>",
        _summary(question, drawn, said),
        "<h2>What is answered by which arm</h2>",
        _cells(said),
        "<h2>Accuracy against cost</h2>",
        _CHARTED,
        f'<div class="charts">{"".join(_charts(question, drawn, choice))}</div>',
        "<h2>The path, step by step</h2>",
        _steps(said),
        _true(said),
        _resplits(said),
        "<h2>What the promise rests on</h2>",
        _assumptions(said),
        "</body></html>\n",
    ]
    return "\n".join(part for part in parts if part)


def _headline(said: Mapping[str, Any]) -> str:
    if not said["certified"]:
        return "Nothing changes: too little evidence"
    return (
        f"{100 * (1 - said['relative_cost']):.0f}% cheaper than {escape(said['reference'])}, losing at most "
        f"{100 * said['loss_at_most']:g} points, with confidence {said['confidence']:g}"
        + (f": {escape(basis_text(said['agreement']))}" if said.get("agreement") else "")
    )


def _summary(question: Question, drawn: Draw, said: Mapping[str, Any]) -> str:
    spent = float(np.nansum(question.table.costs[drawn.labelled]))
    certificate, shortage = said["certificate"], said["shortage"]
    rows = [
        ("reference", said["reference"]),
        (
            "promise",
            f"mean loss ≤ {said['loss_at_most']:g} at confidence {said['confidence']:g}, scope {said['scope']}",
        ),
        ("relative cost", f"{said['relative_cost']:.3f} of the reference's"),
        ("labels", f"{said['labels']} of {said['items']} items, {said['pilot_labels']} of them for the order alone"),
        ("spent on the labelled answers", f"{spent:.6g} {said.get('cost_unit', ', as the table counts costs')}"),
        ("left out", f"{said['items_left_out']} items without an outcome of every arm"),
        ("seed", str(said["seed"])),
        ("data, SHA-256", said["data_digest"]),
    ]
    if certificate is not None:
        bound = f"{certificate['bound']:.4f} (seen: {certificate['loss']:+.4f}), {certificate['method']}"
        rows.insert(2, ("upper bound of the loss", f"{bound}, {certificate['labels_read']} labels in changed cells"))
    if shortage is not None:
        rows.append(("the next step would take", shortage_text(shortage, said.get("cost_unit", ""))))
    if "run" in said:
        rows.extend(_of_the_run(said))
    if said.get("answers_in_batches"):
        count = f"{said['answers_in_batches']:,} answers, at their providers' prices for it"
        rows.append(("asked in batches", f"{count}; how long these took says nothing, so none of them counts as late"))
    if said.get("agreement"):
        rows.extend(_of_logged_asks(said["agreement"]))
    return _table(("", ""), rows)


def _of_the_run(said: Mapping[str, Any]) -> list[tuple[str, str]]:
    """How a run that measured by itself came to its choice."""
    looks = ", ".join(
        f"{look['labels']} labels at confidence {look['confidence']:g}: "
        + (f"certified, relative cost {look['relative_cost']:.3f}" if look["certified"] else "nothing yet")
        for look in said["looks"]
    )
    pilot = "; ".join(
        f"{arm['arm']} {arm['mean_score']:.1%} for {arm['mean_cost']:.4g}" for arm in said["arms_on_the_pilot"]
    )
    return [
        ("run", f"{said['run']}, rule {said['rule']}"),
        ("it ended since", said["ended"]),
        ("looks", looks or "none"),
        (f"all arms on the same {said['arms_on_the_pilot'][0]['items']} items, in {said['cost_unit']} each", pilot),
    ]


def _of_logged_asks(agreement: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Where items without a truth came from, and what stands for it."""
    sample = agreement["sample"]
    begun, ended = (datetime.fromtimestamp(sample[name], UTC).strftime("%Y-%m-%d %H:%M") for name in ("since", "until"))
    meaning = f"{basis_text(agreement)}: what more than half of {agreement['draws']} of its answers say"
    drawn = f"{sample['requests']:,} of {sample['eligible']:,} that could be, by seed {sample['seed']}"
    left_out = f"{agreement['without_majority']:,} without a majority of the reference"
    return [
        ("right means", f"{meaning}, apart from the one that it is measured by"),
        ("logged asks", f"{drawn}; {sample['seen']:,} with text from {begun} to {ended} UTC"),
        (
            "left out",
            f"{left_out}, {agreement['not_asked']:,} for want of money; the promise is not for such",
        ),
    ]


def basis_text(agreement: Mapping[str, Any]) -> str:
    """What items without a truth are scored by."""
    return f"agreement with the reference, not truth, on {agreement['items']:,} of {agreement['of_items']:,} items"


def shortage_text(shortage: Mapping[str, Any], unit: str = "") -> str:
    """What one more step would take, in words; ``unit`` is what costs are in, where that is known."""
    unit = f" {unit}" if unit else ""
    if shortage["labels_more"] is None:
        return f"no number of labels: it seems to lose {shortage['loss']:.4f}"
    return (
        f"about {shortage['labels_more']:,} labels more ({shortage['labels_in_all']:,} in all), which cost "
        f"{shortage['cost']:.4g}{unit}; it seems to lose {shortage['loss']:+.4f}"
    )


def cell_name(cell: Mapping[str, Any]) -> str:
    """A cell's category and difficulty."""
    return f"{cell['category']}, {cell['difficulty']}" if cell["difficulty"] else str(cell["category"])


def _cells(said: Mapping[str, Any]) -> str:
    head = ("cell", "share", "arm", "changed", "labels", "loss seen", "its own bound", "relative cost")
    rows = (
        (
            cell_name(cell),
            f"{cell['share']:.1%}",
            cell["arm"],
            "yes" if cell["arm"] != said["reference"] else "no",
            str(cell["labels"]),
            _number(cell["loss"]),
            _number(cell["bound"]),
            f"{cell['relative_cost']:.3f}",
        )
        for cell in said["cells"]
    )
    note = (
        "<p class=note>The promise is of all cells together. The bounds of single cells hold one at a time and are "
        "wide where labels are few; with <code>--scope cell</code> each is promised.</p>"
        if said["scope"] == "policy"
        else ""
    )
    return _table(head, rows) + note


def _charts(question: Question, drawn: Draw, choice: Choice) -> Iterable[str]:
    table = question.table
    for number, cell in enumerate(table.cells):
        rows = np.flatnonzero(drawn.labelled & (table.cell == number))
        if rows.size:
            points = _points(table, rows, number, choice.rule[number], question)
            yield f"<figure>{accuracy_by_cost(_name(cell), points)}</figure>"


def _points(table: OutcomeTable, rows: Any, number: int, chosen: int, question: Question) -> list[Point]:
    points = []
    for arm, label in enumerate(table.arms):
        asked = rows[~np.isnan(table.scores[rows, arm])]
        if not asked.size:
            continue
        full = float(table.costs[asked, question.reference].mean())
        scores: Floats = table.scores[asked, arm]
        is_binary = table.is_binary and not question.is_graded
        seen = wilson(round(scores.sum()), scores.size, _LEVEL) if is_binary else bound_mean(scores, _LEVEL)
        cost = float(table.costs[asked, arm].mean()) / full if full else 1.0
        points.append(
            Point(
                label, cost, float(scores.mean()), seen.lower, seen.upper,
                is_chosen=arm == chosen, is_reference=arm == question.reference,
            )
        )  # fmt: skip
    return points


def _name(cell: tuple[str, str | None]) -> str:
    return f"{cell[0]}, {cell[1]}" if cell[1] else cell[0]


def _steps(said: Mapping[str, Any]) -> str:
    if not said["steps"]:
        return "<p>No arm is cheaper than the reference, so there was nothing to test.</p>"
    rows = (
        (
            str(number),
            f"{step['loss']:+.4f}",
            f"{step['p_value']:.4f}",
            "certified" if step["p_value"] <= said["risk"] else "not certified",
        )
        for number, step in enumerate(said["steps"], 1)
    )
    return _table(("step", "loss seen", "p-value", ""), rows)


def _true(said: Mapping[str, Any]) -> str:
    left, full = said["true_loss"]["left_over"], said["true_loss"]["full"]
    if full is None:
        return ""
    rows = [
        (name, f"{found['items']:,}", f"{found['loss']:+.4f}", f"{found['relative_cost']:.3f}")
        for name, found in (("items left over", left), ("all items", full))
        if found is not None
    ]
    return "<h2>On items that no label touched</h2>" + _table(("", "items", "loss", "relative cost"), rows)


def _resplits(said: Mapping[str, Any]) -> str:
    found = said["resplits"]
    if found is None:
        return ""
    spend, broken = found["relative_cost"], found["violations"]
    losses = [Bar("calibrated, mean over runs", 100 * found["mean_loss"])]
    costs = [Bar("calibrated, mean over runs", spend["estimate"], spend["lower"], spend["upper"])]
    losses += [Bar(each["name"], 100 * each["loss"]) for each in found["controls"]]
    costs += [Bar(each["name"], each["relative_cost"]) for each in found["controls"]]
    return (
        f"<h2>{found['runs']} runs with other labels</h2><p>The loss on the whole table was beyond the target in "
        f"{broken['estimate']:.1%} of the runs ({broken['lower']:.1%} to {broken['upper']:.1%}); at most "
        f"{1 - said['confidence']:.0%} was promised. The largest loss was {100 * found['worst_loss']:.2f} points.</p>"
        + bars("Loss against the reference, in points", losses, mark=100 * said["loss_at_most"])
        + bars("Cost, as a share of the reference's", costs)
    )


def _assumptions(said: Mapping[str, Any]) -> str:
    certificate = said["certificate"]
    if certificate is None:
        return "<p>Nothing was promised.</p>"
    said_so = "".join(f"<li>{escape(each)}</li>" for each in certificate["assumptions"])
    return (
        f"<ul>{said_so}</ul><p class=note>Traffic that differs from these items, a model that changes, and prices that "
        "change end the promise. The order of the steps came from elsewhere than the labels that were tested.</p>"
    )


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:+.4f}"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    names = "".join(f"<th>{escape(name)}</th>" for name in head) if any(head) else ""
    lines = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table>{f'<tr>{names}</tr>' if names else ''}{lines}</table>"
