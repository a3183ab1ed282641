"""`ponder calibrate judges`."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from gateway.domain.identity import new_request_id
from gateway.domain.outcome import Outcome
from gateway.domain.plan import Plan
from gateway.store.base import locate
from gateway.store.connections import Connections
from gateway.store.outcomes import Outcomes
from gateway.store.sinks import open_sink
from gateway.store.verifications import CALIBRATOR
from tests.calibrator.commands.conftest import Ponder
from tests.store.records import FULL, request

assert FULL.plan is not None
PLAN: Plan = replace(FULL.plan, policy="work", arm=replace(FULL.plan.arm, name="fast"))


async def _fill(home: Path) -> None:
    """Two hundred verdicts, of which 60 right and 40 wrong answers are known; it errs on ten of either."""
    begun = time.time() - 3_600
    ids = [new_request_id(begun) for _ in range(200)]
    said = []
    for number, each in enumerate(ids):
        is_right = number % 100 < 60
        accepts = is_right != (number % 100 in {*range(10), *range(60, 70)})
        verdict = Outcome(each, "verifier:judge", float(accepts), begun, CALIBRATOR, is_vouched=True)
        said.append(verdict)
        if number < 100:
            said.append(replace(verdict, source="audit", key_id="auditor", score=float(is_right)))
    database = locate(f"sqlite+aiosqlite:///{home}/ponder.db")
    sink, connections = open_sink(database), Connections(database, most=1)
    await sink.write([replace(request(), id=each, started_at=begun, plan=PLAN) for each in ids])
    await Outcomes(connections).add(said)
    await sink.close()
    await connections.close()


def test_judges_are_told_with_their_errors(run: Ponder, policy: Path, environment: Mapping[str, str | None]) -> None:
    """By verifier and arm, as a table and as JSON."""
    asyncio.run(_fill(Path(str(environment["PONDER_HOME"]))))
    (told,) = json.loads(run("calibrate", "judges", "--policy", "work", "--json").stdout)
    assert (told["verifier"], told["arm"], told["judged"], told["accepted"], told["usable"]) == (
        "judge", "fast", 200, 120, True,
    )  # fmt: skip
    assert (told["known_right"], told["known_right_accepted"]) == (60, 50)
    assert (told["known_wrong"], told["known_wrong_refused"]) == (40, 30)
    assert told["success_corrected"]["lower"] < 0.6 < told["success_corrected"]["upper"]
    assert told["success_prediction_powered"]["lower"] < 0.6 < told["success_prediction_powered"]["upper"]
    shown = run("calibrate", "judges", "--policy", "work").stdout
    known = told["sensitivity"]
    assert f"{known['estimate']:.3f} ({known['lower']:.3f} to {known['upper']:.3f})" in shown
    assert "An audit of a random sample does that" in shown


def test_where_nothing_was_verified_that_is_said(run: Ponder, policy: Path) -> None:
    """With the member of the policy that would have it verified."""
    result = run("calibrate", "judges", "--policy", "work", "--since", "1d")
    assert "No answer of policy work was verified since then; see `calibrate.verify`" in result.stdout
    assert json.loads(run("calibrate", "judges", "--policy", "work", "--json").stdout) == []
