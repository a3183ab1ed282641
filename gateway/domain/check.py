"""Checks: how an answer is to be verified, as a request's ``ponder.verify`` or a golden item writes it down.

:func:`read_check` reads the document strictly. What it cannot know (whether a pattern compiles, a schema is one,
a verifier is configured, code may run) the graders say before any model is called.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, NoReturn, TypeAlias

from gateway.errors import InvalidRequest

LONGEST_ANSWER: Final = 2_000
"""Characters of a right answer."""

MOST_ANSWERS: Final = 16
LONGEST_PATTERN: Final = 1_000
LARGEST_SCHEMA: Final = 65_536
"""Characters of a schema as compact JSON."""

MOST_TESTS: Final = 64
LARGEST_TESTS: Final = 131_072
"""Characters of all tests of a check together, what programs read and write included."""

_CHOICE: Final = re.compile(r"[A-Za-z]|[0-9]{1,2}")
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class Kind(StrEnum):
    """The kinds of checks that are computed here; any other word names a configured verifier."""

    MATH = "math"
    EXACT = "exact"
    CHOICE = "choice"
    REGEX = "regex"
    JSON_SCHEMA = "json_schema"
    CODE = "code"


@dataclass(frozen=True, slots=True)
class TruthCheck:
    """The final answer is one of these: the same formula, the same text, or the same choice, as ``kind`` says."""

    kind: Kind
    answers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PatternCheck:
    """A pattern is found in the answer's text."""

    pattern: str
    kind: Kind = Kind.REGEX


@dataclass(frozen=True, slots=True)
class SchemaCheck:
    """The answer is JSON that a schema allows: a gate, not a measure of how good it is."""

    schema: str
    """As compact JSON."""
    kind: Kind = Kind.JSON_SCHEMA


@dataclass(frozen=True, slots=True)
class Assertions:
    """Python that runs after the answer's code, in its names, and raises where that is wrong."""

    source: str


@dataclass(frozen=True, slots=True)
class Program:
    """What the answer's code, run as a program, writes when it reads something."""

    stdin: str
    stdout: str


Test: TypeAlias = Assertions | Program


@dataclass(frozen=True, slots=True)
class CodeCheck:
    """The answer's code passes every test. The language is Python, for now the only one."""

    tests: tuple[Test, ...]
    kind: Kind = Kind.CODE


@dataclass(frozen=True, slots=True)
class NamedCheck:
    """A verifier that the operator configured scores the answer."""

    verifier: str


Check: TypeAlias = TruthCheck | PatternCheck | SchemaCheck | CodeCheck | NamedCheck


def read_check(document: object, where: str = "ponder.verify") -> Check:
    """The check that a document describes. Raises InvalidRequest, which says what is accepted at ``where``."""
    if not isinstance(document, dict):
        _refuse(where, "must be an object with a 'kind'")
    kind = document.get("kind")
    if not isinstance(kind, str) or not _NAME.fullmatch(kind):
        _refuse(f"{where}.kind", f"must be one of {', '.join(Kind)}, or the name of a configured verifier")
    members, read = _READERS.get(kind, _NAMED)
    unknown = sorted(document.keys() - members - {"kind"}, key=str)
    if unknown:
        takes = ", ".join(f"'{name}'" for name in ("kind", *sorted(members)))
        _refuse(where, f"of this kind takes {takes}, and nothing else")
    return read(document, where)


def _refuse(where: str, what: str) -> NoReturn:
    raise InvalidRequest(f"'{where}' {what}", param=where)


def _read_truth(document: Mapping[str, Any], where: str) -> TruthCheck:
    kind = Kind(document["kind"])
    given = document.get("answer")
    each_given = given if isinstance(given, list) else [given]
    answers = tuple(text for text in map(_answer_text, each_given) if text is not None)
    if not answers or len(answers) != len(each_given) or len(answers) > MOST_ANSWERS:
        _refuse(
            f"{where}.answer",
            f"must be a string of 1 to {LONGEST_ANSWER} characters, a number, or a list of 1 to {MOST_ANSWERS} such",
        )
    if kind is Kind.CHOICE and not all(_CHOICE.fullmatch(text) for text in answers):
        _refuse(f"{where}.answer", "of a choice must be one letter, or a number below 100")
    return TruthCheck(kind, answers)


def _answer_text(value: object) -> str | None:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return json.dumps(value)
    if not isinstance(value, str) or len(value) > LONGEST_ANSWER:
        return None
    return value.strip() or None


def _read_pattern(document: Mapping[str, Any], where: str) -> PatternCheck:
    pattern = document.get("pattern")
    if not isinstance(pattern, str) or not 0 < len(pattern) <= LONGEST_PATTERN:
        _refuse(f"{where}.pattern", f"must be a regular expression of 1 to {LONGEST_PATTERN} characters")
    return PatternCheck(pattern)


def _read_schema(document: Mapping[str, Any], where: str) -> SchemaCheck:
    schema = document.get("schema")
    if not isinstance(schema, dict | bool):
        _refuse(f"{where}.schema", "must be a JSON Schema: an object, true or false")
    try:
        text = json.dumps(schema, separators=(",", ":"), ensure_ascii=False)
    except RecursionError:
        _refuse(f"{where}.schema", "is nested too deeply")
    if len(text) > LARGEST_SCHEMA:
        _refuse(f"{where}.schema", f"must have at most {LARGEST_SCHEMA} characters as compact JSON")
    return SchemaCheck(text)


def _read_code(document: Mapping[str, Any], where: str) -> CodeCheck:
    if document.get("language", "python") != "python":
        _refuse(f"{where}.language", "must be 'python', the only language whose tests are run")
    given = document.get("tests")
    each_given = given if isinstance(given, list) else [given]
    tests = tuple(test for test in map(_test, each_given) if test is not None)
    if not tests or len(tests) != len(each_given) or len(tests) > MOST_TESTS:
        _refuse(
            f"{where}.tests",
            f"must be Python that asserts, an object of 'stdin' and 'stdout', or a list of 1 to {MOST_TESTS} of these",
        )
    if sum(_size(test) for test in tests) > LARGEST_TESTS:
        _refuse(f"{where}.tests", f"must have at most {LARGEST_TESTS} characters together")
    return CodeCheck(tests)


def _test(value: object) -> Test | None:
    if isinstance(value, str):
        return Assertions(value) if value.strip() else None
    if not isinstance(value, dict) or not value.keys() <= {"stdin", "stdout"} or "stdout" not in value:
        return None
    stdin, stdout = value.get("stdin", ""), value["stdout"]
    return Program(stdin, stdout) if isinstance(stdin, str) and isinstance(stdout, str) else None


def _size(test: Test) -> int:
    return len(test.source) if isinstance(test, Assertions) else len(test.stdin) + len(test.stdout)


def _read_named(document: Mapping[str, Any], _where: str) -> NamedCheck:
    return NamedCheck(document["kind"])


_Reader: TypeAlias = Callable[[Mapping[str, Any], str], Check]
_NAMED: Final[tuple[frozenset[str], _Reader]] = (frozenset(), _read_named)
_READERS: Final[Mapping[str, tuple[frozenset[str], _Reader]]] = {
    Kind.MATH: (frozenset({"answer"}), _read_truth),
    Kind.EXACT: (frozenset({"answer"}), _read_truth),
    Kind.CHOICE: (frozenset({"answer"}), _read_truth),
    Kind.REGEX: (frozenset({"pattern"}), _read_pattern),
    Kind.JSON_SCHEMA: (frozenset({"schema"}), _read_schema),
    Kind.CODE: (frozenset({"tests", "language"}), _read_code),
}
