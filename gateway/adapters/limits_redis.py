"""Limits and money of many processes, in one Redis.

Every step is one script. When Redis does not answer within :data:`TIMEOUT_S`, or has lost its
balances, an explicit setting decides. *Closed* refuses new requests. *Open* serves them within
limits kept by this process alone, which start from what Redis last said. Either way what ends
meanwhile waits in a backlog and is written when Redis is back: each settlement once, however often
it has to be sent, since an ended hold leaves nothing to end again, or a mark that it has ended.

A Redis that lost its balances is not trusted until ``restore`` has set them again from database and
journal. A hold lost with it is charged when it settles, unless it had settled before its sums were
read. Keys share the hash tag of their prefix, so a cluster keeps them on one shard; a hold takes
from a key's and a team's account at once, and no second shard could join in that step.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import batched
from typing import Any, Literal

from gateway.adapters import limits_scripts as scripts
from gateway.adapters.limits_backlog import Backlog
from gateway.adapters.limits_line import RedisLine, StoreAway
from gateway.adapters.limits_memory import MemoryPurse
from gateway.adapters.limits_wire import MOST_NANOS, End, Wire, held, refusal, used
