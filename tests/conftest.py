"""What every test shares: property tests without deadlines, and an environment of their own."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

# A slow machine is no failure; examples are the same in every run, so that CI cannot flake.
settings.register_profile(
    "ponder", deadline=None, derandomize=True, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("ponder")

for _name in [name for name in os.environ if name.startswith("PONDER_") or name.endswith("_API_KEY")]:
    del os.environ[_name]
