"""Caps on samples: how often one is found that there need not be, over many verifiers and over many looks."""

from __future__ import annotations

import numpy as np

from gateway.search.verifier_health import RISK, Sample, examine

_SIZES = (1, 2, 4, 8)
_PROBLEMS = 30
_VERIFIERS = 150


def _harmless(generator: np.random.Generator) -> list[Sample]:
    """A verifier that tosses coins, on problems that are mostly solved or hopeless: more samples do no harm."""
    return [
        Sample(f"p{problem}", float(generator.random()), bool(generator.random() < share))
        for problem, share in enumerate(generator.beta(0.2, 0.2, _PROBLEMS))
        for _ in range(max(_SIZES))
    ]


def test_few_verifiers_get_a_cap_that_they_do_not_need() -> None:
    """The first look has half of the risk, and keeps to it, on as few problems as a cap may be found on."""
    generator = np.random.default_rng(11)
    caps = [examine(_harmless(generator), _SIZES, seed=1).cap for _ in range(_VERIFIERS)]
    assert sum(cap is not None for cap in caps) / _VERIFIERS <= RISK


def test_looking_again_and_again_finds_no_cap_in_the_end() -> None:
    """Verifiers that are looked at five times each get a cap no more often than the whole risk says."""
    generator = np.random.default_rng(12)
    capped = sum(
        any(examine(_harmless(generator), _SIZES, seed=1, look=look).cap is not None for look in range(1, 6))
        for _ in range(_VERIFIERS // 3)
    )
    assert capped / (_VERIFIERS // 3) <= RISK
