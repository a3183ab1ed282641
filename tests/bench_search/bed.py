"""The test bed set up: a vLLM for each model and for the reward model, and the gateway in front of them."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from tests.bench_search import arms, checker
from tests.bench_search.figures import VERIFIER
from tests.upstreams.gateway_process import GatewayProcess
from tests.vllm.servers import ROOT, Vllm, free_port, running, serving

CONNECTIONS: Final = 64
"""Calls at a time to one vLLM: as many as it works on."""
_POOLING: Final = ("--runner", "pooling", "--enable-prefix-caching")
_GENERATING: Final = ("--enable-prompt-tokens-details",)
_MODELS: Final = {"small": _GENERATING, "large": _GENERATING, "prm": _POOLING}


@dataclass(frozen=True, slots=True)
class Bed:
    """The servers, all up. Of each model's weights ``weights`` is a digest, and ``sizes`` how many there are."""

    servers: Mapping[str, Vllm]
    gateway: GatewayProcess
    weights: Mapping[str, str]
    sizes: Mapping[str, int]
    has_reward_model: bool
    """Whether the verifier was trained; where none was, it is the likelihood of steps under the large model."""

    @property
    def has_large(self) -> bool:
        """Whether there is a large model to compare with."""
        return "large" in self.servers

    def put_in_force(self, policy: Mapping[str, Any]) -> None:
        """Write a policy, before the gateway is asked by it."""
        write_policy(self.gateway.home, policy)


@contextmanager
def laid(weights: Path, folder: Path) -> Iterator[Bed]:
    """Start everything, and end it with the block."""
    # One thread for each server: more of them wait for each other on models as small as these.
    os.environ.update(OMP_NUM_THREADS="1", VLLM_CPU_OMP_THREADS_BIND="nobind")
    present = {name: more for name, more in _MODELS.items() if (weights / name / "config.json").exists()}
    has_reward_model = VERIFIER in present
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        # A server ends with the thread that began it, so the threads stay until the end.
        pool = stack.enter_context(ThreadPoolExecutor(len(present)))

        def begin(name: str) -> Vllm:
            server = serving(weights / name, name, folder / f"vllm-{name}.log", *present[name])
            return stack.enter_context(server)

        servers = dict(zip(present, pool.map(begin, present), strict=True))
        if not has_reward_model:
            servers[VERIFIER] = stack.enter_context(_checking(servers[checker.MODEL], folder / "checker.log"))
        addresses = {name: server.address for name, server in servers.items()}
        home = folder / "home"
        write_policy(home, arms.policy(has_large="large" in servers))
        gateway = stack.enter_context(
            GatewayProcess(home, arms.configuration(addresses, CONNECTIONS, has_reward_model=has_reward_model), {})
        )
        reads = {name: name if name in present else checker.MODEL for name in servers}
        files = {name: weights / read / "model.safetensors" for name, read in reads.items()}
        digests = {name: arms.weights_digest(file) for name, file in files.items()}
        yield Bed(servers, gateway, digests, sizes(files), has_reward_model)


@contextmanager
def _checking(model: Vllm, log: Path) -> Iterator[Vllm]:
    """The verifier that needs no training, before a vLLM that serves the large model."""
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "tests.bench_search.checker", str(port), model.address]
    with running(command, f"{address}/health", log, {**os.environ, "PYTHONPATH": str(ROOT)}):
        yield Vllm(VERIFIER, address, log)


def write_policy(home: Path, policy: Mapping[str, Any]) -> None:
    """Write a policy's file beside the gateway's configuration."""
    into = home / "policies" / policy["policy"]
    into.mkdir(parents=True, exist_ok=True)
    (into / "policy.yaml").write_text(yaml.safe_dump(dict(policy), sort_keys=False, allow_unicode=True), "utf-8")


def sizes(files: Mapping[str, Path]) -> dict[str, int]:
    """How many weights each model has: two bytes each, but for the few of the header."""
    return {name: file.stat().st_size // 2 for name, file in files.items()}
