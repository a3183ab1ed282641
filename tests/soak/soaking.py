"""A soak: steady traffic at a share of the peak, while faults come and go."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from tests.soak.books import Bounded, audit, failures
from tests.soak.chaos import AMPLE_USD, keys_of
from tests.soak.disasters import Disaster, Disasters
from tests.soak.installation import PRICE, Installation, installed
from tests.soak.load import BOUNDED_SHARE, CLIENTS, Load, Outcome
from tests.soak.relay import Way
from tests.soak.report import Story, Trouble
from tests.soak.upstream import INPUT_TOKENS, OUTPUT_TOKENS, Mood
from tests.soak.watching import Watch

GATEWAYS = 2
SHARE_OF_PEAK = 0.6
_PEAK_S = 15.0
_LASTING = (0,)
"""Gateways that are never restarted: what they hold is compared over the whole run."""
_PROVIDER_S, _CUT_S, _BREATH_S = 15.0, 20.0, 10.0
_BOUNDED_S = 35.0
"""After so long a new key's budget runs out: in the middle of the first cut of Redis."""
_ANSWER_USD = (INPUT_TOKENS * PRICE["input_per_mtok"] + OUTPUT_TOKENS * PRICE["output_per_mtok"]) / 1e6


def soak(folder: Path, *, minutes: float, say: Callable[[str], None]) -> Story:
    """Soak for so many minutes, from the calm beginning to the books."""
    with installed(folder, gateways=GATEWAYS, workers=1) as installation:
        (ample,) = keys_of(installation, AMPLE_USD)
        peak = _peak(installation, ample)
        say(f"peak: {peak:.0f} requests/s from {CLIENTS} clients, by one gateway")
        return _soak(installation, ample, peak, minutes=minutes, say=say)


def _peak(installation: Installation, key: Bounded) -> float:
    """Answers per second from clients that ask again as soon as they are answered, by the gateways that last.

    While one is restarted, the others are all that there is: a share of more than they can do is no share of a peak.
    """
    load = Load([installation.gateways[number].address for number in _LASTING], key.secret, rate=None, seed=1)
    with load:
        load.await_answers(100)
        before, began = load.counts()[Outcome.ANSWERED], time.monotonic()
        time.sleep(_PEAK_S)
        answered, took_s = load.counts()[Outcome.ANSWERED] - before, time.monotonic() - began
    if failed := failures(load.answers):
        raise RuntimeError(f"{len(failed)} requests failed before anything was done: {failed[0].reason}")
    return answered / took_s


def _soak(
    installation: Installation, ample: Bounded, peak: float, *, minutes: float, say: Callable[[str], None]
) -> Story:
    keys = [ample]
    rate = SHARE_OF_PEAK * peak
    load = Load([each.address for each in installation.gateways], ample.secret, rate=rate, seed=20261122)
    troubles: list[Trouble] = []
    warm = None
    with Watch(installation.gateways) as watch, load:
        load.await_answers(100)
        began = time.monotonic()
        # Calm at both ends: what is compared with the beginning is not in the middle of a fault.
        calm_s = min(60.0, 6 * minutes)
        end = began + 60 * minutes - calm_s
        time.sleep(calm_s)
        troubled = time.monotonic()
        cycle = _cycle(Disasters(installation, load))
        for number, disaster in enumerate(itertools.cycle(cycle)):
            if number % len(cycle) == 0:
                keys += keys_of(installation, f"{rate * BOUNDED_SHARE * _BOUNDED_S * _ANSWER_USD:.6f}")
                load.bounded_secrets = (keys[-1].secret,)
            if number == len(cycle):
                warm = time.monotonic()
            if time.monotonic() >= end:
                break
            troubles.append(_suffer(disaster))
            passed = (time.monotonic() - began) / 60
            say(f"{passed:5.1f} min: {disaster.name}; failed so far: {len(failures(load.answers))}")
            time.sleep(_BREATH_S)
        time.sleep(calm_s)
        ended = time.monotonic()
    return Story(
        minutes=(ended - began) / 60,
        peak_per_s=peak,
        rate_per_s=rate,
        began=began,
        troubled=troubled,
        warm=warm or troubled,
        ended=ended,
        answers=[each for each in load.answers if each.at >= began],
        troubles=troubles,
        samples=[each for each in watch.samples if each.at >= began],
        lasting=_LASTING,
        books=audit(installation, load, keys),
    )


def _suffer(disaster: Disaster) -> Trouble:
    began = time.monotonic()
    disaster.happen()
    return Trouble(disaster.name, began, time.monotonic())


def _cycle(does: Disasters) -> list[Disaster]:
    """What happens over and over."""
    return [
        Disaster("provider errs", partial(does.trouble_provider, Mood.ERRORS, _PROVIDER_S)),
        Disaster("Redis refuses", partial(does.cut_redis, Way.REFUSE, _CUT_S)),
        Disaster("PostgreSQL refuses", partial(does.cut_postgres, Way.REFUSE, _CUT_S)),
        Disaster("gateway 1 stopped", partial(does.stop_gateway, 1)),
        Disaster("provider cuts streams", partial(does.trouble_provider, Mood.CUTS, _PROVIDER_S)),
        Disaster("Redis silent", partial(does.cut_redis, Way.SILENCE, _CUT_S)),
        Disaster("PostgreSQL silent", partial(does.cut_postgres, Way.SILENCE, _CUT_S)),
        Disaster("gateway 1 killed", partial(does.kill_gateway, 1)),
    ]
