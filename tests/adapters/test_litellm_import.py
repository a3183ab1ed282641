"""What importing litellm does to a process, and when it happens."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from gateway.adapters.litellm_faults import MEANINGS

ROOT = Path(__file__).parents[2]

PROBE = """
import json, os, socket, sys
attempts = []
def refuse(*where):
    attempts.append(str(where))
    raise OSError("no network in this test")
socket.socket.connect = socket.socket.connect_ex = socket.getaddrinfo = refuse
import gateway.app, gateway.wiring, gateway.adapters.litellm_upstream as adapter
before = [name for name in ("litellm", "httpx", "openai") if name in sys.modules]
library = adapter._load()
own = [kind for kind in vars(library.litellm.exceptions).values()
       if isinstance(kind, type) and issubclass(kind, Exception) and kind.__module__ == "litellm.exceptions"]
json.dump({
    "before": before,
    "attempts": attempts,
    "dotenv": os.environ.get("PONDER_TEST_DOTENV"),
    "exceptions": sorted(kind.__name__ for kind in own),
    "bases": sorted({base.__name__ for kind in own for base in library.failures if issubclass(kind, base)}),
    "callbacks": [*library.litellm.callbacks, *library.litellm.success_callback, *library.litellm.failure_callback],
}, sys.stdout)
"""


def _probe(folder: Path) -> dict[str, Any]:
    (folder / ".env").write_text("PONDER_TEST_DOTENV=loaded\n")
    done = subprocess.run(
        [sys.executable, "-c", PROBE],
        cwd=folder,
        env={"PYTHONPATH": str(ROOT), "PATH": "", "HOME": str(folder)},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert done.stderr == ""
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_litellm_comes_late_and_quietly(tmp_path: Path) -> None:
    """The gateway starts without litellm; its import prints nothing, asks no server, and reads no .env file."""
    found = _probe(tmp_path)
    assert found["before"] == []
    assert found["attempts"] == []
    assert found["dotenv"] is None
    assert found["callbacks"] == []
    # A class that litellm adds must be given its meaning, and one that it removes must go.
    assert found["exceptions"] == sorted(MEANINGS)
    assert set(found["exceptions"]) <= set(found["bases"])
