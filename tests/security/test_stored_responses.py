"""Promise: what a provider has stored for one key is continued by no other, at any gateway and in any lane."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import openai
import pytest

from tests.batching import begun, client_of, content, ended, line
from tests.http.admin.administrator import Administrator
from tests.upstreams.configuration import SECRETS
from tests.upstreams.gateway_process import GatewayProcess, awaited
from tests.upstreams.openai_batches import BatchingOpenAI

ADMIN = "an-admin-key-for-both-of-them"
MODEL = "gpt-4.1-mini"
PATH: Any = "/v1/responses"


@pytest.fixture(name="provider", scope="module")
def _provider() -> Iterator[BatchingOpenAI]:
    with BatchingOpenAI() as server:
        yield server


@pytest.fixture(name="pair", scope="module")
def _pair(
    tmp_path_factory: pytest.TempPathFactory, provider: BatchingOpenAI
) -> Iterator[tuple[GatewayProcess, GatewayProcess]]:
    """Two gateways with one database and one account at a provider."""
    folder = tmp_path_factory.mktemp("stored")
    upstream = {
        "kind": "openai",
        "base_url": f"{provider.address}/v1",
        "api_key_env": "LOOPBACK_OPENAI",
        "provider": "openai",
        "dialects": ["openai-chat", "openai-responses"],
    }
    settings: Any = {"upstreams": {"openai": upstream}, "models": {MODEL: {"upstream": "openai"}}}
    shared = {
        **SECRETS,
        "PONDER_DATABASE_URL": f"sqlite:///{folder}/shared.db",
        "PONDER_PEPPER": "a-pepper-that-both-of-them-have",
        "PONDER_ADMIN_KEY": ADMIN,
    }
    with (
        GatewayProcess(folder / "one", settings, shared) as one,
        GatewayProcess(folder / "two", settings, shared) as two,
    ):
        yield one, two


@pytest.fixture(name="tenants", scope="module")
def _tenants(pair: tuple[GatewayProcess, GatewayProcess]) -> tuple[str, str]:
    """The secrets of two keys that both gateways know."""
    secrets = [Administrator(pair[0].address, ADMIN).key()[1] for _ in range(2)]
    for secret in secrets:
        _await_key(pair[1], secret)
    return secrets[0], secrets[1]


def _await_key(gateway: GatewayProcess, secret: str) -> None:
    headers = {"authorization": f"Bearer {secret}"}
    awaited(lambda: httpx.get(f"{gateway.address}/v1/models", headers=headers).is_success, "the key")


def test_a_response_is_continued_by_its_key_at_every_gateway(
    pair: tuple[GatewayProcess, GatewayProcess], tenants: tuple[str, str]
) -> None:
    """The moment it is answered, its key goes on with it at either gateway; to another key it does not exist."""
    one, two = pair
    with client_of(one, tenants[0]) as first, client_of(two, tenants[0]) as second:
        stored = first.responses.create(model=MODEL, input="Hi").id
        for client in (second, first):
            assert client.responses.create(model=MODEL, input="And?", previous_response_id=stored).output_text
    for gateway in pair:
        with (
            client_of(gateway, tenants[1]) as stranger,
            pytest.raises(openai.BadRequestError, match="names no response of this key"),
        ):
            stranger.responses.create(model=MODEL, input="And?", previous_response_id=stored)


def test_what_has_no_known_owner_is_refused(
    pair: tuple[GatewayProcess, GatewayProcess], provider: BatchingOpenAI, tenants: tuple[str, str]
) -> None:
    """Conversations and items reach the provider for no key that was not given the right to override."""
    asked = len(provider.requests)
    with client_of(pair[0], tenants[0]) as client:
        with pytest.raises(openai.BadRequestError, match="not whose it is"):
            client.responses.create(model=MODEL, input="And?", conversation="conv_1")
        with pytest.raises(openai.BadRequestError, match="not whose it is"):
            client.responses.create(model=MODEL, input=[{"type": "item_reference", "id": "msg_1"}])
    assert len(provider.requests) == asked


def test_no_batch_goes_round_it(
    pair: tuple[GatewayProcess, GatewayProcess], provider: BatchingOpenAI, tenants: tuple[str, str]
) -> None:
    """A batch that names stored things is answered here, where each of its lines is judged."""
    lines = [line(each, MODEL, url=PATH, input="And?") for each in ("plain", "named")]
    for each in lines:
        del each["body"]["messages"], each["body"]["max_tokens"]
    lines[1]["body"]["conversation"] = "conv_1"
    with client_of(pair[0], tenants[0]) as client:
        done = ended(client, begun(client, lines, PATH).id)
        answers, faults = content(client, done.output_file_id), content(client, done.error_file_id)
    assert [each["custom_id"] for each in answers] == ["plain"]
    assert [(each["custom_id"], each["response"]["status_code"]) for each in faults] == [("named", 400)]
    assert not provider.batches
