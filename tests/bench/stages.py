"""Which part of the gateway a moment of CPU time belongs to.

A stage is found by the innermost Python frame whose file is listed; work in C (parsing, sockets,
the kernel) counts for the Python code that called it or, where the event loop called it, for the
callback that runs next.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import FrameType

EVENT_LOOP = "event loop"
OTHER_THREADS = "other threads"

_STAGES = (
    ("/asyncio/runners.py", EVENT_LOOP),
    ("/uvicorn/", "HTTP server"),
    ("/starlette/", "routing"),
    ("/fastapi/", "routing"),
    ("/gateway/http/", "read and render"),
    ("/tests/bench/apps.py", "read and render"),
    ("/gateway/dialects/", "parse, splice, read usage"),
    ("/gateway/flow/admit.py", "key check"),
    ("/gateway/store/key_ring.py", "key check"),
    ("/gateway/domain/secret.py", "key check"),
    ("/gateway/domain/key.py", "key check"),
    ("/gateway/flow/route.py", "plan"),
    ("/gateway/policy/", "plan"),
    ("/gateway/flow/deciding.py", "plan"),
    ("/gateway/difficulty/", "classify"),
    ("/gateway/dialects/asked.py", "classify"),
    ("/gateway/flow/classifying.py", "classify"),
    ("/gateway/domain/plan.py", "plan"),
    ("/aiohttp/", "upstream call"),
    ("/yarl/", "upstream call"),
    ("/multidict/", "upstream call"),
    ("/gateway/adapters/", "upstream call"),
    ("/gateway/adapters/journal/", "journal"),
    ("/gateway/adapters/limits_", "hold and settle"),
    ("/gateway/flow/hold.py", "hold and settle"),
    ("/gateway/flow/lane.py", "hold and settle"),
    ("/gateway/flow/settlements.py", "hold and settle"),
    ("/gateway/domain/ledger.py", "hold and settle"),
    ("/gateway/domain/limits.py", "hold and settle"),
    ("/gateway/flow/attempts.py", "upstream call"),
    ("/gateway/domain/pricing.py", "price"),
    ("/gateway/domain/money.py", "price"),
    ("/gateway/flow/exchange.py", "record"),
    ("/gateway/domain/identity.py", "record"),
    ("/gateway/store/", "database writer"),
    ("/sqlalchemy/", "database writer"),
    ("/aiosqlite/", "database writer"),
    ("/gateway/telemetry.py", "metrics and log line"),
    ("/prometheus_client/", "metrics and log line"),
    ("/gateway/flow/", "order of steps"),
)
_INTERVAL_S = 0.001


def stage_of(files: Iterator[str]) -> str:
    """The stage of a stack, given the files of its frames from the innermost out."""
    for file in files:
        matches = [(len(fragment), stage) for fragment, stage in _STAGES if fragment in file]
        if matches:
            return max(matches)[1]
    return EVENT_LOOP


def _files(frame: FrameType | None) -> Iterator[str]:
    while frame is not None:
        yield frame.f_code.co_filename
        frame = frame.f_back


class Sampler:
    """Charges the CPU time since the last sample to the stage that the main thread is in.

    SIGUSR1 starts a count from zero, SIGUSR2 writes it out. Time that other threads spent is told
    apart by the clocks of process and thread, so that the sum is the whole process's CPU time.
    """

    def __init__(self, into: Path) -> None:
        self._into = into
        self._seconds: dict[str, float] = {}
        self._main_s = time.thread_time()
        self._process_s = time.process_time()

    def install(self) -> None:
        """Begin sampling, once per millisecond of CPU time or as often as the kernel's clock allows."""
        signal.signal(signal.SIGPROF, self._sample)
        signal.signal(signal.SIGUSR1, self._restart)
        signal.signal(signal.SIGUSR2, self._write)
        signal.setitimer(signal.ITIMER_PROF, _INTERVAL_S, _INTERVAL_S)

    def _sample(self, _number: int, frame: FrameType | None) -> None:
        main_s, process_s = time.thread_time(), time.process_time()
        spent_here = main_s - self._main_s
        spent_elsewhere = max(0.0, process_s - self._process_s - spent_here)
        self._main_s, self._process_s = main_s, process_s
        stage = stage_of(_files(frame))
        self._seconds[stage] = self._seconds.get(stage, 0.0) + spent_here
        self._seconds[OTHER_THREADS] = self._seconds.get(OTHER_THREADS, 0.0) + spent_elsewhere

    def _restart(self, _number: int, _frame: FrameType | None) -> None:
        self._main_s, self._process_s = time.thread_time(), time.process_time()
        self._seconds = {}

    def _write(self, _number: int, _frame: FrameType | None) -> None:
        draft = self._into.with_suffix(".draft")
        draft.write_text(json.dumps(self._seconds))
        os.replace(draft, self._into)


def microseconds_per_request(seconds: Mapping[str, float], requests: int) -> dict[str, float]:
    """The cost of one request by stage."""
    return {stage: spent * 1e6 / requests for stage, spent in seconds.items()}
