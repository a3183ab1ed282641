"""Tests of gateway/supervisor/tether.py: no child outlives a supervisor that is killed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

_PARENT = """
import subprocess, sys, time
from gateway.supervisor.tether import {kind}
tether = {kind}()
child = subprocess.Popen(
    [sys.executable, "-S", "-c", sys.argv[1], sys.argv[2]],
    stdout=subprocess.PIPE, start_new_session=True, preexec_fn=tether.before_exec,
)
tether.watch([child.pid])
child.stdout.readline()
print("up", flush=True)
time.sleep(3600)
"""
_CHILD = """
import signal, sys
def stop(*_):
    with open(sys.argv[1], "w") as pipe:
        pipe.write("told to stop")
    sys.exit()
signal.signal(signal.SIGTERM, stop)
print("up", flush=True)
signal.pause()
"""


@pytest.mark.parametrize("kind", ["DeathSignal", "Sentry"])
def test_a_killed_supervisor_takes_its_children_along(kind: str, tmp_path: Path) -> None:
    """When the supervisor is killed with SIGKILL, its child gets SIGTERM."""
    if kind == "DeathSignal" and sys.platform != "linux":
        kind = "Sentry"
    farewell = tmp_path / "farewell"
    subprocess.run(["mkfifo", farewell], check=True)
    command = [sys.executable, "-c", _PARENT.format(kind=kind), _CHILD, str(farewell)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        try:
            assert parent.stdout is not None
            assert parent.stdout.readline() == "up\n"
        finally:
            parent.kill()
        reader = subprocess.run(["cat", farewell], capture_output=True, text=True, timeout=20, check=True)
    assert reader.stdout == "told to stop"
