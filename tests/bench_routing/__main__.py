"""The command ``python -m tests.bench_routing``: calibrate on the test bed, then try what was published."""

from __future__ import annotations

import argparse
import json
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from tests.bench_routing import policy
from tests.bench_routing.asking import AT_ONCE, ask_all, keep, kept
from tests.bench_routing.calibration import calibrated, planned
from tests.bench_routing.findings import paired
from tests.bench_routing.mix import Asked, golden, mixed
from tests.bench_routing.report import write
from tests.bench_search.adaptive import Predictor
from tests.bench_search.attempts import Kept
from tests.bench_search.bed import Bed, laid
from tests.bench_search.run import Run, say
from tests.reasoner.tasks import Problem
from tests.upstreams.gateway_process import awaited

ROOT: Final = Path(__file__).parents[2]
WEIGHTS: Final = ROOT / "tests" / "reasoner" / "weights"
STAGES: Final = ("calibrate", "traffic")
_WAYS: Final[Mapping[str, str]] = {
    "routed": f"auto:{policy.POLICY}",
    "reference": f"arm:{policy.POLICY}/{policy.REFERENCE}",
}
"""By the name of its file, how the traffic is asked."""
_PART: Final = 50
DISAGREEMENT: Final = 0.2
"""What ``plan`` assumes without outcomes, unless it is told otherwise."""
_GREEDY: Final = ("--override-generation-config", '{"temperature": 0}')
"""What is asked without a temperature has the likeliest answer; searches name theirs."""


def main() -> int:
    """Measure the stages that were asked for; the page is written of what this and earlier runs measured."""
    options = _options().parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the servers end, too
    folder: Path = options.folder.resolve()  # the gateway runs in a folder of its own
    state = folder / "stages.json"
    stages: dict[str, Any] = json.loads(state.read_text("utf-8")) if state.exists() else {}
    wanted = options.stage or STAGES
    if "report" not in wanted:
        with _laid(options.weights, folder) as bed:
            say("up: the small model, the verifier, the gateway")
            asked = _asked(bed, folder, options)
            stages |= {"weights": dict(bed.weights), "seed": options.seed}
            if "calibrate" in wanted:
                stages |= _calibrate(bed, folder, asked["items"], options.seed)
                state.write_text(json.dumps(stages), "utf-8")
            if "traffic" in wanted:
                _send(bed, folder, asked["traffic"], stages["calibration"]["profile"])
    if options.write:
        write(stages, *paired(*(kept(folder / f"{name}.jsonl") for name in _WAYS)), options.write)
        say(f"written: {options.write / 'routing.md'}")
    return 0


def _options() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(prog="python -m tests.bench_routing", description=__doc__)
    options.add_argument(
        "--stage", action="append", choices=(*STAGES, "report"),
        help="measure this alone (may be repeated); with report nothing, and the page is written anew",
    )  # fmt: skip
    options.add_argument("--items", type=int, default=3000, help="golden items to calibrate on (3000)")
    options.add_argument("--traffic", type=int, default=2000, help="fresh problems to try the result on (2000)")
    options.add_argument(
        "--tuning", type=int, default=100, help="problems of each difficulty that set its limits (100)"
    )
    options.add_argument("--seed", type=int, default=1, help="of the order in which items are drawn (1)")
    options.add_argument("--weights", type=Path, default=WEIGHTS, help="the folder of the models")
    options.add_argument(
        "--folder", type=Path, default=ROOT / "build" / "bench-routing",
        help="where everything is kept: a calibration that was interrupted is gone on with",
    )  # fmt: skip
    options.add_argument("--write", type=Path, default=ROOT / "docs" / "results", help="where the page goes")
    return options


@contextmanager
def _laid(weights: Path, folder: Path) -> Iterator[Bed]:
    """The bed without the large model, and with the prices and the policy of this benchmark."""
    with laid(weights, folder, models=("small",), flags=_GREEDY) as bed:
        bed.put_in_force(policy.document())
        bed.gateway.configure(policy.configuration({name: each.address for name, each in bed.servers.items()}))
        awaited(lambda: _is_priced(bed), "the prices of this benchmark")
        yield bed


def _is_priced(bed: Bed) -> bool:
    said = {"model": "small", "messages": [{"role": "user", "content": "Q:11 +22"}]}
    answer = bed.gateway.post("/v1/chat/completions", json=said)
    return answer.is_success and policy.tokens_of(answer.headers["x-ponder-cost-usd"]) > 0


def _asked(bed: Bed, folder: Path, options: argparse.Namespace) -> Mapping[str, Sequence[Asked]]:
    """Items and traffic. Predictions are made once, so that a run that is gone on with has the same."""
    file = folder / "predicted.json"
    known: dict[str, str] = json.loads(file.read_text("utf-8")) if file.exists() else {}
    predictors: list[Predictor] = []

    def predict(problem: Problem) -> str:
        if problem.question not in known:
            if not predictors:
                predictors.append(Predictor(Run(bed, Kept(folder / "none.jsonl"), 0, options.tuning)))
            known[problem.question] = predictors[0].level(problem)
        return known[problem.question]

    asked = {
        "items": mixed("validation", options.items, predict),
        "traffic": mixed("test", options.traffic, predict),
    }
    file.write_text(json.dumps(known), "utf-8")
    return asked


def _calibrate(bed: Bed, folder: Path, items: Sequence[Asked], seed: int) -> dict[str, Any]:
    into = bed.gateway.home / "policies" / policy.POLICY / "golden"
    into.mkdir(exist_ok=True)
    (into / "items.jsonl").write_text(golden(items), "utf-8")
    plan = planned(bed.gateway, DISAGREEMENT)
    say(f"planned: {plan['labels']} labels")
    found = calibrated(bed.gateway, folder / "report.html", concurrency=AT_ONCE, seed=seed)
    say(f"calibrated: {found['note']}")
    for name in _WAYS:
        (folder / f"{name}.jsonl").unlink(missing_ok=True)
    return {"plan": plan, "calibration": found, "items": len(items)}


def _send(bed: Bed, folder: Path, traffic: Sequence[Asked], version: int | None) -> None:
    """Send the traffic once as it is routed, and once to the reference; what an earlier run has sent is not sent again.

    Both ways take turns, part by part, so that they have had nearly the same problems whenever it is broken off.
    """
    if version is not None:
        awaited(lambda: _is_in_force(bed, traffic[0], version), f"version {version} of the profile")
    keys = {name: bed.new_key() for name in _WAYS}
    for start in range(0, len(traffic), _PART):
        for name, model in _WAYS.items():
            file = folder / f"{name}.jsonl"
            done = {each.question for each in kept(file)}
            left = [each for each in traffic[start : start + _PART] if each.problem.question not in done]
            keep(file, ask_all(bed.gateway.address, keys[name], model, left))
            replies = kept(file)
            say(f"{name}: {sum(each.is_right for each in replies) / len(replies):.1%} of {len(replies)} right")


def _is_in_force(bed: Bed, one: Asked, version: int) -> bool:
    (reply,) = ask_all(bed.gateway.address, bed.gateway.key, f"auto:{policy.POLICY}", [one])
    answered: bool = bed.gateway.record(reply.request_id)["plan"]["profile_version"] == version
    return answered


if __name__ == "__main__":
    sys.exit(main())
