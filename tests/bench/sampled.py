"""Any module run under the sampler of CPU time: ``python -m tests.bench.sampled OUTPUT MODULE ARGUMENT...``."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

from tests.bench.stages import Sampler

if __name__ == "__main__":
    Sampler(Path(sys.argv[1])).install()
    sys.argv = sys.argv[2:]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
