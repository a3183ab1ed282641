"""The page ``docs/results/search.md`` and its charts, written of all that has been measured."""

from __future__ import annotations

import importlib.metadata
import subprocess
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any, Final

from tests.bench.__main__ import machine
from tests.bench_search import adaptive, arms, peer
from tests.bench_search.asking import AT_ONCE
from tests.bench_search.charts import Point, chart
from tests.bench_search.figures import share
from tests.bench_search.findings import (
    VOTES,
    Row,
    allocated,
    cache_shares,
    driver_ratio,
    matched,
    outdone,
    percent,
    show,
    signed,
    table,
    verdicts,
    voting,
)
from tests.bench_search.run import SEED, Run
from tests.vllm.servers import ENVIRONMENT

_LIKELIHOOD: Final = (
    "Verifier: kind `likelihood`, a head trained on Monte-Carlo labels of steps over the large model's likelihoods "
    "([its report](../../tests/reasoner/weights/likelihood/report.md)). So it knows about as much as the large model, "
    "and what it reads is counted at the large model's size. With a weaker verifier, searches gain less."
)
_FAMILIES: Final = ("best of", "majority", "vote", "beam", "DVTS", "MCTS")


def write(run: Run, stages: Mapping[str, Any], into: Path) -> None:
    """Write the page and its charts."""
    rows = table(run)
    into.mkdir(parents=True, exist_ok=True)
    for operations, each in rows.items():
        title = f"{operations} operations: accuracy against compute"
        (into / f"search-{operations}.svg").write_text(chart(title, _points(each)), "utf-8")
    (into / "search.md").write_text(page(run, rows, stages), "utf-8")


def page(run: Run, rows: Mapping[int, Sequence[Row]], stages: Mapping[str, Any]) -> str:
    """The page."""
    parts = [_head(run), _versions(run)]
    judged = verdicts(run, rows, stages)
    if judged:
        lines = [
            f"| {one.name} | {one.target} | {one.measured} | {'yes' if one.is_met else '**no**'} |" for one in judged
        ]
        parts += ["## Targets", grid("target | asked for | measured, with 95% intervals | met", lines)]
    if rows:
        parts += ["## Strategies", _STRATEGIES, *(_table(operations, each) for operations, each in rows.items())]
        parts += _voting(rows)
        parts += _matched(run, rows)
    if "adaptive" in stages:
        parts += ["## Adaptive allocation", _adaptive(run, stages["adaptive"])]
    if "driver" in stages:
        parts += ["## The driver's cost", _driver(stages["driver"], rows)]
    if stages.get("its_hub"):
        parts += ["## Beside its-hub", _peer(run, rows, stages["its_hub"])]
    return "\n\n".join(parts) + "\n"


def _head(run: Run) -> str:
    sizes = ", ".join(f"{name} {size:,}" for name, size in run.bed.sizes.items())
    return (
        "# Searches, measured\n\n"
        "Written by `make bench-search`. A small model of our own, trained on chained arithmetic "
        "([the test bed](../../tests/reasoner/README.md)), is served by a real vLLM on a processor; every request "
        "goes through the gateway's HTTP port. The difficulty of a problem is the number of its operations. All "
        "problems are of the test split: neither the models nor the reward model have seen them, and what is tuned "
        "is tuned on the validation split. These are figures for a toy model: what carries over are the mechanism "
        "and the ratios, not the accuracies.\n\n"
        f"- Machine: {machine()}; load generator, gateway and model servers share it{_precedence(run)}.\n"
        f"- Weights of the models: {sizes}.\n"
        f"- {datetime.now(UTC):%Y-%m-%d}; seed {SEED}; the same seeds for every arm, so arms are compared on the same "
        f"luck; temperature {arms.VOTES_AT} for votes, 0.8 where another strategy draws more than once, else 0; "
        f"{AT_ONCE} problems under way at a time.\n"
        "- Intervals are 95%: Wilson's for shares, a paired bootstrap over problems for ratios and differences."
    )


def _versions(run: Run) -> str:
    vllm = version(ENVIRONMENT / "bin" / "python", "vllm")
    own = importlib.metadata.version("ponder")
    digests = ", ".join(f"{name} {digest}" for name, digest in run.bed.weights.items())
    its = version(peer.ENVIRONMENT / "bin" / "python", "its_hub")
    return f"{_LIKELIHOOD}\n\nVersions: Ponder {own}, vLLM {vllm}, its-hub {its}; digests of the weights: {digests}."


def version(python: Path, name: str) -> str:
    """The version of a package in an environment of its own."""
    if not python.exists():
        return "not installed"
    asked = f"import importlib.metadata as m; print(m.version({name!r}))"
    return subprocess.run([str(python), "-c", asked], capture_output=True, text=True, check=True).stdout.strip()


def grid(heads: str, lines: Sequence[str]) -> str:
    """A table of Markdown: the heads, and lines that are rows already."""
    columns = heads.count("|") + 1
    return "\n".join([f"| {heads} |", "| --- " * columns + "|", *lines])


_STRATEGIES: Final = (
    "*written*: tokens that models wrote for a problem, losers included. *read*: tokens that the reward model read; "
    "equal answers are read once. *×*: both, weighted by the size of the model, as a multiple of greedy's on the same "
    "problems. *seconds*: mean time to the answer under this load. *any draw right* is what a perfect choice would "
    "reach (the oracle), *by lot* what a blind choice among the draws would. `large` is one greedy draw of the large "
    "model; `draft` lets the small one write steps and the large one take over; the cascade asks small, best of 4, "
    "large."
)


def _table(operations: int, rows: Sequence[Row]) -> str:
    lines = [
        f"| {row.arm} | {len(row.attempts)} | {percent(row.accuracy)} | {row.tokens.written:.0f} | "
        f"{row.tokens.read:.0f} | {row.multiple:.1f} | {row.wall_s:.2f} | {100 * row.oracle:.0f} | "
        f"{100 * row.random:.0f} |"
        for row in rows
    ]
    failed = sum(row.failed for row in rows)
    note = f"\n\nA cheaper arm was right at least as often as: {', '.join(outdone(rows)) or 'none of them'}."
    note += f" {failed} requests failed, and count as wrong." if failed else ""
    heads = "strategy | problems | right, % | written | read | × | seconds | any draw right, % | by lot, %"
    picture = f"![Accuracy against compute](search-{operations}.svg)"
    return f"### {operations} operations\n\n{grid(heads, lines)}{note}\n\n{picture}"


def _points(rows: Sequence[Row]) -> list[Point]:
    return [Point(row.arm, row.multiple, row.accuracy, _family(row.arm)) for row in rows]


def _family(arm: str) -> str:
    if arm.endswith("weighted"):
        return "weighted"
    return next((family for family in _FAMILIES if arm.startswith(family)), "one chain")


def _voting(rows: Mapping[int, Sequence[Row]]) -> list[str]:
    found = {name: votes for name in VOTES if (votes := voting(rows, name)) is not None}
    told = [
        f"{name[0].upper()}{name[1:]}: {signed(points)} points of accuracy, at {show(tokens)} of the tokens."
        for name, (points, tokens) in found.items()
    ]
    if not told:
        return []
    about = "`vote 8` with its defaults beside the majority of all 8, over all difficulties in equal parts."
    return ["### Adaptive voting", " ".join([about, *told])]


def _matched(run: Run, rows: Mapping[int, Sequence[Row]]) -> list[str]:
    found = matched(run, rows)
    if not found:
        return []
    ratio = run.bed.sizes["large"] / run.bed.sizes["small"]
    lines = [
        f"| {one.operations} | {one.inference_share:g} | {one.allowed:.1f}× | {' / '.join(dict.fromkeys(one.arms))} | "
        f"{percent(one.small)} | {percent(one.large)} | {signed(one.gain)} |"
        for one in found
    ]
    return [
        "### Small with search, or large?",
        (
            f"The large model has {ratio:.1f} times the weights. R is the tokens of inference for each token of "
            "training ([Snell et al.](https://arxiv.org/abs/2408.03314)): the rarer a model is used, the more its "
            "training weighs, and the more search the small one may do for the same work. The search is picked on one "
            "half of the problems and judged on the other, both ways. The reward model's work counts, its training "
            "does not."
        ),
        grid("operations | R | work allowed | picked | small with search, % | large, % | points", lines),
    ]


def _precedence(run: Run) -> str:
    if not run.bed.is_ahead:
        return ", and wait for each other: the threads of a vLLM that has nothing to do spin"
    return ", all but the model servers at real-time priority: a vLLM spins while it waits, and keeps others waiting"


def _adaptive(run: Run, tuned: Mapping[str, Any]) -> str:
    uniform, ways = allocated(run, tuned)
    mix = ", ".join(f"{adaptive.MIX[name]:.0%} {name} ({adaptive.LEVELS[name]} operations)" for name in adaptive.LEVELS)
    sizes = "/".join(map(str, tuned["sizes"].values()))
    curve = ", ".join(f"{number}: {100 * value:.1f}%" for number, value in tuned["curve"].items())
    choice = {
        kind: "; ".join(f"{level}: {each}" for level, each in found["choice"].items())
        for kind, found in tuned["kinds"].items()
    }
    lines = [
        f"| {name} | {percent(each.accuracy)} | {each.tokens.written:.0f} | {each.tokens.read:.0f} | "
        f"{signed(each.points)} | {show(each.token_share)} |"
        for name, each in [
            (f"uniform best of {tuned['uniform']}", uniform),
            ("adaptive, by the number of operations", ways[0]),
            ("adaptive, by the predictor", ways[1]),
        ]
    ]
    return (
        f"A mix of {mix}: {sizes} test problems. Uniform is plain best-of-N that waits for all of its draws, at the "
        f"smallest N within a point of the best on {tuned['tuning']} validation problems of each difficulty (accuracy "
        f"on the mix by N: {curve}). An adaptive policy has a rule for each difficulty; its arms are those with the "
        f"fewest tokens that were right as often on the validation problems taken for it. By the number of operations "
        f"{choice['known']}; by the predictor {choice['predicted']}. The predictor is a logistic "
        "regression on counts of operations and sizes of numbers, fitted to pass rates on the training split; it names "
        f"the same difficulty as the number of operations for {tuned['agreement']:.0%} of the test problems.\n\n"
        + grid("allocation | right, % | written | read | points | share of the tokens", lines)
    )


def _driver(found: Mapping[str, Any], rows: Mapping[int, Sequence[Row]]) -> str:
    rounds, gone = found["rounds"], found["gone_ms"]
    lines = [
        f"| {number} | {each['bare']:,.0f} | {each['search']:,.0f} | {each['search'] / each['bare']:.2f} |"
        for number, each in enumerate(rounds, 1)
    ]
    read = ", ".join(f"{arm} {value:.1%}" for arm, value in cache_shares(rows).items())
    return (
        f"The majority of 8 on {found['problems']} problems of 8 operations a round: every draw as a bare request of "
        f"an asyncio load generator, or as a draw of the gateway's search; {found['at_once']} at a time both ways, "
        "counted by vLLM. Everything shares the machine's cores: what the gateway computes, the model does not.\n\n"
        + grid("round | bare, tokens/s | search, tokens/s | ratio", lines)
        + f"\n\nOver all rounds {show(driver_ratio(found))}. When a client leaves in the middle of a search of 8 "
        "draws, "
        f"none of them runs in the engine any more after {median(gone):.0f} ms (median of {len(gone)}; most "
        f"{max(gone):.0f} ms), the gateway's noticing included.\n\n"
        "Share of the prompt tokens in whole blocks of 32, seen before in the same search, that vLLM read from its "
        f"prefix cache: {read or 'not measured'}."
    )


def _peer(run: Run, rows: Mapping[int, Sequence[Row]], found: Mapping[str, Any]) -> str:
    lines = []
    for each in found.values():
        if each["operations"] not in rows:
            continue
        hits, tokens = each["right"], each["written"] + each["read"]
        ours = _cheapest(rows[each["operations"]], hits)
        own = (
            f"{ours.arm}: {percent(share([one.is_right for one in ours.attempts[: len(hits)]]))} | "
            f"{ours.tokens.both / tokens:.2f} | {ours.wall_s / each['wall_s']:.2f}"
            if ours
            else "none | |"
        )
        name = f"{each['algorithm']}, budget {each['budget']}"
        failed = f", {each['faults']} failed" if each["faults"] else ""
        lines.append(
            f"| {each['operations']} | {name}{failed} | {len(hits)} | {percent(share(hits))} | {each['written']:.0f} | "
            f"{each['read']:.0f} | {each['wall_s']:.2f} | {own} |"
        )
    return (
        "its-hub's algorithms ran in a process of their own on the same servers, with the same reward model, the same "
        f"problems, {AT_ONCE} at a time and no limit of its own on calls; tokens as the servers told them. Its "
        "answers are compared by the stated number. Beside each stands our arm with the fewest tokens of those that "
        "are right at least as often on the same problems; ratios below 1 are in our favour. Ours pay for the gateway "
        "(HTTP, record, ledger) on the same two cores, its-hub does not.\n\n"
        + grid(
            "operations | its-hub | problems | right, % | written | read | seconds | ours at that accuracy, % | "
            "tokens, ratio | seconds, ratio",
            lines,
        )
    )


def _cheapest(rows: Sequence[Row], hits: Sequence[bool]) -> Row | None:
    """Our arm with the fewest tokens that is right as often on the same problems, by the small model alone."""
    able = [
        row
        for row in rows
        if len(row.attempts) >= len(hits)
        and sum(one.is_right for one in row.attempts[: len(hits)]) >= sum(hits)
        and all("large" not in one.uses for one in row.attempts)
    ]
    return min(able, key=lambda row: row.tokens.both, default=None)
