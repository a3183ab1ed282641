"""The calibration itself: ``ponder calibrate`` as an operator would run it, beside the running gateway."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

from tests.bench_routing.policy import POLICY
from tests.bench_search.run import say
from tests.upstreams.gateway_process import REPOSITORY, GatewayProcess

_OPEN: Final = ("measuring", "choosing")


def planned(gateway: GatewayProcess, disagreement: float) -> dict[str, Any]:
    """What ``plan`` says before anything is asked: the labels for a promise, at an assumed disagreement."""
    (rule,) = _told(gateway, "plan", "--policy", POLICY, "--disagreement", str(disagreement))["rules"]
    return dict(rule)


def calibrated(gateway: GatewayProcess, report: Path, *, concurrency: int, seed: int) -> dict[str, Any]:
    """What ``run`` came to, with the number of answers it asked for; a run that was interrupted is gone on with."""
    newest = _told(gateway, "runs", "--policy", POLICY)
    begun = [each["run"] for each in newest if each["state"] in _OPEN]
    which = ("--resume", begun[0]) if begun else ("--policy", POLICY, "--seed", str(seed))
    say(f"calibrating: {' '.join(which)}")
    concluded = _told(
        gateway, "run", *which, "--activate", "--concurrency", str(concurrency), "--report", str(report)
    )  # fmt: skip
    (mine,) = [each for each in _told(gateway, "runs", "--policy", POLICY) if each["run"] == concluded["run"]]
    return {**concluded, "answers": mine["answers"], "seconds": mine["finished_at"] - mine["created_at"]}


def _told(gateway: GatewayProcess, *command: str) -> Any:
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(REPOSITORY),
        "PONDER_HOST": "127.0.0.1",
        "PONDER_PORT": str(gateway.port),
        "PONDER_HOME": str(gateway.home),
        "PONDER_CONFIG": str(gateway.home / "ponder.yaml"),
    }
    called = [sys.executable, "-m", "gateway.cli", "calibrate", *command, "--json"]
    # What it says beside the result, goes where ours goes.
    done = subprocess.run(called, cwd=gateway.home, env=environment, stdout=subprocess.PIPE, check=False)
    if done.returncode:
        raise RuntimeError(f"ponder calibrate {command[0]} ended with {done.returncode}")
    return json.loads(done.stdout)
