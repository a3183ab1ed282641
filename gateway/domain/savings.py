"""What a policy's choices saved on its traffic, as the calibrator estimated it from the log. Values, and their JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

FORM: Final = 1
"""Of the document; a release reads its own alone, as the next estimate is minutes away."""


@dataclass(frozen=True, slots=True)
class Bounded:
    """A value, and the bounds between which it lies with a confidence of 95%."""

    value: float
    lower: float
    upper: float


@dataclass(frozen=True, slots=True)
class Beside:
    """The traffic as it was answered, beside another way to answer the same requests.

    ``saved`` is the share of the other way's cost, and ``gained`` the difference in accuracy. Doubts say why the log
    cannot tell; without one it can. ``effective_sample_size`` is how many requests of equal weight would tell as much.
    """

    saved: Bounded | None
    gained: Bounded | None
    effective_sample_size: float
    labels: int
    """Requests whose answer somebody judged."""
    cost_doubts: tuple[str, ...]
    accuracy_doubts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Accuracy:
    """How often one source found an arm's answers right."""

    source: str
    labels: int
    share: Bounded


@dataclass(frozen=True, slots=True)
class ArmAnswers:
    """What one arm was given and what came of it. Arms get different requests, so two of them do not compare."""

    arm: str
    decisions: int
    cost_usd: float | None
    """The mean; None where it is not known of any."""
    accuracies: tuple[Accuracy, ...]


@dataclass(frozen=True, slots=True)
class Scope:
    """The traffic of one category, or all of it where ``category`` is None.

    ``reached`` of the ``decisions`` could have gone to the reference arm; ``reference`` speaks of these alone.
    """

    category: str | None
    decisions: int
    reached: int
    cost_usd: float | None
    reference: Beside
    arms: tuple[ArmAnswers, ...]


@dataclass(frozen=True, slots=True)
class Savings:
    """A policy's traffic of some days beside its reference arm, and beside its own arms dealt out at random.

    ``shares`` are those of the arms, by their chances. The ``control`` takes every arm as often, and whatever is asked,
    as far as requests could go to several arms: so many are ``dealt`` out.
    """

    reference: str
    decisions: int
    left_out: Mapping[str, int]
    """Requests that say nothing, by why."""
    shares: Mapping[str, float]
    scopes: tuple[Scope, ...]
    """All of it first, then by category, the most frequent first."""
    dealt: int
    control: Beside


@dataclass(frozen=True, slots=True)
class PolicySavings:
    """What was estimated of a policy's requests begun from ``since`` to ``until``, of which there were ``requests``.

    ``savings`` are None where nothing can be estimated at all, and ``note`` says why.
    """

    policy: str
    since: float
    until: float
    requests: int
    savings: Savings | None
    note: str | None

    def document(self) -> Mapping[str, Any]:
        """It as JSON."""
        return {"form": FORM, **asdict(self)}


def read_savings(document: Mapping[str, Any]) -> PolicySavings | None:
    """It from its JSON; None for that of another release."""
    said = dict(document)
    if said.pop("form", None) != FORM:
        return None
    savings = said.pop("savings")
    return PolicySavings(**said, savings=None if savings is None else _savings(savings))


def _savings(said: Mapping[str, Any]) -> Savings:
    own = dict(said)
    scopes, control = own.pop("scopes"), own.pop("control")
    return Savings(**own, scopes=tuple(_scope(each) for each in scopes), control=_beside(control))


def _scope(said: Mapping[str, Any]) -> Scope:
    own = dict(said)
    reference, arms = own.pop("reference"), own.pop("arms")
    return Scope(**own, reference=_beside(reference), arms=tuple(_arm(each) for each in arms))


def _arm(said: Mapping[str, Any]) -> ArmAnswers:
    accuracies = tuple(
        Accuracy(each["source"], each["labels"], Bounded(**each["share"])) for each in said["accuracies"]
    )
    return ArmAnswers(said["arm"], said["decisions"], said["cost_usd"], accuracies)


def _beside(said: Mapping[str, Any]) -> Beside:
    return Beside(
        saved=_bounded(said["saved"]),
        gained=_bounded(said["gained"]),
        effective_sample_size=said["effective_sample_size"],
        labels=said["labels"],
        cost_doubts=tuple(said["cost_doubts"]),
        accuracy_doubts=tuple(said["accuracy_doubts"]),
    )


def _bounded(said: Mapping[str, float] | None) -> Bounded | None:
    return None if said is None else Bounded(**said)
