"""Promise: nothing that a caller sends, at any depth, changes where the gateway connects."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.upstreams import configuration
from tests.upstreams.configuration import PRICE
from tests.upstreams.gateway_process import GatewayProcess
from tests.upstreams.openai_server import OpenAIServer

pytest_plugins = ("tests.upstreams.fixtures",)

NAMES = (
    *("api_base", "base_url", "baseURL", "api_url", "endpoint", "url", "host", "proxy", "azure_endpoint"),
    *("aws_bedrock_runtime_endpoint", "callback_url", "webhook_url", "success_callback", "custom_host"),
    *("fallbacks", "deployment_id", "server_url", "upstream", "image_url", "file_url"),
)
HEADERS = (
    *("host", "x-forwarded-host", "x-forwarded-server", "x-original-host", "x-host", "base-url", "x-base-url"),
    *("x-api-base", "openai-base-url", "anthropic-base-url", "x-litellm-api-base", "x-portkey-custom-host"),
    *("helicone-target-url", "x-target-url", "x-upstream", "location", "referer", "proxy", "x-original-url"),
)
HINTS = ("x-ponder-base-url", "x-ponder-upstream", "x-ponder-api-base")
MODELS = ("through", "translated", "library")
"""One model that bytes are passed to, one that is translated for, and one that litellm calls."""


class Trap:
    """An address that callers name: nobody may connect to it."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=64)
        self._socket.setblocking(False)

    @property
    def authority(self) -> str:
        """Host and port."""
        return f"127.0.0.1:{self._socket.getsockname()[1]}"

    def was_visited(self) -> bool:
        """Whether anybody has connected since the last time: the kernel keeps them in its queue."""
        try:
            visitor, _ = self._socket.accept()
        except BlockingIOError:
            return False
        visitor.close()
        return True

    def close(self) -> None:
        """Stop listening."""
        self._socket.close()


@pytest.fixture(name="trap")
def _trap() -> Iterator[Trap]:
    trap = Trap()
    yield trap
    assert not trap.was_visited()
    trap.close()


@pytest.fixture(scope="module", name="reached")
def _reached(tmp_path_factory: pytest.TempPathFactory, compatible_server: OpenAIServer) -> Iterator[httpx.Client]:
    """A client of a gateway whose models are all at the compatible server, reached in three ways."""
    address = f"{compatible_server.address}/v1"
    given = {"base_url": address, "api_key_env": "LOOPBACK_OPENAI"}
    settings = {
        "upstreams": {
            "plain": {"kind": "openai", "dialects": ["openai-chat"], **given},
            "library": {"kind": "litellm", "provider": "deepseek", **given},
        },
        "models": {
            "through": {"upstream": "plain", "name": "qwen3-8b", "price": PRICE},
            "library": {"upstream": "library", "name": "qwen3-8b", "price": PRICE},
        },
    }
    settings["models"]["translated"] = settings["models"]["through"]
    with GatewayProcess(tmp_path_factory.mktemp("reached"), settings, configuration.SECRETS) as gateway:
        headers = {"authorization": f"Bearer {gateway.key}"}
        with httpx.Client(base_url=gateway.address, headers=headers, timeout=30) as client:
            yield client


def _ask(client: httpx.Client, model: str, members: dict[str, Any], **options: Any) -> int:
    """The status that a question with more ``members`` is answered with."""
    path = "/v1/messages" if model == "translated" else "/v1/chat/completions"
    turns = [{"role": "user", "content": "Hello"}]
    body = {"model": model, "max_tokens": 50, "messages": turns, **members}
    return client.post(path, content=json.dumps(body).encode(), **options).status_code


def _placements(name: str, address: str) -> Iterator[dict[str, Any]]:
    """An address under a name, at every depth that some gateway was ever found to read."""
    given: Any = {name: address}
    parameters = {"model": "openai/m", "api_key": "sk-x", **given}
    yield given
    for holder in ("extra_body", "metadata", "litellm_params", "config", "options", "extra_headers", "query", "ponder"):
        yield {holder: given}
    yield {"extra_body": {"extra_body": {"metadata": given}}}
    yield {"user_config": {"model_list": [{"model_name": "through", "litellm_params": parameters}]}}
    yield {"model_list": [{"model_name": "library", "litellm_params": parameters}], "router_settings": given}
    yield {"fallbacks": [parameters], "mock_response": given}
    yield {"messages": [{"role": "user", "content": "Hello", **given}]}
    yield {"messages": [{"role": "user", "content": [{"type": "text", "text": "Hello", **given}]}]}
    yield {"tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}, **given}}]}
    yield {"tools": [{"type": "mcp", "server_label": "s", "server_url": address, "require_approval": "never"}]}


@pytest.mark.parametrize("model", MODELS)
def test_no_member_of_a_body_is_an_address(
    reached: httpx.Client, compatible_server: OpenAIServer, trap: Trap, model: str
) -> None:
    """Addresses in bodies are refused or passed on as words; every call goes to the configured server and path."""
    assert _ask(reached, model, {}) == httpx.codes.OK
    before = len(compatible_server.requests)
    statuses = [
        _ask(reached, model, members) for name in NAMES for members in _placements(name, f"http://{trap.authority}/v1")
    ]
    assert set(statuses) <= {httpx.codes.OK, httpx.codes.BAD_REQUEST}
    heard = compatible_server.requests[before:]
    assert {each.path for each in heard} <= {"/v1/chat/completions"}
    assert {each.headers["host"] for each in heard} <= {compatible_server.address.removeprefix("http://")}


@pytest.mark.parametrize("model", MODELS)
def test_no_header_or_query_is_an_address(
    reached: httpx.Client, compatible_server: OpenAIServer, trap: Trap, model: str
) -> None:
    """Headers and query strings that other gateways obey change nothing here, and none of them is passed on."""
    before = len(compatible_server.requests)
    for name in HEADERS:
        for value in (f"http://{trap.authority}/v1", trap.authority):
            assert _ask(reached, model, {}, headers={name: value}) == httpx.codes.OK, name
    for name in NAMES:
        assert _ask(reached, model, {}, params={name: f"http://{trap.authority}/v1"}) == httpx.codes.OK, name
    for name in HINTS:
        assert _ask(reached, model, {}, headers={name: trap.authority}) == httpx.codes.BAD_REQUEST, name
    heard = compatible_server.requests[before:]
    assert {each.path for each in heard} == {"/v1/chat/completions"}
    for each in heard:
        assert trap.authority not in str(each.headers)


@pytest.mark.parametrize(
    "form", ["http://{}/v1/m", "openai/http://{}/m", "through@{}", "through?api_base=http://{}", "{}", "../../{}/m"]
)
def test_no_model_name_is_an_address(reached: httpx.Client, trap: Trap, form: str) -> None:
    """A model is one of those configured, to the letter."""
    assert _ask(reached, form.format(trap.authority), {}) == httpx.codes.NOT_FOUND


@pytest.mark.parametrize("model", MODELS)
def test_pictures_by_address_are_not_fetched_by_us(reached: httpx.Client, trap: Trap, model: str) -> None:
    """A picture's address is the provider's to fetch, or refused; the gateway does not go there itself."""
    address = f"http://{trap.authority}/a.png"
    part = {"type": "image_url", "image_url": {"url": address}}
    if model == "translated":
        part = {"type": "image", "source": {"type": "url", "url": address}}
    assert _ask(reached, model, {"messages": [{"role": "user", "content": [part]}]}) in {200, 400}
