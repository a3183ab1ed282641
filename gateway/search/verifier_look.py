"""One look at a verifier's health: the samples' origin, what they showed, and how that is written down."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from gateway.errors import ConfigurationError
from gateway.search.verifier_health import FEWEST, BestOf, Estimate, Sample, VerifierHealth, examine

SIZES: Final = (1, 2, 4, 8, 16)
"""The numbers of answers of which the best scored is looked at."""
_SEED: Final = 0
_PLENTY: Final = 0.5
"""Of the problems, those that must tell of a size for it to be looked at."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """Scored answers whose truth is known. ``source`` says in words where they come from.

    The searches of ``decided`` problems ended by themselves, as one of their answers was accepted.
    """

    source: str
    samples: tuple[Sample, ...]
    decided: frozenset[str] = frozenset()

    @property
    def digest(self) -> str:
        """The same for the same samples, whatever they are called: who looks at them again sees nothing new."""
        rows = sorted(
            f"{each.problem} {each.score!r} {each.is_correct} {each.problem in self.decided}" for each in self.samples
        )
        return hashlib.sha256("\n".join(rows).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Look:
    """What one look at a verifier showed; ``number`` counts all that there were, from 1."""

    verifier: str
    number: int
    source: str
    digest: str
    answers: int
    problems: int
    health: VerifierHealth

    @property
    def document(self) -> dict[str, Any]:
        """Its figures, as they are kept and shown."""
        return {"answers": self.answers, "problems": self.problems, **asdict(self.health)}


def look_at(verifier: str, evidence: Evidence, number: int) -> Look:
    """What the evidence shows, as look number so many. Raises ConfigurationError where it is too little."""
    counts: dict[str, int] = {}
    for sample in evidence.samples:
        counts[sample.problem] = counts.get(sample.problem, 0) + 1
    sizes = _sizes(counts, evidence.decided)
    health = examine(evidence.samples, sizes, seed=_SEED, look=number, decided=evidence.decided)
    told = 0 if health.within is None else health.within.problems
    if told < FEWEST:
        raise ConfigurationError(
            f"{evidence.source} tells too little of verifier {verifier}: {len(evidence.samples)} scored answers to "
            f"{len(counts)} problems, of which {told} have both right and wrong ones, and {FEWEST} such are needed"
        )
    return Look(verifier, number, evidence.source, evidence.digest, len(evidence.samples), len(counts), health)


def read_look(verifier: str, number: int, source: str, digest: str, document: Mapping[str, Any]) -> Look:
    """The look that a document of it describes."""
    within = document["within"]
    health = VerifierHealth(
        within=None if within is None else Estimate(**within),
        pooled=document["pooled"],
        curve=tuple(BestOf(**{**each, "truth": Estimate(**each["truth"])}) for each in document["curve"]),
        cap=document["cap"],
    )
    return Look(verifier, number, source, digest, document["answers"], document["problems"], health)


def _sizes(counts: Mapping[str, int], decided: Collection[str]) -> tuple[int, ...]:
    """The sizes that most problems can tell of: all are measured on the same ones, and those that cannot are left."""
    deep = [max(SIZES) if name in decided else count for name, count in counts.items()]
    return tuple(size for size in SIZES if sum(count >= size for count in deep) >= _PLENTY * len(deep))
