"""Writing a set of rows: each once, split by item, and the files put in place together at the end.

A killed run leaves the files of the run before; begun again it writes the same.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, TextIO

from calibrator.export.rows import Row
from gateway.errors import ConfigurationError

SPLITS: Final = ("train", "test")
_PLACES: Final = 2**32
_DIGEST_BYTES: Final = 16
_SAME: Final = ("item", "check", "completion", "completions")
"""What two rows have in common that are one: not who asked, and not how good it was found."""


class SetWriter:
    """A folder with ``train.jsonl`` and ``test.jsonl``, and ``export.json``, which tells what they are."""

    def __init__(self, folder: Path, *, test_share: float) -> None:
        self._folder = folder
        self._test_share = test_share
        self._seen: set[bytes] = set()
        self._items: dict[str, set[str]] = {name: set() for name in SPLITS}
        self._files: dict[str, TextIO] = {}
        self.rows = dict.fromkeys(SPLITS, 0)
        self.repeated = 0

    def __enter__(self) -> Self:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._files = {name: self._part(name).open("w", encoding="utf-8") for name in SPLITS}
        except OSError as fault:
            raise ConfigurationError(f"{self._folder} cannot be written: {fault.strerror}") from fault
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        for name, file in self._files.items():
            file.close()
            if kind is not None:
                self._part(name).unlink(missing_ok=True)

    def add(self, row: Row) -> None:
        """Write a row, unless one of the same item was written that says the same."""
        line = json.dumps(row, ensure_ascii=False, separators=(",", ":"))
        same = json.dumps([row.get(name) for name in _SAME]).encode()
        mark = hashlib.blake2b(same, digest_size=_DIGEST_BYTES).digest()
        if mark in self._seen:
            self.repeated += 1
            return
        self._seen.add(mark)
        split = split_of(row["item"], self._test_share)
        self._files[split].write(line + "\n")
        self._items[split].add(row["item"])
        self.rows[split] += 1

    def finish(self, about: Mapping[str, Any]) -> Mapping[str, Any]:
        """Put the files in place, and say what they hold. A split without a row has no file: no loader takes one."""
        items = {name: len(found) for name, found in self._items.items()}
        said = {**about, "rows": self.rows, "items": items, "repeated": self.repeated, "test_share": self._test_share}
        for name, file in self._files.items():
            file.flush()
            os.fsync(file.fileno())
            if self.rows[name]:
                self._part(name).replace(self._folder / f"{name}.jsonl")
            else:
                self._part(name).unlink()
                (self._folder / f"{name}.jsonl").unlink(missing_ok=True)
        (self._folder / "export.json").write_text(json.dumps(said, indent=2) + "\n", "utf-8")
        return said

    def _part(self, name: str) -> Path:
        return self._folder / f"{name}.jsonl.part"


def split_of(item: str, test_share: float) -> str:
    """The split of an item, by its digest alone: it is the same in every set and at every time."""
    place = int.from_bytes(hashlib.sha256(f"split:{item}".encode()).digest()[:4], "big")
    return "test" if place < test_share * _PLACES else "train"
