"""Documents that say how an answer is to be checked: what is accepted, and what is refused, at their edges."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.domain.check import (
    LARGEST_SCHEMA,
    LARGEST_TESTS,
    LONGEST_ANSWER,
    LONGEST_PATTERN,
    MOST_ANSWERS,
    MOST_TESTS,
    Assertions,
    Check,
    CodeCheck,
    Kind,
    NamedCheck,
    PatternCheck,
    Program,
    SchemaCheck,
    TruthCheck,
    read_check,
)
from gateway.errors import InvalidRequest

_SCHEMA_AROUND = len('{"const":""}')


@pytest.mark.parametrize(
    ("document", "check"),
    [
        ({"kind": "math", "answer": " 1/2 "}, TruthCheck(Kind.MATH, ("1/2",))),
        ({"kind": "math", "answer": 42}, TruthCheck(Kind.MATH, ("42",))),
        ({"kind": "math", "answer": 0.1}, TruthCheck(Kind.MATH, ("0.1",))),
        ({"kind": "exact", "answer": ["four", 4]}, TruthCheck(Kind.EXACT, ("four", "4"))),
        ({"kind": "choice", "answer": "b"}, TruthCheck(Kind.CHOICE, ("b",))),
        ({"kind": "regex", "pattern": "^a+$"}, PatternCheck("^a+$")),
        ({"kind": "json_schema", "schema": {"type": "object"}}, SchemaCheck('{"type":"object"}')),
        ({"kind": "json_schema", "schema": False}, SchemaCheck("false")),
        ({"kind": "code", "tests": "assert f(1) == 2"}, CodeCheck((Assertions("assert f(1) == 2"),))),
        ({"kind": "code", "language": "python", "tests": {"stdout": "3"}}, CodeCheck((Program("", "3"),))),
        (
            {"kind": "code", "tests": ["assert f", {"stdin": "1", "stdout": "2"}]},
            CodeCheck((Assertions("assert f"), Program("1", "2"))),
        ),
        ({"kind": "prm-7b"}, NamedCheck("prm-7b")),
    ],
)
def test_a_document_becomes_a_check(document: dict[str, Any], check: Check) -> None:
    """Each kind has its own members, and a single answer or test may stand for a list of one."""
    assert read_check(document) == check


@pytest.mark.parametrize(
    ("document", "param"),
    [
        ("math", "ponder.verify"),
        ({}, "ponder.verify.kind"),
        ({"kind": "no name"}, "ponder.verify.kind"),
        ({"kind": 3}, "ponder.verify.kind"),
        ({"kind": "math"}, "ponder.verify.answer"),
        ({"kind": "math", "answer": ""}, "ponder.verify.answer"),
        ({"kind": "math", "answer": True}, "ponder.verify.answer"),
        ({"kind": "math", "answer": []}, "ponder.verify.answer"),
        ({"kind": "math", "answer": ["1", None]}, "ponder.verify.answer"),
        ({"kind": "math", "answer": "1", "pattern": "1"}, "ponder.verify"),
        ({"kind": "choice", "answer": "Paris"}, "ponder.verify.answer"),
        ({"kind": "choice", "answer": 100}, "ponder.verify.answer"),
        ({"kind": "regex", "pattern": ""}, "ponder.verify.pattern"),
        ({"kind": "json_schema", "schema": "object"}, "ponder.verify.schema"),
        ({"kind": "code", "tests": "assert 1", "language": "rust"}, "ponder.verify.language"),
        ({"kind": "code", "tests": " "}, "ponder.verify.tests"),
        ({"kind": "code", "tests": [{"stdin": "1"}]}, "ponder.verify.tests"),
        ({"kind": "code", "tests": [{"stdout": "1", "timeout": 9}]}, "ponder.verify.tests"),
        ({"kind": "code", "tests": [{"stdin": 1, "stdout": "1"}]}, "ponder.verify.tests"),
        ({"kind": "prm", "answer": "1"}, "ponder.verify"),
    ],
)
def test_what_is_no_check_is_refused_by_name(document: object, param: str) -> None:
    """An unknown member, a missing one or one of another type is an error that names it."""
    with pytest.raises(InvalidRequest) as caught:
        read_check(document)
    assert caught.value.param == param


def test_a_refusal_says_what_is_accepted() -> None:
    """The message lists the members of the kind, or the kinds."""
    with pytest.raises(InvalidRequest, match="takes 'kind', 'language', 'tests', and nothing else"):
        read_check({"kind": "code", "test": "assert 1"})
    with pytest.raises(InvalidRequest, match="math, exact, choice, regex, json_schema, code, or the name"):
        read_check({"kind": ""})
    with pytest.raises(InvalidRequest, match=r"'item 7\.answer'"):
        read_check({"kind": "math"}, "item 7")


@pytest.mark.parametrize(
    ("at_most", "beyond"),
    [
        ({"kind": "exact", "answer": "x" * LONGEST_ANSWER}, {"kind": "exact", "answer": "x" * (LONGEST_ANSWER + 1)}),
        ({"kind": "exact", "answer": ["x"] * MOST_ANSWERS}, {"kind": "exact", "answer": ["x"] * (MOST_ANSWERS + 1)}),
        (
            {"kind": "regex", "pattern": "x" * LONGEST_PATTERN},
            {"kind": "regex", "pattern": "x" * (LONGEST_PATTERN + 1)},
        ),
        (
            {"kind": "json_schema", "schema": {"const": "x" * (LARGEST_SCHEMA - _SCHEMA_AROUND)}},
            {"kind": "json_schema", "schema": {"const": "x" * (LARGEST_SCHEMA - _SCHEMA_AROUND + 1)}},
        ),
        ({"kind": "code", "tests": ["pass"] * MOST_TESTS}, {"kind": "code", "tests": ["pass"] * (MOST_TESTS + 1)}),
        (
            {"kind": "code", "tests": ["x", {"stdin": "i", "stdout": "o" * (LARGEST_TESTS - 2)}]},
            {"kind": "code", "tests": ["x", {"stdin": "i", "stdout": "o" * (LARGEST_TESTS - 1)}]},
        ),
    ],
)
def test_the_limits_of_size_are_exact(at_most: dict[str, Any], beyond: dict[str, Any]) -> None:
    """The largest that is allowed is accepted, and one more is not."""
    read_check(at_most)
    with pytest.raises(InvalidRequest):
        read_check(beyond)


def test_a_schema_that_nests_without_end_is_refused() -> None:
    """A schema deeper than it could be written out is an error of the caller's."""
    schema: dict[str, Any] = {}
    for _ in range(100_000):
        schema = {"not": schema}
    with pytest.raises(InvalidRequest, match="nested too deeply"):
        read_check({"kind": "json_schema", "schema": schema})
    while schema:  # taken apart here, as taking it down in one piece would recurse
        schema = schema.pop("not")
