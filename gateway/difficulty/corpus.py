"""Prompts whose category, or whose success by a weak and a strong model, is known: for training and for reports.

Reads a folder of recorded data (layout in docs/classify.md) and the labelled prompts that ship with Ponder.
An item belongs to the held-out part by a digest of its text, so equal prompts never stand on both sides, and
every run and version agrees on which they are.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from string import ascii_uppercase
from typing import Any

from gateway.errors import ConfigurationError

HELD_OUT_SHARE = 4
"""One item in so many is held out."""


@dataclass(frozen=True, slots=True)
class Anchors:
    """Which two recorded models stand for a weak and a strong one in a source."""

    weak: str
    strong: str


ANCHORS: Mapping[str, Anchors] = {
    # The best of the seven models that answer without thinking, and the best of those that think first.
    "reasoning": Anchors("meta-llama_llama-4-maverick", "openai_o3-mini"),
    # The smallest and the largest of four.
    "knowledge": Anchors("Meta-Llama-3_1-8B-Instruct", "gemini-1.5-pro-002"),
    # The two that were recorded.
    "grade_school": Anchors("Mixtral-8x7B", "gpt-4-1106"),
}


@dataclass(frozen=True, slots=True)
class Item:
    """A prompt and what is known of it.

    ``labels`` are the categories that count as right, the first being the label. ``cell`` is the finest
    kind of work that its source names. ``weak`` and ``strong`` are shares of right answers, None if not recorded.
    """

    source: str
    text: str
    labels: tuple[str, ...]
    cell: str
    is_held_out: bool
    weak: float | None = None
    strong: float | None = None
    group: str = ""
    """The source's own coarse category: the baseline that predictions of success are compared with."""
    language: str = "en"
    with_options: str | None = None
    """The prompt with the answers to choose from, where its source has them."""


@dataclass(frozen=True, slots=True)
class Corpus:
    """The items of a data folder, with the SHA-256 of every file that was read."""

    items: tuple[Item, ...]
    digests: Mapping[str, str]


def is_held_out(text: str) -> bool:
    """Whether a prompt belongs to the held-out part, by a digest of its letters and digits."""
    plain = "".join(character for character in text.lower() if character.isalnum()) or text
    return hashlib.sha256(plain.encode("utf-8", "replace")).digest()[0] % HELD_OUT_SHARE == 0


def read_corpus(folder: Path) -> Corpus:
    """All sources whose licence allows shipping what is learned of them (Apache-2.0 and MIT).

    Raises :class:`ConfigurationError` naming the file that is missing or cannot be read.
    """
    reader = _Reader(folder)
    labels = json.loads(reader.read("categories.json"))
    items = [
        *_reasoning(reader, labels),
        *_knowledge(reader, labels["knowledge.category"]),
        *_grade_school(reader),
        *_math(reader),
        *_by_name(reader, "prompts/real_user.jsonl.gz", "subcategory", labels["real_user.subcategory"]),
        *_by_name(reader, "prompts/chat_two_turn.jsonl.gz", "category", labels["chat_two_turn.category"]),
    ]
    return Corpus(tuple(items), reader.digests)


def read_labelled(path: Path, *, is_held_out: bool) -> list[Item]:
    """Labelled prompts, one JSON object a line: ``category`` (or a list of those that are right), ``prompt``."""
    items = []
    for line in path.read_text("utf-8").splitlines():
        row = json.loads(line)
        items.append(
            Item(
                source="labelled",
                text=row["prompt"],
                labels=_labels(row["category"]),
                cell=f"labelled/{_labels(row['category'])[0]}",
                is_held_out=is_held_out,
                language=row.get("language", "en"),
            )
        )
    return items


class _Reader:
    """Reads files below a folder and keeps their digests."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.digests: dict[str, str] = {}

    def read(self, name: str) -> str:
        path = self._folder / name
        try:
            raw = path.read_bytes()
            text = (gzip.decompress(raw) if name.endswith(".gz") else raw).decode("utf-8")
        except (OSError, EOFError, ValueError) as fault:
            raise ConfigurationError(
                f"{path} cannot be read ({type(fault).__name__}); --data takes a folder with it"
            ) from fault
        self.digests[name] = hashlib.sha256(raw).hexdigest()
        return text

    def lines(self, name: str) -> Iterator[dict[str, Any]]:
        yield from (json.loads(line) for line in self.read(name).splitlines())

    def rows(self, name: str) -> Iterator[dict[str, str]]:
        yield from csv.DictReader(self.read(name).splitlines())


def _labels(named: str | list[str]) -> tuple[str, ...]:
    return (named,) if isinstance(named, str) else tuple(named)


def _reasoning(reader: _Reader, labels: Mapping[str, Any]) -> Iterator[Item]:
    of = _outcomes(reader.rows("prompts/reasoning_outcomes.csv.gz"), "id", "model", "score")
    anchors = ANCHORS["reasoning"]
    seen: set[str] = set()
    for row in reader.lines("prompts/reasoning.jsonl.gz"):
        if row["prompt"] in seen:
            continue
        seen.add(row["prompt"])
        right = labels["reasoning.task"].get(row["task"]) or labels["reasoning.category"][row["category"]]
        recorded = of.get(row["id"], {})
        yield Item(
            source="reasoning",
            text=row["prompt"],
            labels=_labels(right),
            cell=f"reasoning/{row['task']}/{row['difficulty']}",
            is_held_out=is_held_out(row["prompt"]),
            weak=recorded.get(anchors.weak),
            strong=recorded.get(anchors.strong),
            group=row["category"],
        )


def _outcomes(rows: Iterator[dict[str, str]], item: str, arm: str, score: str) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, float]] = {}
    for row in rows:
        found.setdefault(row[item], {})[row[arm]] = float(row[score])
    return found


def _knowledge(reader: _Reader, labels: Mapping[str, Any]) -> Iterator[Item]:
    of = _outcomes(reader.rows("outcomes/knowledge_tiers.csv.gz"), "item", "arm", "correct")
    anchors = ANCHORS["knowledge"]
    for row in reader.lines("prompts/knowledge.jsonl.gz"):
        recorded = of.get(str(row["id"]), {})
        yield Item(
            source="knowledge",
            text=row["prompt"],
            labels=_labels(labels[row["category"]]),
            cell=f"knowledge/{row['category']}",
            is_held_out=is_held_out(row["prompt"]),
            weak=recorded.get(anchors.weak),
            strong=recorded.get(anchors.strong),
            group=row["category"],
            with_options=_with_options(row["prompt"], row["options"]),
        )


def _with_options(question: str, options: list[str]) -> str:
    return "\n".join(
        (question, *(f"{letter}. {option}" for letter, option in zip(ascii_uppercase, options, strict=False)))
    )


def _grade_school(reader: _Reader) -> Iterator[Item]:
    for row in reader.rows("prompts/grade_school.csv.gz"):
        yield Item(
            source="grade_school",
            text=row["prompt"],
            labels=("math",),
            cell="grade_school",
            is_held_out=is_held_out(row["prompt"]),
            weak=float(row["weak_correct"] == "True"),
            strong=float(row["strong_correct"] == "True"),
            group="grade_school",
        )


def _math(reader: _Reader) -> Iterator[Item]:
    for row in reader.lines("prompts/math.jsonl.gz"):
        yield _labelled("math", row["prompt"], ("math",), row["category"])


def _by_name(reader: _Reader, name: str, field: str, labels: Mapping[str, Any]) -> Iterator[Item]:
    source = name.removeprefix("prompts/").removesuffix(".jsonl.gz")
    for row in reader.lines(name):
        text = row["prompt"] if "prompt" in row else row["turns"][0]
        yield _labelled(source, text, _labels(labels[row[field]]), f"{source}/{row[field]}")


def _labelled(source: str, text: str, labels: tuple[str, ...], cell: str) -> Item:
    return Item(source=source, text=text, labels=labels, cell=cell, is_held_out=is_held_out(text))
