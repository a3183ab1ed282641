"""Profiles as they are published: the same bytes every time, and read back as they were."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from gateway.domain.profile import Certified, ProfileVersion
from gateway.domain.profile_document import PublishedProfile, read_document
from gateway.errors import ConfigurationError
from tests.store.profiles import document

DOCUMENT = document(cells={("math", None): "fast", ("code/python", "hard"): "think", ("code", None): "vote"})


def test_equal_documents_are_equal_texts() -> None:
    """The order in which rules were put together does not show, and nothing of time or place does."""
    rule = DOCUMENT.rules["checkable"]
    one = replace(DOCUMENT, rules={"a": rule, "b": rule})
    other = replace(DOCUMENT, rules={"b": rule, "a": rule})
    assert one.encoded() == other.encoded()
    assert one.encoded() != replace(one, seed=8).encoded()


def test_a_document_is_read_as_it_was_written() -> None:
    """Every certificate, cell and bound, down to the last digit."""
    assert read_document(DOCUMENT.encoded()) == DOCUMENT


def test_a_document_decides_by_its_cells() -> None:
    """Its version has the arms of all cells, the rule's digest, and ends when it is told to."""
    version = DOCUMENT.version(4, expires_at=99.0)
    arms = {("math", None): "fast", ("code/python", "hard"): "think", ("code", None): "vote"}
    assert version == ProfileVersion(4, {"checkable": Certified("r" * 64, arms)}, 99.0)


def test_a_bound_that_is_no_number_is_not_written() -> None:
    """JSON has none, and no certificate either."""
    rule = DOCUMENT.rules["checkable"]
    broken = replace(rule, certificate=replace(rule.certificate, bound=float("nan")))
    with pytest.raises(ValueError, match="not JSON compliant"):
        replace(DOCUMENT, rules={"checkable": broken}).encoded()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        DOCUMENT.encoded()[:-1],
        DOCUMENT.encoded().replace('"bound"', '"bond"'),
        DOCUMENT.encoded().replace('"seed"', '"sead"'),
        json.dumps({**json.loads(DOCUMENT.encoded()), "rules": []}),
    ],
)
def test_what_is_no_profile_is_refused(text: str) -> None:
    """A text that is not JSON, lacks a member or has one of another name cannot be read."""
    with pytest.raises(ConfigurationError, match="cannot be read"):
        read_document(text)


def test_a_later_form_is_refused() -> None:
    """What a later release published is not guessed at."""
    with pytest.raises(ConfigurationError, match="a later one published it"):
        read_document(DOCUMENT.encoded().replace('"form":1', '"form":2'))


def test_a_published_profile_knows_its_digest() -> None:
    """It is that of the text, so that anybody can check it."""
    published = PublishedProfile("default", 3, DOCUMENT.encoded(), "p" * 64, None, None, 1.0, "calibrator", 50.0)
    assert published.digest == replace(published, number=4, created_at=2.0).digest
    assert published.digest != replace(published, text=document(arm="think").encoded()).digest
    assert published.document == DOCUMENT
    assert published.version() == DOCUMENT.version(3, expires_at=50.0)
