"""A real vLLM on a processor: started on a free port, logged to a file, and always ended.

For tests and for benchmarks alike. vLLM lives in an environment of its own, which `make test-vllm` builds.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
ENVIRONMENT: Final = ROOT / ".venv-vllm"
CONTEXT_TOKENS: Final = 1024
CACHE_BLOCK_TOKENS: Final = 32
"""Prompts that begin alike are read from the cache in whole blocks of so many tokens."""
SEQUENCES: Final = 64
"""How many completions one server works on at once."""
START_S: Final = 300
_STOP_S: Final = 30
_LOG_CHARACTERS: Final = 4000


@dataclass(frozen=True, slots=True)
class Vllm:
    """A vLLM that is up."""

    model: str
    address: str
    log: Path

    @property
    def base_url(self) -> str:
        """Where the paths of the OpenAI API begin."""
        return f"{self.address}/v1"

    def metric(self, name: str) -> float:
        """The sum of what the server counts under one name, such as ``vllm:num_requests_running``."""
        with urllib.request.urlopen(f"{self.address}/metrics", timeout=10) as response:
            page = response.read().decode()
        samples = re.findall(rf"^{re.escape(name)}(?:\{{[^}}]*\}})? (\S+)$", page, re.MULTILINE)
        if not samples:
            raise KeyError(name)
        return sum(map(float, samples))


@contextmanager
def serving(weights: Path, model: str, log: Path, *arguments: str) -> Iterator[Vllm]:
    """A vLLM that serves a folder of weights under a name, from the moment it answers."""
    port = free_port()
    command = [str(ENVIRONMENT / "bin" / "vllm"), "serve", str(weights), "--served-model-name", model]
    command += ["--host", "127.0.0.1", "--port", str(port), "--max-model-len", str(CONTEXT_TOKENS)]
    command += ["--max-num-seqs", str(SEQUENCES), "--dtype", "float32", "--enforce-eager"]
    # Never a prompt in parts: with a seed, one ends the engine (RuntimeError: CPU Generator does not use offset).
    command += ["--max-num-batched-tokens", str(SEQUENCES * CONTEXT_TOKENS)]
    command += ["--block-size", str(CACHE_BLOCK_TOKENS)]  # the smallest on a processor; the default is 128
    command += ["--gpu-memory-utilization", "0.4"]  # on a processor: the share of one NUMA node's memory
    environment = {**os.environ, "VLLM_CPU_KVCACHE_SPACE": "1", "HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1"}
    # Its compilers are looked for beside its Python, and its engine runs in a process of its own.
    environment["PATH"] = f"{ENVIRONMENT / 'bin'}{os.pathsep}{environment['PATH']}"
    address = f"http://127.0.0.1:{port}"
    with running([*command, *arguments], f"{address}/health", log, environment):
        yield Vllm(model, address, log)


@contextmanager
def running(command: Sequence[str], ready: str, log: Path, environment: Mapping[str, str]) -> Iterator[None]:
    """A server, from the moment that ``ready`` answers 200; it and all it started end with the block.

    It ends with its parent, too, however that ends: a killed test run leaves nothing behind.
    """
    bound = ["setpriv", "--pdeathsig", "TERM", *command]
    with (
        log.open("wb") as out,
        subprocess.Popen(bound, stdout=out, stderr=out, env=environment, start_new_session=True) as process,
    ):
        try:
            _wait(process, ready, log)
            yield
        finally:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(_STOP_S)
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def free_port() -> int:
    """A port of this machine on which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def _wait(process: subprocess.Popen[bytes], ready: str, log: Path) -> None:
    deadline = time.monotonic() + START_S
    while not _answers(ready):
        if process.poll() is not None or time.monotonic() > deadline:
            said = log.read_text("utf-8", "replace")[-_LOG_CHARACTERS:]
            raise RuntimeError(f"the server ended or was not ready within {START_S} s:\n{said}")
        time.sleep(0.2)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as response:
            return bool(response.status == 200)
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return False
