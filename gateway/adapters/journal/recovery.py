"""Recovery: what processes that are gone left in the journal reaches the database.

A settled request is moved as it is. One that was opened and never settled becomes a record of its
own, interrupted, with an unknown cost: it may have been answered and billed, and nobody can know.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from gateway.adapters.journal.entries import Unreadable
from gateway.adapters.journal.folders import Folder, Position, Progress, adopt
from gateway.adapters.journal.mover import Batch, Mover
from gateway.adapters.journal.reading import read
from gateway.domain.record import Opening, RequestRecord, interrupted


@dataclass(slots=True)
class Recovered:
    """What was found in orphaned folders so far."""

    folders: int = 0
    records: int = 0
    damaged: int = 0
    interrupted: list[Opening] = field(default_factory=list)
