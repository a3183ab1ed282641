"""Tests of gateway/supervisor/program.py."""

from __future__ import annotations

import pytest

from gateway.supervisor.program import BackOff, describe_exit


def test_pauses_double_up_to_the_ceiling() -> None:
    """Each restart of a short-lived process waits twice as long, up to the ceiling."""
    backoff = BackOff(first_s=1, ceiling_s=5, stable_s=60)
    pauses: list[float] = []
    pause: float | None = None
    for _ in range(5):
        pause = backoff.after(pause, lived_s=0.1)
        pauses.append(pause)
    assert pauses == [1, 2, 4, 5, 5]


def test_a_stable_life_resets_the_pause() -> None:
    """A process that lived for a stable while is started again after the first pause."""
    assert BackOff(first_s=1, ceiling_s=5, stable_s=60).after(5, lived_s=60) == 1


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (0, "exited with code 0"),
        (3, "exited with code 3"),
        (-9, "was killed by SIGKILL"),
        (-99, "was killed by signal 99"),
    ],
)
def test_exit_codes_are_put_in_words(code: int, words: str) -> None:
    """An exit code is described by its number or by the name of the signal."""
    assert describe_exit(code) == words
