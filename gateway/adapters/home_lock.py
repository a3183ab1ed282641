"""Who serves from PONDER_HOME: one gateway alone, or several that share their limits in Redis.

Without Redis each process counts for itself, so that two of them would let every budget be spent
twice. The kernel lets go of the lock when its process ends, however it ends.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gateway.errors import ConfigurationError

_FILE = "gateway.lock"


@contextmanager
def serving_from(home: Path, *, shares_limits: bool) -> Iterator[None]:
    """Hold the home's lock: with others that share their limits, or alone.

    Raises ConfigurationError when another gateway serves from there that does not share them, or we do not.
    """
    try:
        lock = os.open(home / _FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as fault:
        raise ConfigurationError(f"{home / _FILE} cannot be opened ({fault.strerror}); make it ours: chown") from fault
    try:
        try:
            fcntl.flock(lock, (fcntl.LOCK_SH if shares_limits else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError as fault:
            raise ConfigurationError(
                f"another gateway serves from {home}, and each would count limits and budgets for itself; "
                "give all of them one Redis (PONDER_REDIS_URL, or redis.url in ponder.yaml), stop the other one, "
                "or set another PONDER_HOME and database"
            ) from fault
        yield
    finally:
        os.close(lock)
