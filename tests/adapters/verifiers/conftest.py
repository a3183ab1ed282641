"""A stand-in vLLM, and verifiers that ask it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from pydantic import TypeAdapter

from gateway.adapters.verifiers.model_verifier import ModelVerifier
from gateway.domain.model import Model
from gateway.domain.pricing import FREE
from gateway.domain.verification import Chain, Problem
from gateway.flow.house import Terms
from gateway.flow.lane import Bounds
from gateway.verifier_settings import VerifierSettings
from gateway.verifying import make_verifiers
from tests.adapters.verifiers.fake_vllm import MODEL, FakeVllm

PROBLEM = Problem((("user", "What is 2+3?"),), system="Be brief.")
PATIENCE_S = 20.0
Make = Callable[..., ModelVerifier]
_SETTINGS: TypeAdapter[VerifierSettings] = TypeAdapter(VerifierSettings)


def chain(*steps: str, is_whole: bool = False) -> Chain:
    """An answer of these steps."""
    return Chain(steps, is_whole)


def likely(text: str) -> float:
    """The less likely, the more often the text says that it is bad."""
    return 0.9 / (1 + text.count("bad"))


@pytest.fixture
async def server() -> AsyncIterator[FakeVllm]:
    """A stand-in vLLM."""
    async with FakeVllm(likely) as running:
        yield running


@pytest.fixture
async def make(server: FakeVllm) -> AsyncIterator[Make]:
    """Makes a verifier at that server from settings; ``retries`` are its upstream's."""
    upstream = server.upstream()

    def made(retries: int = 0, **settings: Any) -> ModelVerifier:
        parsed = _SETTINGS.validate_python({"model": "m", **settings})
        models = {"m": Model("m", "gpu", MODEL, FREE)}
        terms = {"gpu": Terms(PATIENCE_S, PATIENCE_S, retries, False, Bounds(4, 4), is_vllm=True)}
        verifier = make_verifiers({"prm": parsed}, models, {"gpu": upstream}, terms, {})["prm"]
        assert isinstance(verifier, ModelVerifier)
        return verifier

    yield made
    await upstream.close()
