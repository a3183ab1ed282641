"""`ponder` under the sampler of CPU time: ``python -m tests.bench.sampled OUTPUT COMMAND...``."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

from tests.bench.stages import Sampler

if __name__ == "__main__":
    Sampler(Path(sys.argv[1])).install()
    sys.argv = ["ponder", *sys.argv[2:]]
    runpy.run_module("gateway.cli", run_name="__main__")
