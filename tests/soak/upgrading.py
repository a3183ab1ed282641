"""A rolling upgrade under load: gateways of an earlier commit give way, one by one, to those of this checkout.

The rule that it tests: a release runs on its own schema and on that of the release after it. So the schema
is migrated first, while the old gateways serve, and each gateway is replaced in its own time; and one may
go back without a change to the database.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from tests.soak.books import Books, audit, failures
from tests.soak.chaos import AMPLE_USD, Step, keys_of
from tests.soak.installation import Installation, addresses, installed
from tests.soak.load import Answer, Load
from tests.upstreams.gateway_process import REPOSITORY

_GATEWAYS = 2
_RATE = 25.0
_ANSWERS_BETWEEN = 60
_BALANCER_S = 0.5


@dataclass(frozen=True, slots=True)
class Upgrade:
    """What came of one."""

    old: str
    schemas: tuple[str, str]
    """The revision before the migration and after it."""
    steps: tuple[Step, ...]
    answers: tuple[Answer, ...]
    books: Books

    @property
    def failures(self) -> list[Answer]:
        """What a client without retries notices, and should not."""
        return failures(self.answers)


def checkout(commit: str, folder: Path) -> str:
    """Unpack a commit of this repository into a folder; its short name and subject."""
    archive = _git("archive", "--format=tar", commit)
    folder.mkdir(parents=True)
    with tarfile.open(fileobj=BytesIO(archive)) as tar:
        tar.extractall(folder, filter="data")
    return _git("log", "-1", "--format=%h of %cs, %s", commit).decode().strip()


def _git(*words: str) -> bytes:
    return subprocess.run(["git", *words], cwd=REPOSITORY, capture_output=True, check=True).stdout


class _Rolling:
    """Replaces gateways of one installation under one load."""

    def __init__(self, installation: Installation, load: Load, old: Path) -> None:
        self._installation = installation
        self._load = load
        self._old = old

    def migrate(self) -> None:
        """Bring the schema to this checkout's, while the old gateways serve."""
        environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(REPOSITORY),
            "PONDER_HOME": str(self._installation.gateways[0].home),
            "PONDER_CONFIG": str(self._installation.gateways[0].home / "ponder.yaml"),
            **addresses(self._installation.to_postgres, self._installation.to_redis),
        }
        command = [sys.executable, "-m", "gateway.cli", "db", "upgrade"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"the schema could not be migrated under load:\n{done.stdout}{done.stderr}")

    def to_new(self, number: int) -> None:
        """Replace a gateway by one of this checkout."""
        self._replace(number, REPOSITORY)

    def to_old(self, number: int) -> None:
        """Replace a gateway by one of the earlier commit, as after a release that is regretted."""
        self._replace(number, self._old)

    def _replace(self, number: int, code: Path) -> None:
        gateway = self._installation.gateways[number]
        self._load.take_out(number)
        time.sleep(_BALANCER_S)
        gateway.send_signal(signal.SIGTERM)
        if (ended := gateway.wait()) != 0:
            raise RuntimeError(f"gateway {number} ended with {ended}:\n{gateway.log[-2000:]}")
        gateway.code = code
        gateway.__enter__()
        self._load.places[number].is_out = False
        self._load.await_ready(number)


def upgrade(commit: str, folder: Path, say: Callable[[str], None]) -> Upgrade:
    """Upgrade from that commit to this checkout, under load."""
    old = folder / "old"
    name = checkout(commit, old)
    say(f"from {name}")
    with installed(folder, gateways=_GATEWAYS, workers=0, code=old) as installation:
        keys = keys_of(installation, AMPLE_USD)
        load = Load([each.address for each in installation.gateways], keys[0].secret, rate=_RATE, seed=20261122)
        rolling = _Rolling(installation, load, old)
        before = installation.schema()
        steps = []
        with load:
            load.await_answers(_ANSWERS_BETWEEN)
            for what, do in (
                ("the schema is migrated, both gateways old", rolling.migrate),
                ("gateway 0 becomes new", lambda: rolling.to_new(0)),
                ("gateway 1 becomes new", lambda: rolling.to_new(1)),
                ("gateway 1 becomes old again", lambda: rolling.to_old(1)),
                ("gateway 1 becomes new again", lambda: rolling.to_new(1)),
            ):
                began, first = time.monotonic(), len(load.answers)
                do()
                took_s = time.monotonic() - began
                load.await_answers(_ANSWERS_BETWEEN)
                steps.append(Step(what, took_s, tuple(load.answers[first:])))
                say(f"{what}: {took_s:.1f} s, {len(failures(steps[-1].answers))} failed")
        schemas = before, installation.schema()
        return Upgrade(name, schemas, tuple(steps), tuple(load.answers), audit(installation, load, keys))
