"""How property tests draw their examples: the same ones in every run, or, in `make fuzz`, new ones each time.

The profile ``ponder`` is what `make test` and CI use. Its examples follow from the test alone, so
that a run fails for what was changed and never by luck. ``fuzz`` draws many more, anew in every run.
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings
from hypothesis.internal.conjecture import providers
from hypothesis.internal.constants_ast import Constants

_EXAMPLES = 100
"""What a property gets that asks for no number of its own."""
_NO_LITERALS = Constants()
_literals_of_the_source = providers._get_local_constants


def _literals() -> Constants:
    """The literals of all loaded modules of ours, which Hypothesis mixes in; none while runs must be alike.

    With them, an edit anywhere, or running one file by itself, would give all the tests other examples.
    """
    return _NO_LITERALS if settings.default.derandomize else _literals_of_the_source()


def register() -> None:
    """Register both profiles, and load the steady one; pytest's ``--hypothesis-profile=fuzz`` loads the other."""
    # Hypothesis has no setting for it. tests/test_randomness.py fails where a release no longer asks here.
    providers._get_local_constants = _literals
    # A slow machine is no failure; a contract's tests are inherited, and so run in many classes.
    accepted = [HealthCheck.too_slow, HealthCheck.differing_executors]
    shared = settings(deadline=None, print_blob=True, suppress_health_check=accepted)
    settings.register_profile("ponder", shared, derandomize=True, max_examples=_EXAMPLES)
    settings.register_profile(
        "fuzz", shared, derandomize=False, max_examples=int(os.environ.get("FUZZ_EXAMPLES", "2000"))
    )
    settings.load_profile("ponder")


def examples(count: int) -> settings:
    """For a property that needs more examples than others, or affords fewer; `make fuzz` multiplies them alike."""
    return settings(max_examples=count * settings.default.max_examples // _EXAMPLES)
