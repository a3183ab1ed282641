"""A process of ours that obeys words on its standard input, and says each one back when it is done."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

_PATIENCE_S = 20.0
REPOSITORY = Path(__file__).parents[2]


class Obedient:
    """Runs ``python -m MODULE ARGUMENTS``; ends with this context, or with the input when the harness is killed."""

    def __init__(self, module: str, *arguments: str) -> None:
        self._command = [sys.executable, "-m", module, *arguments]
        self._process: subprocess.Popen[str] | None = None

    def tell(self, word: str) -> None:
        """Say a word, and return when it is done."""
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(f"{word}\n")
        self._process.stdin.flush()
        self._await(word)

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            self._command,
            cwd=REPOSITORY,
            env={"PATH": os.environ["PATH"]},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,  # Ctrl-C is for the harness, which ends its servers in order
        )
        self._await("ready")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def _await(self, word: str) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        said = self._process.stdout.readline().strip()
        if said != word:
            raise RuntimeError(f"{' '.join(self._command[2:])} said {said!r} in place of {word!r}")


async def obey(do: Callable[[str], None]) -> None:
    """Do what standard input says, a word a line, until it ends; saying ``ready`` first."""
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    print("ready", flush=True)
    while line := await reader.readline():
        word = line.decode().strip()
        do(word)
        print(word, flush=True)
