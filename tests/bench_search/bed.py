"""The test bed set up: a vLLM for each model and for the reward model, and the gateway in front of them."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx
import yaml

from tests.bench_search import arms
from tests.bench_search.figures import VERIFIER
from tests.bench_search.precedence import go_ahead, go_along
from tests.upstreams.gateway_process import GatewayProcess
from tests.vllm.servers import Vllm, serving

CONNECTIONS: Final = 64
"""Calls at a time to one vLLM: as many as it works on."""


@dataclass(frozen=True, slots=True)
class Bed:
    """The servers, all up. Of each model's weights ``weights`` is a digest, and ``sizes`` how many there are."""

    servers: Mapping[str, Vllm]
    gateway: GatewayProcess
    weights: Mapping[str, str]
    sizes: Mapping[str, int]
    is_ahead: bool
    """Whether this process and the gateway are scheduled before the model servers."""

    @property
    def has_large(self) -> bool:
        """Whether there is a large model to compare with."""
        return "large" in self.servers

    def put_in_force(self, policy: Mapping[str, Any]) -> None:
        """Write a policy, before the gateway is asked by it."""
        write_policy(self.gateway.home, policy)

    def new_key(self) -> str:
        """A virtual key of its own for what is measured: neither vLLM's prefix cache nor scores are shared."""
        admin = (self.gateway.home / "admin.key").read_text("utf-8").strip()
        asked = {"name": f"cell-{time.monotonic_ns()}", "may_override": True}
        headers = {"authorization": f"Bearer {admin}"}
        answer = httpx.post(f"{self.gateway.address}/admin/keys", json=asked, headers=headers, timeout=30)
        secret: str = answer.raise_for_status().json()["secret"]
        return secret


@contextmanager
def laid(
    weights: Path, folder: Path, *, models: Sequence[str] = ("small", "large"), flags: Sequence[str] = ()
) -> Iterator[Bed]:
    """Start those of the models whose weights there are, and all beside them; end it with the block.

    ``flags`` are vLLM's.
    """
    # One thread for each server: more of them wait for each other on models as small as these.
    os.environ.update(OMP_NUM_THREADS="1", VLLM_CPU_OMP_THREADS_BIND="nobind")
    reads = {name: name for name in models if (weights / name / "config.json").exists()}
    reads[VERIFIER] = arms.HEAD["model"]
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        # A server ends with the thread that began it, so the threads stay until the end.
        pool = stack.enter_context(ThreadPoolExecutor(len(reads)))

        def begin(name: str) -> Vllm:
            log = folder / f"vllm-{name}.log"
            return stack.enter_context(
                serving(weights / reads[name], name, log, "--enable-prompt-tokens-details", *flags)
            )

        servers = dict(zip(reads, pool.map(begin, reads), strict=True))
        addresses = {name: server.address for name, server in servers.items()}
        home = folder / "home"
        write_policy(home, arms.policy(has_large="large" in servers))
        gateway = stack.enter_context(GatewayProcess(home, arms.configuration(addresses, CONNECTIONS), {}))
        files = {name: weights / read / "model.safetensors" for name, read in reads.items()}
        digests = {name: arms.weights_digest(file) for name, file in files.items()}
        is_ahead = go_ahead(os.getpid()) and go_ahead(gateway.pid)
        try:
            yield Bed(servers, gateway, digests, sizes(files), is_ahead)
        finally:
            if is_ahead:
                go_along(os.getpid())


def write_policy(home: Path, policy: Mapping[str, Any]) -> None:
    """Write a policy's file beside the gateway's configuration."""
    into = home / "policies" / policy["policy"]
    into.mkdir(parents=True, exist_ok=True)
    (into / "policy.yaml").write_text(yaml.safe_dump(dict(policy), sort_keys=False, allow_unicode=True), "utf-8")


def sizes(files: Mapping[str, Path]) -> dict[str, int]:
    """How many weights each model has: two bytes each, but for the few of the header."""
    return {name: file.stat().st_size // 2 for name, file in files.items()}
