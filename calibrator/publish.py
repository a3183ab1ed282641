"""What a calibration publishes: a profile document with its certificate, the same bytes for the same data and seed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final

from calibrator.choose import CellChoice, Choice, Target
from gateway.domain.profile_document import Certificate, CertifiedCell, ProfileDocument, RuleProfile
from gateway.errors import ConfigurationError

_DIGITS: Final = 1_000_000


def rule_profile(
    choice: Choice,
    target: Target,
    *,
    rule_digest: str,
    reference: str,
    among: Sequence[str],
    labels: int,
    basis: str | None = None,
) -> RuleProfile:
    """What is published of one rule. Raises ConfigurationError where nothing was certified, or an arm is not its own.

    ``basis`` says what the items were scored by, where that was no truth.
    Cells that keep the reference are entered too: without an entry ``until_certified`` would answer there.
    """
    if not choice.is_certified:
        raise ConfigurationError("nothing was certified, so there is nothing to publish; the present profile stays")
    strangers = sorted({cell.arm for cell in choice.cells} - {*among, reference})
    if strangers:
        raise ConfigurationError(f"the rule has no arm {strangers[0]!r}; it has {', '.join(among)}")
    certificate = Certificate(
        reference=reference,
        scope=target.scope.value,
        method=choice.method if basis is None else f"{choice.method}; {basis}",
        loss_at_most=target.loss_at_most,
        bound=upwards(choice.loss.upper),
        confidence=target.confidence,
        labels=labels,
    )
    return RuleProfile(rule_digest, certificate, tuple(map(_cell, choice.cells)))


def _cell(chosen: CellChoice) -> CertifiedCell:
    bound = None if chosen.bound is None else upwards(chosen.bound)
    return CertifiedCell(*chosen.cell, chosen.arm, chosen.labels, bound)


def profile(
    policy: str, policy_digest: str, data_digest: str, seed: int, rules: Mapping[str, RuleProfile]
) -> ProfileDocument:
    """The document of a version; ``rules`` by name."""
    return ProfileDocument(policy, policy_digest, data_digest, seed, dict(sorted(rules.items())))


def upwards(bound: float) -> float:
    """A bound to six digits, never less than it is: the last digits of a float differ between machines."""
    return math.ceil(round(bound * _DIGITS, 3)) / _DIGITS
