"""The part that needs torch and transformers: training a reward model on a causal one's hidden states, and scoring.

Run by the Python of vLLM's environment, which has both, as ``python -m calibrator.prm.reward_model``: the
commands of ``ponder prm`` start it so, and hand it one JSON object of arguments. What it writes to its folder
is a ``*ForSequenceClassification`` of one label in Hugging Face's layout, as vLLM serves it behind
``/classify``. Its logit, through the sigmoid that vLLM applies to it, is the value of the prefix handed in.

A step is read where it ends: the model sees nothing of what comes after, so one pass over a chain gives what
as many passes over its prefixes would. The loss is the cross-entropy against the fraction of rollouts that
ended right, as Math-Shepherd's soft estimation has it (Wang et al. 2024, arXiv 2312.08935).
"""

from __future__ import annotations

import json
import math
import os
import random
import sys
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import accumulate
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits
from torch.nn.utils.rnn import pad_sequence
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer
from transformers.utils import logging

from calibrator.prm.added_layers import AddedLayers
from calibrator.prm.labels import Chain, is_held_out, read_chains
from calibrator.prm.quality import Scored
from calibrator.prm.regression import fit
from calibrator.prm.scored import DESCRIPTION, HELD_OUT, write_scored
from calibrator.prm.widened import Sample

_DEVICE: Final = "cuda" if torch.cuda.is_available() else "cpu"
_WARM_UP_STEPS: Final = 20
_WEIGHT_DECAY: Final = 0.01
_LENGTHS_MIXED: Final = 1.2
"""By how much chains of one batch differ in length, about."""
_LARGEST_GRADIENT: Final = 1.0
_SCORED_AT_ONCE: Final = 64
_WIDENED: Final = "llama"
_SAMPLES: Final = 256
"""Chains by which fresh layers are suited to their base before they learn."""


@dataclass(frozen=True, slots=True)
class Lesson:
    """A chain in tokens, the token that ends each step, and the steps' values; None for a step nobody judged."""

    chain: Chain
    ids: tuple[int, ...]
    ends: tuple[int, ...]
    start: int
    """The token at which the steps begin."""

    @property
    def key(self) -> tuple[str, int]:
        """What tells it from all others."""
        return self.chain.item, self.chain.number

    @property
    def judged(self) -> list[tuple[int, float]]:
        """The tokens that end judged steps, and the values there."""
        return [(end, value) for end, value in zip(self.ends, self.chain.values, strict=True) if value is not None]


@dataclass(frozen=True, slots=True)
class Course:
    """How a model is trained, and where from and to."""

    labels: Path
    base: Path
    out: Path
    template: str
    tunes_all: bool
    added_layers: int
    epochs: int
    learning_rate: float
    batch: int
    held_out_share: float
    seed: int
    dtype: str


def main(arguments: dict[str, Any]) -> None:
    """Train, or score the chains of a file with a trained model."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # what determinism takes on a GPU
    torch.set_num_threads(arguments.pop("threads"))
    torch.use_deterministic_algorithms(True)
    logging.set_verbosity_error()  # a head that is new is no news here
    logging.disable_progress_bar()
    arguments |= {name: Path(arguments[name]) for name in ("labels", "base", "out")}
    if arguments.pop("do") == "train":
        train(Course(**arguments))
        return
    folder: Path = arguments["base"]
    template = json.loads((folder / DESCRIPTION).read_text("utf-8"))["template"]
    write_scored(arguments["out"], scored(folder, template, read_chains(arguments["labels"])))


def train(course: Course) -> None:
    """Train on the problems that are not held out; write the model, how it was made, and the held-out chains scored."""
    torch.manual_seed(course.seed)
    chains = read_chains(course.labels)
    tokenizer = AutoTokenizer.from_pretrained(course.base)
    model = AutoModelForSequenceClassification.from_pretrained(
        course.base, num_labels=1, problem_type="multi_label_classification", dtype=torch.float32
    ).to(_DEVICE)
    lessons = [each for each in lessons_of(course.base, course.template, chains) if each.judged]
    tests = [each for each in lessons if is_held_out(each.chain.item, course.held_out_share)]
    taught = [each for each in lessons if not is_held_out(each.chain.item, course.held_out_share)]
    if not taught or not tests:
        sys.exit("too few labels: with a share of the problems held out, both parts need steps that were judged")
    problems = [len({each.chain.item for each in part}) for part in (taught, tests)]
    print(
        f"{len(taught)} chains of {problems[0]} problems to learn from, {len(tests)} of {problems[1]} held out; "
        f"{len(lessons)} of {len(chains)} chains fit the model and have judged steps",
        flush=True,
    )
    read = _reading(model, taught, course)
    losses = list(_epochs(read, taught, tests, course))
    model = read.model
    model.config.pad_token_id = tokenizer.eos_token_id if tokenizer.pad_token_id is None else tokenizer.pad_token_id
    model.to(getattr(torch, course.dtype)).save_pretrained(course.out)
    tokenizer.save_pretrained(course.out)
    _describe(course, losses, len(taught), len(tests))
    held_out = [each for each in chains if is_held_out(each.item, course.held_out_share)]
    write_scored(course.out / HELD_OUT, scored(course.out, course.template, held_out))


def scored(folder: Path, template: str, chains: Sequence[Chain]) -> list[Scored]:
    """Chains that are known to be right or wrong, with the scores that the model of a folder gives their steps."""
    model = AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.float32).to(_DEVICE).eval()
    lessons = lessons_of(folder, template, [chain for chain in chains if chain.is_right is not None])
    made: list[Scored] = []
    for start in range(0, len(lessons), _SCORED_AT_ONCE):
        batch = lessons[start : start + _SCORED_AT_ONCE]
        with torch.no_grad():
            shares = torch.sigmoid(model.score(_states(model, batch, [each.ends for each in batch]))).flatten().tolist()
        left = iter(shares)
        for each in batch:
            scores = tuple(round(next(left), 6) for _ in each.ends)
            chain = each.chain
            made.append(
                Scored(
                    chain.item, scores, bool(chain.is_right), chain.answer, chain.values, chain.difficulty, chain.tokens
                )
            )
    return made


def lessons_of(folder: Path, template: str, chains: Sequence[Chain]) -> list[Lesson]:
    """Chains as the tokens of a model; those that are longer than it reads are left out."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    most = json.loads((folder / "config.json").read_text("utf-8")).get("max_position_embeddings", math.inf)
    lessons: list[Lesson] = []
    for chain in chains:
        text, marks = text_of(template, chain)
        read = tokenizer(text, return_offsets_mapping=True)
        token_ends = [end for _, end in read["offset_mapping"]]
        if len(token_ends) <= most:
            ends = tuple(max(bisect_right(token_ends, mark) - 1, 0) for mark in marks)
            start = bisect_right(token_ends, marks[0] - len(chain.steps[0]))
            lessons.append(Lesson(chain, tuple(read["input_ids"]), ends, start))
    return lessons


def text_of(template: str, chain: Chain) -> tuple[str, list[int]]:
    """A chain as the model reads it, and the characters at which its steps end."""
    begun = template.removesuffix("{steps}").replace("{question}", chain.question)
    return begun + "".join(chain.steps), [len(begun) + end for end in accumulate(map(len, chain.steps))]


def _epochs(
    read: _Reading, taught: Sequence[Lesson], tests: Sequence[Lesson], course: Course
) -> Iterator[dict[str, float]]:
    """Train, and say the loss on both parts after every epoch."""
    read.begin(taught)
    trained = [each.requires_grad_() for each in read.trained]
    optimizer = torch.optim.AdamW(trained, lr=course.learning_rate, weight_decay=_WEIGHT_DECAY)
    steps = course.epochs * math.ceil(len(taught) / course.batch)
    pace = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min(1.0, (step + 1) / _WARM_UP_STEPS, 2 * (steps - step) / steps)
    )
    order = random.Random(course.seed)  # noqa: S311 - reproducible
    for number in range(1, course.epochs + 1):
        total, judged = 0.0, 0
        for batch in _shuffled(taught, course.batch, order):
            loss, counted = read.loss(batch)
            (loss + read.loss_beside(batch)).backward()
            torch.nn.utils.clip_grad_norm_(trained, _LARGEST_GRADIENT)
            optimizer.step()
            pace.step()
            optimizer.zero_grad(set_to_none=True)
            total, judged = total + loss.item() * counted, judged + counted
        figures = {"epoch": number, "loss": round(total / judged, 4), "held_out": round(read.mean_loss(tests), 4)}
        print("epoch {epoch}: loss {loss:.4f}, held out {held_out:.4f}".format(**figures), flush=True)
        yield figures


class _Reading:
    """What a model whose every weight learns makes of judged steps."""

    def __init__(self, model: Any) -> None:
        self.model = model

    @property
    def trained(self) -> Iterator[torch.nn.Parameter]:
        """The weights that learn."""
        return iter(self.model.parameters())

    def begin(self, taught: Sequence[Lesson]) -> None:
        """Have the head say one half of everything: so it has no noise to unlearn."""
        torch.nn.init.zeros_(self.model.score.weight)

    def loss(self, batch: Sequence[Lesson]) -> tuple[Tensor, int]:
        """The mean loss over the judged steps of some chains, and how many they are."""
        values = torch.tensor([value for each in batch for _, value in each.judged], device=_DEVICE)
        logits = self.model.score(self._read(batch)).flatten()
        return binary_cross_entropy_with_logits(logits, values), len(values)

    def loss_beside(self, batch: Sequence[Lesson]) -> Tensor | float:
        """What is to be learnt beside the labels, of the chains that were just read."""
        return 0.0

    def mean_loss(self, lessons: Sequence[Lesson]) -> float:
        """The mean loss over all judged steps, without learning from them."""
        total, judged = 0.0, 0
        with torch.no_grad():
            for batch in _batches(lessons, _SCORED_AT_ONCE):
                loss, counted = self.loss(batch)
                total, judged = total + loss.item() * counted, judged + counted
        return total / judged

    def _read(self, batch: Sequence[Lesson]) -> Tensor:
        return _states(self.model, batch, _judged_ends(batch))


class _HeadReading(_Reading):
    """The same where the head alone learns; it keeps what it read, since reading again would give the same."""

    def __init__(self, model: Any) -> None:
        super().__init__(model)
        self._kept: dict[tuple[str, int], Tensor] = {}

    @property
    def trained(self) -> Iterator[torch.nn.Parameter]:
        """The head's weights."""
        return iter(self.model.score.parameters())

    def _read(self, batch: Sequence[Lesson]) -> Tensor:
        unread = [each for each in batch if each.key not in self._kept]
        if unread:
            with torch.no_grad():
                states = _states(self.model, unread, _judged_ends(unread))
            parts = states.split([len(each.judged) for each in unread])
            self._kept |= {each.key: part for each, part in zip(unread, parts, strict=True)}
        return torch.cat([self._kept[each.key] for each in batch])


class _FreshReading(_Reading):
    """The same where layers were put on a base, and only they and the head learn."""

    def __init__(self, added: AddedLayers) -> None:
        super().__init__(added.model)
        self._added = added
        self._kept: dict[tuple[str, int], tuple[Tensor, Tensor]] = {}

    @property
    def trained(self) -> Iterator[torch.nn.Parameter]:
        """The fresh weights, and those that are needed only for learning."""
        return iter([*self._added.layers, *self.model.score.parameters(), *self._added.readers])

    def begin(self, taught: Sequence[Lesson]) -> None:
        """Fit the head to the labels as the fresh layers begin."""
        chains = sorted(taught, key=lambda each: len(each.ids))
        with torch.no_grad():
            states = torch.cat([self._read(batch) for batch in _batches(chains, _SCORED_AT_ONCE)])
        values = torch.tensor([value for each in chains for _, value in each.judged], device=_DEVICE)
        fit(self.model.score, states, values)

    def loss_beside(self, batch: Sequence[Lesson]) -> Tensor | float:
        """How badly the fresh layers tell what the base expected of each token of the answers."""
        return self._added.surprise_loss(self._known(batch), [each.start for each in batch])

    def _read(self, batch: Sequence[Lesson]) -> Tensor:
        return self._added.states(self._known(batch), _judged_ends(batch))

    def _known(self, batch: Sequence[Lesson]) -> list[tuple[Tensor, Tensor]]:
        if unread := [each for each in batch if each.key not in self._kept]:
            known = self._added.base_of([each.ids for each in unread])
            self._kept |= {each.key: part for each, part in zip(unread, known, strict=True)}
        return [self._kept[each.key] for each in batch]


def _reading(model: Any, taught: Sequence[Lesson], course: Course) -> _Reading:
    """How a model is read that learns in this way; nothing but what learns keeps gradients."""
    read = _Reading(model) if course.tunes_all else _HeadReading(model)
    if course.added_layers:
        if model.config.model_type != _WIDENED:
            sys.exit(f"layers are added to models of the {_WIDENED} family only, and this is {model.config.model_type}")
        head = AutoModelForCausalLM.from_pretrained(course.base, dtype=torch.float32).get_output_embeddings()
        some = random.Random(course.seed).sample(taught, min(len(taught), _SAMPLES))  # noqa: S311 - reproducible
        samples = [Sample(each.ids, each.start) for each in some]
        read = _FreshReading(AddedLayers(model, head.weight.detach().to(_DEVICE), course.added_layers, samples))
    for each in read.model.parameters():
        each.requires_grad_(requires_grad=False)
    return read


def _judged_ends(batch: Sequence[Lesson]) -> list[list[int]]:
    return [[end for end, _ in each.judged] for each in batch]


def _states(model: Any, batch: Sequence[Lesson], ends: Sequence[Sequence[int]]) -> Tensor:
    """The last hidden states at some tokens of some chains, one after another.

    Rows are filled up on the right, where a causal model's earlier tokens do not see it.
    """
    rows = pad_sequence([torch.tensor(each.ids) for each in batch], batch_first=True)
    seen = pad_sequence([torch.ones(len(each.ids), dtype=torch.long) for each in batch], batch_first=True)
    read = model.base_model(input_ids=rows.to(_DEVICE), attention_mask=seen.to(_DEVICE), use_cache=False)
    return torch.cat([row[list(places)] for row, places in zip(read.last_hidden_state, ends, strict=True)])


def _shuffled(lessons: Sequence[Lesson], size: int, order: random.Random) -> list[Sequence[Lesson]]:
    """Batches in another order each time, of chains that are about as long as each other: little is filled up."""
    alike = sorted(lessons, key=lambda each: len(each.ids) * order.uniform(1, _LENGTHS_MIXED))
    batches = list(_batches(alike, size))
    order.shuffle(batches)
    return batches


def _batches(lessons: Sequence[Lesson], size: int) -> Iterator[Sequence[Lesson]]:
    return (lessons[start : start + size] for start in range(0, len(lessons), size))


def _describe(course: Course, losses: Sequence[dict[str, float]], taught: int, held_out: int) -> None:
    """Say beside the weights how they were made: names and digests, no paths."""
    made = {
        "template": course.template,
        "base": course.base.resolve().name,
        "labels_sha256": sha256(course.labels.read_bytes()).hexdigest(),
        "chains": taught,
        "held_out_chains": held_out,
        "held_out_share": course.held_out_share,
        "added_layers": course.added_layers,
        "tuned": "all" if course.tunes_all else "head",
        "epochs": course.epochs,
        "learning_rate": course.learning_rate,
        "batch": course.batch,
        "seed": course.seed,
        "losses": losses,
    }
    (course.out / DESCRIPTION).write_text(json.dumps(made, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
