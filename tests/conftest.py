"""What every test shares: examples that are the same in every run, and an environment of their own."""

from __future__ import annotations

import os
import signal

from tests.randomness import register

register()

for _name in [name for name in os.environ if name.startswith("PONDER_") or name.endswith("_API_KEY")]:
    del os.environ[_name]

# A shell that starts the tests in the background has them ignore this, and with them all that they start.
signal.signal(signal.SIGINT, signal.default_int_handler)
