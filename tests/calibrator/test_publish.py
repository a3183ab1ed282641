"""What is published of a choice."""

from __future__ import annotations

import pytest

from calibrator.choose import choose
from calibrator.publish import profile, rule_profile, upwards
from gateway.domain.profile_document import RuleProfile, read_document
from gateway.errors import ConfigurationError
from tests.calibrator.test_choose import TARGET, ground, labels

AMONG = ("cheap", "middle", "dear")


def _published(items: int = 400, among: tuple[str, ...] = AMONG) -> RuleProfile:
    choice = choose(ground(), labels(items), TARGET)
    return rule_profile(choice, TARGET, rule_digest="r", reference="dear", among=among, labels=items)


def test_a_profile_decides_as_was_chosen() -> None:
    """Read back, every cell has its arm, and the certificate its numbers."""
    document = profile("work", "p", "d", 7, {"checkable": _published()})
    again = read_document(document.encoded())
    assert again == document
    version = again.version(1, expires_at=1.0)
    assert version.rules["checkable"].arm_for("math", "hard") == "cheap"
    certificate = again.rules["checkable"].certificate
    assert (certificate.scope, certificate.labels, certificate.confidence) == ("policy", 400, 0.9)
    assert certificate.method == "exact test of matched pairs"


def test_nothing_certified_is_not_published() -> None:
    """The present profile stays."""
    with pytest.raises(ConfigurationError, match="nothing was certified"):
        _published(8)


def test_an_arm_that_the_rule_does_not_have_is_not_published() -> None:
    """A profile names no arm that its rule could not take."""
    with pytest.raises(ConfigurationError, match="the rule has no arm 'cheap'; it has middle"):
        _published(among=("middle",))


@pytest.mark.parametrize(("bound", "written"), [(0.0123451, 0.012346), (0.012345, 0.012345), (0.0, 0.0), (-0.1, -0.1)])
def test_bounds_are_rounded_up(bound: float, written: float) -> None:
    """What is promised is never less than what was shown, and has no digit that machines differ in."""
    assert upwards(bound) == pytest.approx(written, abs=1e-12)
