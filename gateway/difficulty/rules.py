"""The classifier by rules: asks whose kind is known by who sends them, without a look at the prompt.

Nothing in a prompt's own text can match here, save by the whole of its system prompt's digest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from gateway.domain.ask import Hints
from gateway.domain.key import Key, Names
from gateway.domain.prediction import Difficulty, Prediction, Prompt, Source


@dataclass(frozen=True, slots=True)
class Label:
    """What asks are that bear all of these marks; a mark that is None, or no tags, is not looked at.

    ``keys`` and ``teams`` match ids and names. ``systems`` are digests of whole system prompts.
    ``hints`` match the category that the client itself says, whatever words it has for it.
    """

    category: str
    difficulty: Difficulty | None = None
    keys: Names | None = None
    teams: Names | None = None
    tags: Mapping[str, frozenset[str]] = field(default_factory=dict)
    systems: frozenset[str] | None = None
    hints: Names | None = None


def label(labels: Sequence[Label], key: Key, hints: Hints, prompt: Prompt) -> Prediction | None:
    """What the first label that fits says, as surely as the operator who wrote it; None where none fits."""
    for each in labels:
        if _fits(each, key, hints, prompt):
            return Prediction(each.category, 1.0, Source.RULES, difficulty=each.difficulty)
    return None


def _fits(wanted: Label, key: Key, hints: Hints, prompt: Prompt) -> bool:
    return (
        (wanted.keys is None or key.id in wanted.keys or key.name in wanted.keys)
        and (wanted.teams is None or _is_named(wanted.teams, key.team_id) or _is_named(wanted.teams, key.team_name))
        and all(hints.tags.get(tag) in values for tag, values in wanted.tags.items())
        and (wanted.systems is None or prompt.system_digest in wanted.systems)
        and (wanted.hints is None or _is_named(wanted.hints, hints.category))
    )


def _is_named(names: Names, name: str | None) -> bool:
    return name is not None and name in names
