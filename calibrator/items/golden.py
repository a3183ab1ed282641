"""Golden files: ``golden/*.jsonl`` in a policy's folder, an item a line. Strict: each fault has its file and line.

A line is ``{"prompt": …, "check": {…}}``; ``messages`` may stand for ``prompt``, and ``id``, ``category`` and
``difficulty`` be added.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from calibrator.items.item import Item, id_of
from calibrator.tables.rows import json_object
from gateway.domain.check import read_check
from gateway.domain.prediction import Category, Difficulty
from gateway.errors import ConfigurationError, InvalidRequest

FOLDER: Final = "golden"
_KNOWN: Final = frozenset(("id", "prompt", "messages", "category", "difficulty", "check"))
_ROLES: Final = ("system", "user", "assistant")
_CATEGORIES: Final = tuple(Category)
_TIERS: Final = tuple(Difficulty)
_LONGEST_ID: Final = 200


def read_golden(policy_folder: Path) -> tuple[Item, ...]:
    """The golden items of a policy, none where it has no such folder. Raises ConfigurationError."""
    items: dict[str, tuple[Item, str]] = {}
    for file in sorted((policy_folder / FOLDER).glob("*.jsonl")):
        for item, place in _read(file):
            if item.id in items:
                raise ConfigurationError(f"{place}: id: {item.id!r} is that of {items[item.id][1]} already")
            items[item.id] = (item, place)
    return tuple(item for item, _ in items.values())


def _read(file: Path) -> Iterator[tuple[Item, str]]:
    try:
        text = file.read_text("utf-8")
    except OSError as fault:
        raise ConfigurationError(f"{file} cannot be read: {fault.strerror}") from fault
    except UnicodeDecodeError as fault:
        raise ConfigurationError(f"{file} is not UTF-8 text at byte {fault.start + 1}") from fault
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            place = f"{FOLDER}/{file.name}, line {number}"
            yield _item(json_object(line, place), place), place


def _item(row: Mapping[str, Any], place: str) -> Item:
    unknown = sorted(row.keys() - _KNOWN)
    if unknown or "check" not in row or ("prompt" in row) == ("messages" in row):
        said = f"{unknown[0]!r} is unknown" if unknown else "no check" if "check" not in row else "no prompt, or two"
        raise ConfigurationError(
            f"{place}: {said}; needed are prompt or messages, and check; id, category and difficulty may be added"
        )
    messages = _messages(row, place)
    try:
        check = read_check(row["check"], "check")
    except InvalidRequest as fault:
        raise ConfigurationError(f"{place}: {fault.message}") from fault
    return Item(
        id=_id(row["id"], place) if "id" in row else id_of(messages, row["check"]),
        messages=messages,
        category=_category(row.get("category"), place),
        difficulty=_difficulty(row.get("difficulty"), place),
        check=check,
    )


def _messages(row: Mapping[str, Any], place: str) -> tuple[Mapping[str, str], ...]:
    if "prompt" in row:
        if not _is_text(row["prompt"]):
            raise ConfigurationError(f"{place}: prompt: a text is expected")
        return ({"role": "user", "content": row["prompt"]},)
    given = row["messages"]
    if not isinstance(given, list) or not given or not all(map(_is_message, given)) or given[-1]["role"] != "user":
        raise ConfigurationError(
            f"{place}: messages: a list of {{role, content}} is expected, with roles {', '.join(_ROLES)}, contents "
            "that are texts, and the last of role user"
        )
    return tuple(given)


def _is_message(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and value.keys() == {"role", "content"}
        and value["role"] in _ROLES
        and _is_text(value["content"])
    )


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _id(value: Any, place: str) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= _LONGEST_ID:
        raise ConfigurationError(f"{place}: id: a text of 1 to {_LONGEST_ID} characters is expected")
    return value


def _category(value: Any, place: str) -> str | None:
    if value is None or (isinstance(value, str) and value.partition("/")[0] in _CATEGORIES):
        return value
    raise ConfigurationError(
        f"{place}: category: {value!r} is unknown; there are {_listed(_CATEGORIES)}, paths below them such as "
        "code/python, or none at all"
    )


def _difficulty(value: Any, place: str) -> str | None:
    if value is None or (isinstance(value, str) and value in _TIERS):
        return value
    raise ConfigurationError(f"{place}: difficulty: {value!r} is unknown; there are {_listed(_TIERS)}, or none at all")


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names)
