"""Generated items: tasks of reasoning-gym whose answers are compared here, never by that package's own scorers.

Some of those run an answer as code, and others give credit for parts of it. So only tasks are taken that have
one right answer, which a formula or the same text is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from calibrator.items.item import Item, id_of
from gateway.domain.check import LONGEST_ANSWER, Kind, TruthCheck
from gateway.errors import ConfigurationError
from gateway.policy.items_document import GeneratedDocument

_NUMBER: Final = re.compile(r"-?\d+(?:\.\d+)?")
_ASKS_FORM: Final = "\n\nEnd with the answer alone on a last line, as: Answer: …"


def generate(wanted: GeneratedDocument) -> Iterator[Item]:
    """The items, the same for the same seed and release of reasoning-gym; their category is left to be predicted.

    Raises ConfigurationError where the package is missing, and for a task that is unknown or scored by its own code.
    """
    try:
        from reasoning_gym import create_dataset
        from reasoning_gym.dataset import ProceduralDataset
        from reasoning_gym.factory import DATASETS
    except ImportError as fault:
        raise ConfigurationError(
            "calibrate.items.generated: tasks are made by reasoning-gym, which is not installed: "
            "`.venv/bin/pip install reasoning-gym`, or take the member out"
        ) from fault
    plain = {name for name, (made, _) in DATASETS.items() if made.score_answer is ProceduralDataset.score_answer}
    for task in wanted.tasks:
        if task not in plain:
            why = "is scored by code of its own, which is not run here" if task in DATASETS else "is none of its tasks"
            raise ConfigurationError(
                f"calibrate.items.generated.tasks: {task!r} {why}; there are {', '.join(sorted(plain))}"
            )
        for number, entry in enumerate(create_dataset(task, size=wanted.each, seed=wanted.seed)):
            yield _item(f"{task}-{wanted.seed}-{number}", task, entry)


def _item(name: str, task: str, entry: Any) -> Item:
    question, answer = str(entry["question"]), str(entry["answer"])
    if not 0 < len(answer.strip()) <= LONGEST_ANSWER:
        raise ConfigurationError(
            f"calibrate.items.generated.tasks: an answer of {task!r} is empty or longer than {LONGEST_ANSWER} "
            "characters, which no check takes; leave the task out"
        )
    messages = ({"role": "user", "content": question + _ASKS_FORM},)
    kind = Kind.MATH if _NUMBER.fullmatch(answer) else Kind.EXACT
    return Item(
        id=f"{name}-{id_of(messages, answer)}",
        messages=messages,
        category=None,
        difficulty=None,
        check=TruthCheck(kind, (answer,)),
    )
