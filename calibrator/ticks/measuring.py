"""The tick that measures: begins the runs that are due, and takes part in those that are open, for some seconds.

A policy is due when ``calibrate.every`` has passed since its last run ended, before what is in force of it expires,
and once its profile was suspended. Its first run is an operator's: nothing is spent that nobody asked for.
"""

from __future__ import annotations

import logging
import os
import time
from typing import Final

from calibrator.conclude import Conclusion
from calibrator.measure import Progress
from calibrator.running import Runs, Wish
from gateway.domain.experiment import ExperimentStanding
from gateway.domain.rollout import CALIBRATOR
from gateway.errors import ConfigurationError, Conflict, PonderError
from gateway.policy.document import CalibrateDocument
from gateway.settings import Places, Settings

_WORK_S: Final = 10.0
"""Nothing new is asked after that; what is under way is waited for."""
_PATIENCE_S: Final = 5.0
"""For an arm that is limited or away; the next tick tries again."""
_BEFORE_EXPIRY: Final = 0.8
"""Of a certificate's time, after which its next is begun, where runs are rarer than that."""
_log = logging.getLogger("ponder.measuring")


async def tick(where: Places, settings: Settings) -> None:
    """Begin what is due, and measure for some seconds."""
    runs = Runs(where, settings, os.environ, actor=CALIBRATOR)
    try:
        await begin_due(runs, now=time.time())
        until = time.time() + _WORK_S
        for each in await runs.experiments.open_runs():
            if time.time() < until:
                await take_part(runs, each, until=until)
    finally:
        await runs.close()


async def begin_due(runs: Runs, *, now: float) -> None:
    """Begin a run of each policy that is due; where one cannot be, the log says why."""
    for name, policy in (await runs.policies()).items():
        if policy.document.calibrate is None or not await is_due(runs, name, policy.document.calibrate, now=now):
            continue
        try:
            standing = await runs.begin(await runs.plan(Wish(name, seed=int(now))))
        except Conflict:  # another worker was faster
            continue
        except ConfigurationError as fault:
            _log.warning("calibration of policy %s is due and cannot be begun: %s", name, fault.message)
        else:
            _log.info("calibration of policy %s: run %s is begun", name, standing.experiment.id)


async def is_due(runs: Runs, policy: str, of: CalibrateDocument, *, now: float) -> bool:
    """Whether a policy's next run should begin now."""
    last = await runs.last(policy)
    if last is None or last.finished_at is None:
        return False
    suspended_at = await runs.suspended_at(policy)
    if suspended_at is not None and suspended_at > last.finished_at:
        return True
    return now >= last.finished_at + min(of.every, _BEFORE_EXPIRY * of.expires_after)


async def take_part(runs: Runs, standing: ExperimentStanding, *, until: float) -> None:
    """Measure for an open run, and conclude it if there is nothing left to measure. A fault is told and left behind."""
    about = standing.experiment
    try:
        planned = await runs.plan_again(standing)
        async with runs.means(planned, concurrency=None, patience_s=_PATIENCE_S) as means:
            done = await runs.go_on(
                planned, about.id, means, until=until, is_patient=False, activates=False, report=_unheard
            )
    except PonderError as fault:
        if standing.note != fault.message:  # said once, and not by every tick
            _log.warning("run %s of policy %s is held up: %s", about.id, about.policy, fault.message)
            await runs.remark(standing, fault.message)
        return
    if standing.note is not None and not isinstance(done, Conclusion):
        await runs.remark(standing, None)
    if isinstance(done, Conclusion):
        _log.info("run %s of policy %s has ended, %s: %s", about.id, about.policy, done.state, done.note)


def _unheard(_: Progress) -> None:
    """Nobody watches a tick."""
