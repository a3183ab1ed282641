"""A profile as it is published: what is certified of each rule and on what evidence, as the same bytes every time."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from gateway.domain.profile import Certified, ProfileVersion
from gateway.errors import ConfigurationError

FORM: Final = 1
"""Of the document; a release reads its own and earlier ones."""


@dataclass(frozen=True, slots=True)
class CertifiedCell:
    """The arm of one category and difficulty, the labelled items it was judged by, and its own bound on the loss.

    Without a difficulty it is every difficulty's. The bound is None where there were too few items for one.
    """

    category: str
    difficulty: str | None
    arm: str
    labels: int
    bound: float | None


@dataclass(frozen=True, slots=True)
class Certificate:
    """What was shown of a rule: with this confidence its mean loss against the reference arm is at most ``bound``.

    ``scope`` says what the bound speaks of: the rule's traffic as a whole, or each cell. ``labels`` are
    the items it rests on, and ``method`` names the test.
    """

    reference: str
    scope: str
    method: str
    loss_at_most: float
    """What the policy asked for."""
    bound: float
    confidence: float
    labels: int


@dataclass(frozen=True, slots=True)
class RuleProfile:
    """What is published of one rule; ``rule_digest`` as in :class:`gateway.domain.profile.Certified`."""

    rule_digest: str
    certificate: Certificate
    cells: tuple[CertifiedCell, ...]


@dataclass(frozen=True, slots=True)
class ProfileDocument:
    """All that is published of a policy at once. Nothing in it tells when it was made, or by whom.

    ``data_digest`` is that of the measurements and ``seed`` that of the random choices it was made with.
    """

    policy: str
    policy_digest: str
    data_digest: str
    seed: int
    rules: Mapping[str, RuleProfile]
    """By the rule's name."""

    def encoded(self) -> str:
        """The document as text: equal documents are equal texts."""
        said = {"form": FORM, **asdict(self)}
        return json.dumps(said, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False)

    def version(self, number: int, *, expires_at: float) -> ProfileVersion:
        """The document as decisions take it."""
        rules = {
            name: Certified(rule.rule_digest, {(cell.category, cell.difficulty): cell.arm for cell in rule.cells})
            for name, rule in self.rules.items()
        }
        return ProfileVersion(number, rules, expires_at)


def read_document(text: str) -> ProfileDocument:
    """The document of this text. Raises ConfigurationError for one that this release cannot read."""
    try:
        said = json.loads(text)
        if said.pop("form") != FORM:
            raise ConfigurationError("the profile is of a form that this release cannot read; a later one published it")
        rules = {name: _rule(rule) for name, rule in said.pop("rules").items()}
        return ProfileDocument(rules=rules, **said)
    except (ValueError, KeyError, TypeError, AttributeError) as fault:
        raise ConfigurationError(f"the profile cannot be read ({type(fault).__name__}); publish another") from fault


def _rule(said: Mapping[str, Any]) -> RuleProfile:
    return RuleProfile(
        rule_digest=said["rule_digest"],
        certificate=Certificate(**said["certificate"]),
        cells=tuple(CertifiedCell(**cell) for cell in said["cells"]),
    )


@dataclass(frozen=True, slots=True)
class PublishedProfile:
    """A version of a policy's profile, never changed. ``report`` is where its report lies, if there is one."""

    policy: str
    number: int
    text: str
    policy_digest: str
    experiment_id: str | None
    report: str | None
    created_at: float
    """Unix seconds, as ``expires_at``."""
    created_by: str
    expires_at: float

    @property
    def digest(self) -> str:
        """The SHA-256 of its text."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    @property
    def document(self) -> ProfileDocument:
        """What it says. Raises ConfigurationError where this release cannot read it."""
        return read_document(self.text)

    def version(self) -> ProfileVersion:
        """The version as decisions take it. Raises ConfigurationError where this release cannot read it."""
        return self.document.version(self.number, expires_at=self.expires_at)


def profile_target(policy: str) -> str:
    """What the audit log calls a policy's profile."""
    return f"profile:{policy}"
