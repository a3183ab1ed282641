"""The file of labels: a log of what was asked and what came back, from which the value of every step is read.

Each line is a JSON object whose `kind` says what it tells of:

``run``    how the labels are drawn, once, first; a run that is resumed must be asked for in the same way
``prompt`` an item's prompt in token ids, as its model's server reads it
``check``  the same, asked for only to compare the tokens of two models
``chain``  one answer: its steps, the token at which each ends, whether it is right; imported ones: `values`
``draw``   one completion of a prefix, which is named by a digest of its tokens, and whether it ended right
``lost``   a call that failed and may have been charged

A line is appended when its call ends, so a run that is killed has lost only what was under way. Prefixes
that chains of one item share are drawn once.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from hashlib import blake2b
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from calibrator.prm.rollouts import Rollouts
from gateway.domain.money import ZERO, Usd, usd
from gateway.errors import ConfigurationError

_DIGEST_BYTES = 8


@dataclass(frozen=True, slots=True)
class Chain:
    """One answer to an item, in steps. ``values`` are those of its steps; None where nobody judged one.

    ``is_right`` is None for an answer that nobody finished or judged. ``ends`` are the numbers of tokens at
    which its steps end; empty where the chain was imported.
    """

    item: str
    number: int
    question: str
    steps: tuple[str, ...]
    is_right: bool | None
    answer: str | None = None
    difficulty: str = ""
    tokens: int = 0
    ids: tuple[int, ...] = ()
    ends: tuple[int, ...] = ()
    values: tuple[float | None, ...] = ()


@dataclass(slots=True)
class Log:
    """What a file of labels holds."""

    run: Mapping[str, Any] | None = None
    prompts: dict[str, tuple[int, ...]] = field(default_factory=dict)
    chains: dict[tuple[str, int], Chain] = field(default_factory=dict)
    draws: dict[tuple[str, str], dict[int, bool]] = field(default_factory=dict)
    """Which completions of a prefix, named by item and digest, ended right; by their numbers."""
    spent: Usd = ZERO
    output_tokens: int = 0
    prompt_tokens: int = 0

    def rollouts(self, item: str, prefix: str) -> Rollouts:
        """The completions of a prefix so far."""
        drawn = self.draws.get((item, prefix), {})
        return Rollouts(len(drawn), sum(drawn.values()))

    def labelled(self) -> Iterator[Chain]:
        """Every chain with its steps' values: the last step's is whether the answer is right."""
        for chain in self.chains.values():
            yield chain if chain.values else _with_values(chain, self)

    def take(self, row: Mapping[str, Any]) -> None:
        """Add one line."""
        match row["kind"]:
            case "run":
                self.run = {name: value for name, value in row.items() if name != "kind"}
            case "prompt":
                self.prompts[row["item"]] = tuple(row["ids"])
            case "chain":
                self.chains[row["item"], row["number"]] = _chain(row)
            case "draw":
                self.draws.setdefault((row["item"], row["prefix"]), {})[row["number"]] = row["is_right"]
            case "check" | "lost":
                pass
            case kind:
                raise ValueError(f"a line of kind {kind!r}")
        self.spent = Usd(self.spent + usd(row.get("usd", 0)))
        self.prompt_tokens += row.get("prompt_tokens", 0)
        self.output_tokens += row.get("output_tokens", 0)


def name_of(ids: Sequence[int]) -> str:
    """The name of a prefix: a digest of its tokens, those of the prompt included."""
    return blake2b(",".join(map(str, ids)).encode(), digest_size=_DIGEST_BYTES).hexdigest()


def read_log(file: Path) -> Log:
    """What a file of labels holds. Raises ConfigurationError for a file that is none.

    A last line without its end is passed over: whoever wrote it was killed.
    """
    log = Log()
    try:
        whole = file.read_bytes()
    except OSError as fault:
        raise ConfigurationError(f"{file.name} cannot be read: {fault.strerror}") from fault
    for number, line in enumerate(whole.splitlines(keepends=True), 1):
        if not line.endswith(b"\n"):
            break
        try:
            log.take(json.loads(line))
        except (ValueError, KeyError, TypeError) as fault:
            raise ConfigurationError(
                f"{file.name}, line {number}: not a line of labels, as `ponder prm label` writes them"
            ) from fault
    return log


def read_chains(file: Path) -> list[Chain]:
    """The labelled chains of a file, in the order of their items and numbers. Raises ConfigurationError."""
    return sorted(read_log(file).labelled(), key=lambda chain: (chain.item, chain.number))


def is_held_out(item: str, share: float) -> bool:
    """Whether a problem is held out: by a digest of its id, so that all its chains are, whatever the seed."""
    return int.from_bytes(blake2b(item.encode(), digest_size=8).digest()) < share * 2**64


class LabelFile:
    """A file of labels that is being written, and what it holds."""

    def __init__(self, file: Path, run: Mapping[str, Any]) -> None:
        """Open a file, resuming what it holds. Raises ConfigurationError where it was begun in another way."""
        self._file = _locked(file)
        try:
            _cut_broken_line(file)
            self.log = read_log(file)
            _check_same(file, self.log.run, run)
        except ConfigurationError:
            os.close(self._file)
            raise
        if self.log.run is None:
            self.append({"kind": "run", **run})

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._file)

    def append(self, row: Mapping[str, Any]) -> None:
        """Write one line, at once and as a whole, and count it in."""
        line = memoryview(json.dumps(row, ensure_ascii=False, separators=(",", ":")).encode() + b"\n")
        while line:
            line = line[os.write(self._file, line) :]
        self.log.take(row)


def row_of(chain: Chain) -> dict[str, Any]:
    """A chain as a line."""
    return {"kind": "chain", **{name: value for name, value in asdict(chain).items() if value not in ("", (), None)}}


def write_chains(file: Path, run: Mapping[str, Any], chains: Iterable[Chain]) -> int:
    """Write chains that are labelled already, save those that the file holds; how many it then holds."""
    with LabelFile(file, run) as labels:
        for chain in chains:
            if (chain.item, chain.number) not in labels.log.chains:
                labels.append(row_of(chain))
        return len(labels.log.chains)


def _locked(file: Path) -> int:
    try:
        opened = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    except OSError as fault:
        raise ConfigurationError(f"{file.name} cannot be written: {fault.strerror}") from fault
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as fault:
        os.close(opened)
        raise ConfigurationError(f"{file.name} is being written by another run") from fault
    return opened


def _check_same(file: Path, begun: Mapping[str, Any] | None, run: Mapping[str, Any]) -> None:
    differing = [name for name, value in run.items() if begun is not None and begun.get(name) != value]
    if begun is not None and differing:
        first = differing[0]
        raise ConfigurationError(
            f"{file.name} was begun with {first} {begun.get(first)!r}, not {run[first]!r}: "
            "go on in the same way, or write to another file"
        )


def _cut_broken_line(file: Path) -> None:
    whole = file.read_bytes()
    if whole and not whole.endswith(b"\n"):
        os.truncate(file, whole.rfind(b"\n") + 1)


def _chain(row: Mapping[str, Any]) -> Chain:
    return Chain(
        item=row["item"],
        number=row["number"],
        question=row.get("question", ""),
        steps=tuple(row["steps"]),
        is_right=row.get("is_right"),
        answer=row.get("answer"),
        difficulty=row.get("difficulty", ""),
        tokens=row.get("tokens", 0),
        ids=tuple(row.get("ids", ())),
        ends=tuple(row.get("ends", ())),
        values=tuple(row.get("values", ())),
    )


def _with_values(chain: Chain, log: Log) -> Chain:
    prompt = log.prompts.get(chain.item, ())
    inner = [log.rollouts(chain.item, name_of((*prompt, *chain.ids[:end]))).value for end in chain.ends[:-1]]
    last = None if chain.is_right is None else float(chain.is_right)
    return replace(chain, values=(*inner, last))
