"""The page ``docs/results/routing.md`` and its chart."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from tests.bench.__main__ import machine
from tests.bench_routing.asking import AT_ONCE, Reply
from tests.bench_routing.findings import Beside, beside, by_difficulty, on_the_pilot, verdicts
from tests.bench_routing.policy import ARMS, CONFIDENCE, LOSS_AT_MOST, REFERENCE, tokens_of
from tests.bench_search.adaptive import LEVELS, MIX
from tests.bench_search.charts import Point, chart
from tests.bench_search.findings import percent, show, signed
from tests.bench_search.report import grid, version
from tests.vllm.servers import ENVIRONMENT

_CHART: Final = "routing.svg"
_CHEAPEST: Final = "greedy"


def write(stages: Mapping[str, Any], routed: Sequence[Reply], reference: Sequence[Reply], into: Path) -> None:
    """Write the page and its chart."""
    (rule,) = stages["calibration"]["rules"]
    whole = beside(routed, reference)
    (into / _CHART).write_text(chart("Accuracy against tokens", _points(rule, whole)), "utf-8")
    (into / "routing.md").write_text(page(stages, routed, reference), "utf-8")


def page(stages: Mapping[str, Any], routed: Sequence[Reply], reference: Sequence[Reply]) -> str:
    """The page."""
    (rule,) = stages["calibration"]["rules"]
    whole = beside(routed, reference)
    judged = [
        f"| {one.name} | {one.target} | {one.measured} | {'yes' if one.is_met else '**no**'} |"
        for one in verdicts(rule, whole)
    ]
    parts = [
        _head(stages),
        "## Targets",
        grid("target | asked for | measured, with 95% intervals | met", judged),
        f"![Accuracy against tokens]({_CHART})",
        "## The calibration",
        _calibration(stages, rule),
        _choice(rule),
        "### The arms",
        _arms(rule),
        "## Fresh traffic",
        _traffic(whole, by_difficulty(routed, reference)),
    ]
    return "\n\n".join(parts) + "\n"


def _head(stages: Mapping[str, Any]) -> str:
    mix = ", ".join(f"{MIX[name]:.0%} of {operations}" for name, operations in LEVELS.items())
    return (
        "# Routing, calibrated and certified\n\n"
        "Written by `make bench-routing`. A small model of our own, trained on chained arithmetic "
        "([the test bed](../../tests/reasoner/README.md)), is served by a real vLLM on a processor. Its traffic is of "
        f"mixed difficulty: problems with so many operations, {mix}. `ponder calibrate run` measures {len(ARMS)} ways "
        "to answer on golden items through the running gateway, publishes what is certified, and puts it in force; "
        f"fresh problems are then sent twice, once to `auto` and once to the arm `{REFERENCE}`, a tree search that is "
        "the reference. These are figures for a toy model: what carries over are the mechanism and the ratios, not the "
        "accuracies.\n\n"
        f"- Machine: {machine()}; calibrator, load generator, gateway and model servers share it. No figure here is "
        "a time that counts.\n"
        "- Items are of the validation split, the traffic is of the test split; sizes of arms were chosen on the train "
        "split. The difficulty is what a logistic regression predicts of the question (counts of operations, sizes of "
        "numbers), fitted to pass rates on the train split; it comes with a golden item as its `difficulty` and with "
        "a request as a hint.\n"
        "- A token is one that the small model wrote, losers included, or that the verifier read. Each costs a "
        "millionth of a dollar here and prompts cost nothing, so that the ledger counts tokens, and the calibrator "
        "chooses by them.\n"
        f"- {datetime.now(UTC):%Y-%m-%d}; seed {stages['seed']}; {AT_ONCE} asks under way at a time.\n"
        "- Intervals are 95%: Wilson's for shares, a paired bootstrap over problems for ratios and differences.\n\n"
        f"{_versions(stages['weights'])}"
    )


def _versions(weights: Mapping[str, str]) -> str:
    digests = ", ".join(f"{name} {digest}" for name, digest in weights.items())
    own, vllm = importlib.metadata.version("ponder"), version(ENVIRONMENT / "bin" / "python", "vllm")
    return f"Versions: Ponder {own}, vLLM {vllm}; digests of the weights: {digests}."


def _calibration(stages: Mapping[str, Any], rule: Mapping[str, Any]) -> str:
    plan, run = stages["plan"], stages["calibration"]
    everything = stages["items"] * len(ARMS)
    spent = tokens_of(run["spent_usd"])
    return (
        f"Asked for: a mean loss against `{REFERENCE}` of at most {LOSS_AT_MOST} at confidence {CONFIDENCE}, on "
        f"{stages['items']:,} items. Before anything was asked, `ponder calibrate plan` reckoned with "
        f"{plan['labels']:,} labels for a change of all traffic that truly loses nothing, at a disagreement of 20%. "
        f"The run asked {run['answers']:,} answers of {everything:,} that there could have been, "
        f"{spent / 1e6:.1f} million tokens, in {run['seconds'] / 60:.0f} minutes: {rule['pilot_labels']:,} items of "
        f"every arm for the pilot, then {rule['labels'] - rule['pilot_labels']:,} of the arms that were left. It ended "
        f"because {rule['ended']}.\n\n"
        + grid(
            "look | labels | confidence | certified | relative cost",
            [
                f"| {number} | {look['labels']:,} | {look['confidence']:.3f} | "
                f"{'yes' if look['certified'] else 'no'} | {look['relative_cost']:.3f} |"
                for number, look in enumerate(rule["looks"], 1)
            ],
        )
    )


def _choice(rule: Mapping[str, Any]) -> str:
    lines = [
        f"| {each['difficulty']} | {each['share']:.1%} | {each['arm']} | {each['labels']:,} | "
        f"{_points_of(each['loss'])} | {_points_of(each['bound'])} | {each['relative_cost']:.3f} |"
        for each in rule["cells"]
    ]
    certificate = rule["certificate"]
    if certificate is None:
        return f"Nothing is certified, so always `{REFERENCE}` stays.\n\n{grid(_CELLS, lines)}"
    return (
        f"Certified: the mean loss is at most {LOSS_AT_MOST} at confidence {CONFIDENCE}; seen "
        f"{_points_of(certificate['loss'])} points, bound {_points_of(certificate['bound'])}, by "
        f"{certificate['labels_read']:,} labels ({certificate['method']}). Relative cost: "
        f"{rule['relative_cost']:.3f}. Loss and bound of a row are points, and speak of that difficulty alone.\n\n"
        f"{grid(_CELLS, lines)}"
    )


_CELLS: Final = "difficulty, as predicted | share | arm | labels | loss | bound | relative cost"


def _arms(rule: Mapping[str, Any]) -> str:
    rows = on_the_pilot(rule)
    full = {name: cost for name, _, cost in rows}[REFERENCE]
    lines = [
        f"| `{name}` | {_written(name)} | {percent(right)} | {tokens_of(str(cost)):.0f} | {cost / full:.3f} |"
        for name, right, cost in rows
    ]
    return f"On the {rule['pilot_labels']:,} items of the pilot, which all arms were asked.\n\n" + grid(
        "arm | is | right, % | tokens | of the reference's", lines
    )


def _written(name: str) -> str:
    told = {key: value for key, value in ARMS[name].items() if key not in ("model", "verifier")}
    return ", ".join(f"{key} {value}" for key, value in told.items()) or "one answer"


def _traffic(whole: Beside, rows: Mapping[str, Beside]) -> str:
    lines = [
        f"| {name} | {each.problems:,} | {', '.join(each.arms)} | {percent(each.right)} | "
        f"{percent(each.right_of_other)} | {signed(each.points)} | {each.tokens:.0f} | {each.tokens_of_other:.0f} | "
        f"{show(each.token_share)} |"
        for name, each in [*rows.items(), ("all", whole)]
    ]
    failed = f" {whole.failed} asks failed, and count as wrong." if whole.failed else ""
    return (
        f"{whole.problems:,} problems, each once as it is routed and once by `{REFERENCE}`; neither a temperature nor "
        f"a seed is named, and each way has a key of its own, so no cache is shared.{failed}\n\n"
        + grid(
            f"difficulty, as predicted | problems | arms | right, % | by {REFERENCE}, % | points | tokens | "
            f"by {REFERENCE} | share of the tokens",
            lines,
        )
    )


def _points(rule: Mapping[str, Any], whole: Beside) -> list[Point]:
    rows = on_the_pilot(rule)
    least = {name: tokens_of(str(cost)) for name, _, cost in rows}[_CHEAPEST]
    points = [
        Point(f"always {name}", tokens_of(str(cost)) / least, right, "one arm (pilot)")
        for name, right, cost in rows
        if name != REFERENCE
    ]
    return [
        *points,
        Point(f"always {REFERENCE}", whole.tokens_of_other / least, whole.right_of_other, "reference (traffic)"),
        Point("calibrated", whole.tokens / least, whole.right, "calibrated (traffic)"),
    ]


def _points_of(share: float | None) -> str:
    return "" if share is None else f"{100 * share:+.1f}".replace("-", "−")
