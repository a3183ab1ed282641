"""A process that journals requests until it is killed, and tells which of them it had settled.

Started as ``python -m tests.adapters.journal.dying_writer FOLDER``. For each request it prints the number
after the entry was written, as a gateway answers after it settled; odd numbers end in a raised ceiling.
"""

from __future__ import annotations

import asyncio
import sys
from dataclasses import replace
from pathlib import Path

from gateway.adapters.journal.journal import LocalJournal
from tests.adapters.journal.samples import QUICK, MemoryStore, opening, raised
from tests.store.records import request

RAISED = "0.5"


async def _write(root: Path) -> None:
    journal = LocalJournal(root, MemoryStore(), replace(QUICK, segment_bytes=20_000))
    for number in range(1_000_000):
        journal.open(opening(number))
        print(number, "opened", flush=True)
        if number % 2 == 0:
            journal.settle(request(number))
            print(number, "settled", flush=True)
        else:
            journal.raise_ceiling(raised(number, RAISED))
            print(number, "raised", flush=True)


if __name__ == "__main__":
    asyncio.run(_write(Path(sys.argv[1])))
