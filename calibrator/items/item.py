"""An item: something to ask of every arm, with how its answers are checked."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from gateway.domain.chat import Dialect
from gateway.domain.check import Check, NamedCheck
from gateway.domain.prediction import Category
from gateway.domain.profile import Cell
from gateway.domain.verification import Problem


@dataclass(frozen=True, slots=True)
class Agreement:
    """The check of an item without a truth: right is what more than half of so many answers of the reference say."""

    draws: int


@dataclass(frozen=True, slots=True)
class Item:
    """One item; ``check`` says what a right answer is.

    ``messages`` are those of OpenAI's Chat, with texts alone. Category and difficulty are None where they are not
    written, until :mod:`gathering` has them predicted; an item of no difficulty then counts for every one.
    """

    id: str
    messages: tuple[Mapping[str, str], ...]
    category: str | None
    difficulty: str | None
    check: Check | Agreement

    @property
    def cell(self) -> Cell:
        """The category and difficulty that it counts for."""
        return self.category or Category.OTHER, self.difficulty

    @property
    def is_binary(self) -> bool:
        """Whether an answer can only be right or wrong; a verifier of the operator's may say anything between."""
        return not isinstance(self.check, NamedCheck)

    @property
    def body(self) -> dict[str, Any]:
        """What a client would ask, but for the model."""
        return {"messages": [dict(message) for message in self.messages]}

    @property
    def problem(self) -> Problem:
        """What a verifier is told of it."""
        system = "\n".join(each["content"] for each in self.messages if each["role"] == "system")
        turns = tuple((each["role"], each["content"]) for each in self.messages if each["role"] != "system")
        return Problem(turns, system)


DIALECT = Dialect.OPENAI_CHAT
"""Of what an item asks."""


def digest_of(items: Iterable[Item]) -> str:
    """The SHA-256 of items, in whichever order."""
    said = sorted(json.dumps(_document(item), sort_keys=True, ensure_ascii=False) for item in items)
    return hashlib.sha256("\n".join(said).encode("utf-8", "surrogatepass")).hexdigest()


def id_of(messages: Iterable[Mapping[str, str]], check: object) -> str:
    """The id of an item that was given none: a digest of what it asks and how it is checked."""
    said = json.dumps([list(map(dict, messages)), check], sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(said.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _document(item: Item) -> list[Any]:
    check = [type(item.check).__name__, asdict(item.check)]
    return [item.id, [dict(each) for each in item.messages], item.category, item.difficulty, check]
