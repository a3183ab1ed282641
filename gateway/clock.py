"""The machine's clock."""

from __future__ import annotations

import time


class SystemClock:
    """The machine's clock. Satisfies :class:`gateway.ports.Clock`."""

    now = staticmethod(time.time)
    monotonic = staticmethod(time.monotonic)
