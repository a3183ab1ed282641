"""The reasoners of ``tests/reasoner``, each served by a vLLM that one test session shares."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.vllm.servers import Vllm, serving

_WEIGHTS = Path(__file__).parents[1] / "reasoner" / "weights"


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vllm]:
    """The small reasoner, served as ``small``."""
    with serving(_WEIGHTS / "small", "small", tmp_path_factory.mktemp("vllm") / "small.log") as server:
        yield server


@pytest.fixture(scope="session")
def large(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vllm]:
    """The large reasoner, served as ``large``."""
    with serving(_WEIGHTS / "large", "large", tmp_path_factory.mktemp("vllm") / "large.log") as server:
        yield server


@pytest.fixture(scope="session")
def verifying(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vllm]:
    """The model by whose likelihoods steps are scored, served as ``prm``: the large reasoner once more."""
    with serving(_WEIGHTS / "large", "prm", tmp_path_factory.mktemp("vllm") / "prm.log") as server:
        yield server


@pytest.fixture(scope="session")
def reward_model(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vllm]:
    """The small reasoner's process reward model, served as ``prm`` behind ``/classify``."""
    log = tmp_path_factory.mktemp("vllm") / "reward_model.log"
    with serving(_WEIGHTS / "prm", "prm", log, "--runner", "pooling", "--enable-prefix-caching") as server:
        yield server
