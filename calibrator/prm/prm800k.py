"""Step labels that people or models gave, in the format of PRM800K (Lightman et al. 2023, arXiv 2305.20050).

Each line is a JSON object::

    {"question": {"problem": "...", "ground_truth_answer": "..."},
     "label": {"steps": [{"completions": [{"text": "...", "rating": 1}], "chosen_completion": 0,
                          "human_completion": null}],
               "finish_reason": "solution"}}

A step offers one or more completions, rated 1 (good), 0 (neutral) or -1 (bad); the labeller goes on from the
one that was chosen, or from what the labeller wrote instead, a ``human_completion``, which counts as good. The
path of choices becomes a chain whose steps are all labelled. Every other rated completion becomes a chain of
its own, of which only that last step is labelled, as the steps before it count once already. Neutral counts
as good, as Lightman et al. count it. A chain is right where the labelling ended with ``solution`` and no bad
step, wrong where it ended with ``found_error``; otherwise nobody knows, and `ponder prm report` leaves it out.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from calibrator.prm.labels import Chain
from gateway.errors import ConfigurationError

_VALUES: Final = {1: 1.0, 0: 1.0, -1: 0.0}
_SOLVED: Final = "solution"
_ERROR: Final = "found_error"


@dataclass(frozen=True, slots=True)
class _Path:
    """Steps that were gone so far, and their values."""

    steps: tuple[str, ...] = ()
    values: tuple[float | None, ...] = ()

    def with_step(self, text: str, value: float | None) -> _Path:
        return _Path((*self.steps, text), (*self.values, value))


def read_prm800k(lines: Iterable[str], name: str, mark: str) -> Iterator[Chain]:
    """The chains of a file; ``mark`` is put after every step but a chain's last. Raises ConfigurationError."""
    numbers: dict[str, int] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            problem, label = str(row["question"]["problem"]), row["label"]
            found = list(_paths(label["steps"]))
        except (ValueError, KeyError, TypeError, IndexError) as fault:
            raise ConfigurationError(
                f"{name}, line {number}: not in PRM800K's format; `question.problem` and `label.steps`, each with "
                "`completions` of `text` and `rating`, are expected"
            ) from fault
        for path, is_main in found:
            numbers[problem] = numbers.get(problem, -1) + 1
            yield Chain(
                item=problem,
                number=numbers[problem],
                question=problem,
                steps=_marked(path.steps, mark),
                is_right=_is_right(path, label) if is_main else None,
                values=path.values,
            )


def _paths(steps: Sequence[Mapping[str, Any]]) -> Iterator[tuple[_Path, bool]]:
    """The path of choices, last, and every rated completion beside it."""
    path = _Path()
    for step in steps:
        chosen = step.get("chosen_completion")
        gone: _Path | None = None
        for number, completion in enumerate(step.get("completions") or ()):
            value = None if completion.get("rating") is None else _VALUES[completion["rating"]]
            text = str(completion["text"])
            if number == chosen:
                gone = path.with_step(text, value)
            elif value is not None:
                yield _Path((*path.steps, text), (*(None for _ in path.steps), value)), False
        written = step.get("human_completion")
        if chosen is None and written is not None:
            gone = path.with_step(str(written["text"] if isinstance(written, dict) else written), 1.0)
        if gone is None:
            break
        path = gone
    if any(value is not None for value in path.values):
        yield path, True


def _is_right(path: _Path, label: Mapping[str, Any]) -> bool | None:
    ended = label.get("finish_reason")
    if ended == _SOLVED:
        return 0.0 not in path.values
    return False if ended == _ERROR else None


def _marked(steps: Sequence[str], mark: str) -> tuple[str, ...]:
    return tuple(step + mark for step in steps[:-1]) + tuple(steps[-1:])
