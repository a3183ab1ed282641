"""Circuit breakers: a model that keeps failing at its upstream is left alone for a while, then tried again.

One breaker per model at an upstream, as one model of a provider fails, or is limited, more often than
the whole provider does. A breaker advises: decisions between arms avoid what is open, while a request
that names its model is always let through, and serves as the probe of a breaker that waits for one.

Each process judges by its own calls. Thresholds are constants, told in ``docs/operate.md``.
"""

from __future__ import annotations

import logging
import math
from types import MappingProxyType
from typing import Final, TypeAlias

from gateway.domain.health import ALL_WELL, Health
from gateway.domain.record import CallRecord, Result
from gateway.errors import PonderError, UpstreamOverloaded, UpstreamRateLimited
from gateway.ports import Clock
from gateway.telemetry import Meter

FAILURES_IN_A_ROW: Final = 5
WINDOW_S: Final = 30.0
LEAST_CALLS: Final = 20
"""So many calls of the window are needed before their share of failures says anything."""
FAILED_SHARE: Final = 0.5
FIRST_BACK_OFF_S: Final = 5.0
LONGEST_BACK_OFF_S: Final = 120.0
LONGEST_RETRY_AFTER_S: Final = 600.0
UNTOLD_RETRY_AFTER_S: Final = 2.0
"""How long a model is left alone after a 429 that does not say how long."""
PROBE_S: Final = 30.0
"""A probe that has not ended by then no longer keeps others from probing."""
PATIENCE_S: Final = 10.0
"""A call that was given up earlier than this tells of its client's haste, not of the model's health."""

_RELAPSE_S = 60.0
"""A model that fails again so soon is left alone for twice as long as before."""
_SLOTS = 10
_SLOT_S = WINDOW_S / _SLOTS

_Place: TypeAlias = tuple[str, str]
"""An upstream, and its own name for a model."""

_log = logging.getLogger(__name__)


class HealthWatch:
    """The breakers of this process. Used in one event loop."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        # Only of models that failed lately: a healthy one costs a look into a dictionary.
        self._breakers: dict[_Place, _Breaker] = {}
        self._latest = ALL_WELL
        self._valid_until = math.inf
        self.opened = 0
        """How often a model was found to be failing."""

    def begin(self, upstream: str, model: str) -> None:
        """Note that a call to a model starts: where a breaker waits for a probe, this is it."""
        breaker = self._breakers.get((upstream, model))
        if breaker is not None and breaker.begin(self._clock.monotonic()):
            self._valid_until = 0.0

    def note(self, call: CallRecord, error: PonderError | None) -> None:
        """Note how a call ended."""
        place = (call.upstream, call.model)
        breaker = self._breakers.get(place)
        verdict = _verdict(call)
        if breaker is None:
            if verdict is not False:
                return
            breaker = self._breakers[place] = _Breaker()
        now = self._clock.monotonic()
        was_open = breaker.is_open
        if isinstance(error, UpstreamRateLimited):
            breaker.throttle(error.retry_after_s or UNTOLD_RETRY_AFTER_S, now)
        elif verdict is False:
            breaker.fail(now)
            if isinstance(error, UpstreamOverloaded) and error.retry_after_s:
                breaker.throttle(error.retry_after_s, now)
        elif verdict:
            breaker.succeed(now)
        else:
            breaker.abandon()
        self._valid_until = 0.0
        if breaker.is_open and not was_open:
            self.opened += 1
            _log.warning("model %s at upstream %s is failing; policies avoid it for now", call.model, call.upstream)
        elif was_open and not breaker.is_open:
            _log.info("model %s at upstream %s answers again", call.model, call.upstream)

    def snapshot(self) -> Health:
        """What decisions should avoid now."""
        now = self._clock.monotonic()
        if now >= self._valid_until:
            self._take_stock(now)
        return self._latest

    def watch(self, meter: Meter) -> None:
        """Expose how many models are avoided, and how often one was found to be failing."""
        meter.watch("ponder_models_avoided", "Models that policies avoid.", lambda: len(self.snapshot().faults))
        meter.watch(
            "ponder_breakers_opened",
            "How often a model was found to be failing.",
            lambda: self.opened,
            is_counter=True,
        )

    def _take_stock(self, now: float) -> None:
        faults: dict[_Place, str] = {}
        self._valid_until = math.inf
        for place, breaker in list(self._breakers.items()):
            reason, until = breaker.state(now)
            if reason is not None:
                faults[place] = reason
            elif until <= now:
                del self._breakers[place]
                continue
            self._valid_until = min(self._valid_until, until)
        self._latest = Health(MappingProxyType(faults)) if faults else ALL_WELL


class _Breaker:
    """Closed while ``_open_until`` is None; from then on half open, for one probe at a time."""

    __slots__ = (
        "_back_off_s", "_closed_at", "_counted_at", "_in_a_row", "_open_until", "_probing_until", "_slots",
        "_throttled_until", "_why",
    )  # fmt: skip

    def __init__(self) -> None:
        self._slots: dict[int, list[int]] = {}
        self._in_a_row = 0
        self._open_until: float | None = None
        self._probing_until = -math.inf
        self._throttled_until = -math.inf
        self._back_off_s = 0.0
        self._closed_at = self._counted_at = -math.inf
        self._why = ""

    @property
    def is_open(self) -> bool:
        return self._open_until is not None

    def begin(self, now: float) -> bool:
        """Whether the call that begins is a probe."""
        is_probe = self._open_until is not None and self._open_until <= now and self._probing_until <= now
        if is_probe:
            self._probing_until = now + PROBE_S
        return is_probe

    def succeed(self, now: float) -> None:
        if self._open_until is None:
            self._in_a_row = 0
            self._count(now, failed=0)
        elif self._open_until <= now:
            self._open_until, self._closed_at, self._probing_until = None, now, -math.inf
            self._in_a_row = 0
            self._slots.clear()
        # A success while it is open is one that began before, or one among many failures: the probe decides.

    def fail(self, now: float) -> None:
        if self._open_until is not None:
            if self._open_until <= now:
                self._open(now)
            return
        self._in_a_row += 1
        self._count(now, failed=1)
        calls, failures = map(sum, zip(*self._slots.values(), strict=True))
        if self._in_a_row >= FAILURES_IN_A_ROW:
            self._why = f"its last {self._in_a_row} calls failed"
        elif calls >= LEAST_CALLS and failures >= FAILED_SHARE * calls:
            self._why = f"{failures} of its last {calls} calls failed"
        else:
            return
        self._open(now)

    def throttle(self, wait_s: float, now: float) -> None:
        """Leave the model alone for as long as its upstream wants, within reason; a probe is over."""
        self._throttled_until = max(self._throttled_until, now + min(wait_s, LONGEST_RETRY_AFTER_S))
        self.abandon()

    def abandon(self) -> None:
        """The probe, if there was one, says nothing."""
        self._probing_until = -math.inf

    def state(self, now: float) -> tuple[str | None, float]:
        """Why the model is to be left alone now, if it is, and until when that holds."""
        if now < self._throttled_until:
            return "its upstream limits our rate", self._throttled_until
        if self._open_until is None:
            return None, max(self._closed_at + _RELAPSE_S, self._counted_at + WINDOW_S)
        if now < self._open_until:
            return self._why, self._open_until
        if now < self._probing_until:
            return f"{self._why}, and whether it answers again is being tried", self._probing_until
        return None, math.inf

    def _open(self, now: float) -> None:
        is_back = self._open_until is not None or now - self._closed_at < _RELAPSE_S
        self._back_off_s = min(2 * self._back_off_s, LONGEST_BACK_OFF_S) if is_back else FIRST_BACK_OFF_S
        self._open_until = now + self._back_off_s
        self._probing_until = -math.inf

    def _count(self, now: float, *, failed: int) -> None:
        self._counted_at = now
        current = int(now / _SLOT_S)
        for slot in [slot for slot in self._slots if slot <= current - _SLOTS]:
            del self._slots[slot]
        counts = self._slots.setdefault(current, [0, 0])
        counts[0] += 1
        counts[1] += failed


def _verdict(call: CallRecord) -> bool | None:
    """Whether the call speaks for its model (an answer, a refusal of the request) or against it; None for neither."""
    match call.result:
        case Result.ANSWERED | Result.REFUSED:
            return True
        case Result.FAILED | Result.TRUNCATED:
            return False
        case Result.TIMED_OUT:
            return False if call.total_s >= PATIENCE_S else None
        case _:
            return None
