"""The servers, and the gateway in front of them, as fixtures.

A test module that wants them names this one in its ``pytest_plugins``; the others then need not
wait for the official packages to be imported.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.upstreams import configuration
from tests.upstreams.anthropic_server import AnthropicServer
from tests.upstreams.faulty_server import FaultyServer
from tests.upstreams.gated_server import GatedServer
from tests.upstreams.gateway_process import GatewayProcess
from tests.upstreams.openai_server import OpenAIServer


@pytest.fixture(scope="module")
def openai_server() -> Iterator[OpenAIServer]:
    """OpenAI, strict."""
    with OpenAIServer() as server:
        yield server


@pytest.fixture(scope="module")
def compatible_server() -> Iterator[OpenAIServer]:
    """A compatible server (vLLM, llama.cpp): lenient, and it shows its reasoning."""
    with OpenAIServer(thinking_field="reasoning_content") as server:
        yield server


@pytest.fixture(scope="module")
def anthropic_server() -> Iterator[AnthropicServer]:
    """Anthropic, strict."""
    with AnthropicServer() as server:
        yield server


@pytest.fixture(scope="module")
def faulty_server() -> Iterator[FaultyServer]:
    """A provider that misbehaves on purpose."""
    with FaultyServer() as server:
        yield server


@pytest.fixture
def gated_server() -> Iterator[GatedServer]:
    """A provider that stops in the middle of each answer."""
    with GatedServer() as server:
        yield server


@pytest.fixture(scope="module")
def gateway(
    tmp_path_factory: pytest.TempPathFactory,
    openai_server: OpenAIServer,
    anthropic_server: AnthropicServer,
    compatible_server: OpenAIServer,
) -> Iterator[GatewayProcess]:
    """The real gateway in front of all three providers."""
    settings = configuration.providers(openai_server.address, anthropic_server.address, compatible_server.address)
    with GatewayProcess(tmp_path_factory.mktemp("gateway"), settings, configuration.SECRETS) as process:
        yield process


@pytest.fixture(scope="module")
def faulty_gateway(tmp_path_factory: pytest.TempPathFactory, faulty_server: FaultyServer) -> Iterator[GatewayProcess]:
    """The real gateway in front of one upstream per fault."""
    with GatewayProcess(tmp_path_factory.mktemp("gateway"), configuration.faulty(faulty_server), {}) as process:
        yield process
