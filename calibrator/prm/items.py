"""Problems whose answers are known, and how an answer is checked against the known one."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from gateway.errors import ConfigurationError
from gateway.search.answers import find
from gateway.search.equivalence import meaning, same

_SAME: Final = "same"
_EXACT: Final = "exact"
_PATTERN: Final = "pattern"
_ACCEPTED: Final = '"same", "exact", or {"pattern": "..."} with one group'


@dataclass(frozen=True, slots=True)
class Grader:
    """How the answer of a text is read and compared: by meaning, letter by letter, or by a pattern's last match."""

    pattern: re.Pattern[str] | None = None
    is_exact: bool = False

    def answer(self, text: str, *, is_cut: bool) -> str | None:
        """The final answer that a text gives; None where it gives none."""
        if self.pattern is None:
            found = find(text, is_cut=is_cut)
            return None if found is None else found.answer
        matches = self.pattern.findall(text)
        return matches[-1].strip() if matches else None

    def is_right(self, answer: str | None, expected: str) -> bool:
        """Whether an answer is the expected one; no answer never is."""
        if answer is None:
            return False
        if self.is_exact or self.pattern is not None:
            return answer.strip() == expected.strip()
        return same(meaning(answer), meaning(expected))


@dataclass(frozen=True, slots=True)
class Item:
    """A problem with its answer: a text that a model continues, or a conversation that it answers."""

    id: str
    prompt: str | Sequence[Mapping[str, Any]]
    answer: str
    grader: Grader
    difficulty: str = ""

    @property
    def question(self) -> str:
        """What was asked: the text, or the last thing that the user said."""
        if isinstance(self.prompt, str):
            return self.prompt
        said = (each["content"] for each in reversed(self.prompt) if each["role"] == "user")
        return str(next(said, ""))


def read_items(lines: Iterable[str], name: str) -> list[Item]:
    """The items of a file of JSON lines. Raises ConfigurationError naming the line at fault."""
    items: dict[str, Item] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        item = _item(_object(line, place := f"{name}, line {number}"), place)
        if item.id in items:
            raise ConfigurationError(f"{place}: the id {item.id!r} stands twice; every item needs one of its own")
        items[item.id] = item
    if not items:
        raise ConfigurationError(f"{name} holds no item")
    return list(items.values())


def _object(line: str, place: str) -> Mapping[str, Any]:
    try:
        row = json.loads(line)
    except ValueError as fault:
        raise ConfigurationError(f"{place}: not JSON; one object for each item is expected") from fault
    if not isinstance(row, dict):
        raise ConfigurationError(f"{place}: a {type(row).__name__}; one object for each item is expected")
    return row


def _item(row: Mapping[str, Any], place: str) -> Item:
    known = {"id", "prompt", "messages", "answer", "grader", "difficulty"}
    if not known >= row.keys():
        raise ConfigurationError(f"{place}: {sorted(row.keys() - known)[0]!r} is unknown; there are {sorted(known)}")
    if not isinstance(row.get("id"), str | int) or not isinstance(row.get("answer"), str | int | float):
        raise ConfigurationError(f"{place}: an item has an `id` and an `answer`, each a text or a number")
    prompt, messages = row.get("prompt"), row.get("messages")
    if isinstance(prompt, str) == isinstance(messages, list):
        raise ConfigurationError(f"{place}: an item has either `prompt`, a text, or `messages`, a list")
    if isinstance(messages, list) and not all(map(_is_message, messages)):
        raise ConfigurationError(f"{place}: each of `messages` has a `role` and a `content`, both texts")
    return Item(
        id=str(row["id"]),
        prompt=prompt if isinstance(prompt, str) else messages or [],
        answer=str(row["answer"]),
        grader=_grader(row.get("grader", _SAME), place),
        difficulty=str(row.get("difficulty", "")),
    )


def _is_message(each: Any) -> bool:
    return isinstance(each, dict) and isinstance(each.get("role"), str) and isinstance(each.get("content"), str)


def _grader(given: Any, place: str) -> Grader:
    if given in (_SAME, _EXACT):
        return Grader(is_exact=given == _EXACT)
    if not isinstance(given, dict) or given.keys() != {_PATTERN}:
        raise ConfigurationError(f"{place}: `grader` is {_ACCEPTED}")
    try:
        pattern = re.compile(str(given[_PATTERN]), re.MULTILINE)
    except re.error as fault:
        raise ConfigurationError(f"{place}: the grader's pattern is no regular expression: {fault}") from fault
    if pattern.groups != 1:
        raise ConfigurationError(f"{place}: the grader's pattern has {pattern.groups} groups; it needs one, the answer")
    return Grader(pattern)
