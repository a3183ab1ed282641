"""Budgets and rates through the real gateway: who is refused and how, what is capped, and what is counted."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, as_completed, wait
from pathlib import Path
from typing import Any

import anthropic
import httpx
import openai
import pytest

from tests.http.admin.administrator import Administrator
from tests.upstreams.anthropic_server import AnthropicServer
from tests.upstreams.configuration import SECRETS, one_model
from tests.upstreams.faulty_server import FaultyServer
from tests.upstreams.gated_server import GatedServer
from tests.upstreams.gateway_process import GatewayProcess
from tests.upstreams.listening import ProviderServer
from tests.upstreams.openai_server import OpenAIServer

pytest_plugins = ("tests.upstreams.fixtures",)

TURNS: Any = [{"role": "user", "content": "Hello"}]
ASK = {"model": "m", "messages": TURNS, "max_tokens": 50}
FOR_ONE = "0.000300"
"""Enough for one ceiling of ASK (its bytes at $1 and 50 tokens at $2 per million: $0.000176), not for two."""
AT_ONCE = 64


@pytest.fixture(scope="module", name="admin")
def _admin(gateway: GatewayProcess) -> Administrator:
    return Administrator.of_home(gateway.address, gateway.home)


@pytest.fixture(name="gated")
def _gated(tmp_path: Path, gated_server: GatedServer) -> Iterator[GatewayProcess]:
    with GatewayProcess(tmp_path, one_model(gated_server.address), {}) as process:
        yield process


def _budget(amount_usd: str, **terms: Any) -> dict[str, Any]:
    return {"budgets": [{"period": "total", "amount_usd": amount_usd, **terms}]}


def _post(gateway: GatewayProcess, secret: str, body: Any, path: str = "/v1/chat/completions") -> httpx.Response:
    return gateway.post(path, json=body, headers={"authorization": f"Bearer {secret}"})


def _message(answer: httpx.Response) -> str:
    return str(answer.json()["error"]["message"])


def _spent(gateway: GatewayProcess, secret: str, model: str) -> str:
    """What the purse counts as spent, which a refusal says."""
    refusal = _post(gateway, secret, {"model": model, "messages": TURNS, "max_tokens": 30_000, "n": 128})
    assert refusal.status_code == 402, refusal.text
    told = re.search(r"\(\$([0-9.]+) spent\)", _message(refusal))
    assert told, refusal.text
    return told[1]


def test_a_budget_for_one_lets_one_of_many_through(gated: GatewayProcess, gated_server: GatedServer) -> None:
    """Of 64 first requests at once exactly one is answered; its true cost, less than was held, lets the next in."""
    _, secret = Administrator.of_home(gated.address, gated.home).key(**_budget(FOR_ONE))
    with ThreadPoolExecutor(AT_ONCE) as threads:
        asked = [threads.submit(_post, gated, secret, ASK) for _ in range(AT_ONCE)]
        refused = []
        for each in as_completed(asked):
            refused.append(each.result())
            if len(refused) == AT_ONCE - 1:
                break
        gated_server.open()
        wait(asked, return_when=FIRST_EXCEPTION)
        answers = [each.result() for each in asked]
    assert {answer.status_code for answer in refused} == {402}
    assert sorted(answer.status_code for answer in answers) == [200] + [402] * (AT_ONCE - 1)
    assert "$0.000176 held by requests under way" in _message(refused[0])
    assert _post(gated, secret, ASK).status_code == 200


def test_a_team_shares_its_budget(gated: GatewayProcess, gated_server: GatedServer) -> None:
    """What one key of a team holds is not there for another, whose own budget would do."""
    admin = Administrator.of_home(gated.address, gated.home)
    team = admin.team(**_budget(FOR_ONE))
    secrets = [admin.key(team=team["name"], **_budget("1"))[1] for _ in range(2)]
    with ThreadPoolExecutor(1) as threads:
        first = threads.submit(_post, gated, secrets[0], ASK)
        gated_server.wait_until_halfway()
        second = _post(gated, secrets[1], ASK)
        gated_server.open()
        assert first.result().status_code == 200
    assert second.status_code == 402
    assert f"team:{team['id']} has" in _message(second)


def test_official_clients_read_the_refusal(gateway: GatewayProcess, admin: Administrator) -> None:
    """Both packages raise 402 with what is left, what was asked for, and what to do."""
    _, secret = admin.key(**_budget("0.000001"))
    words = (
        r"has \$0.000001 left of its total budget of \$0.000001 .* this request may cost up to \$0\.\d+; this budget"
    )
    with openai.OpenAI(base_url=f"{gateway.address}/v1", api_key=secret, max_retries=0) as client:
        with pytest.raises(openai.APIStatusError, match=words) as chat:
            client.chat.completions.create(model="gpt-4.1-mini", messages=TURNS, max_completion_tokens=50)
        with pytest.raises(openai.APIStatusError, match=words) as responses:
            client.responses.create(model="gpt-4.1-mini", input="Hello", max_output_tokens=50)
    with (
        anthropic.Anthropic(base_url=gateway.address, api_key=secret, max_retries=0) as messages,
        pytest.raises(anthropic.APIStatusError, match=words) as refused,
    ):
        messages.messages.create(model="claude-haiku-4-5", messages=TURNS, max_tokens=50)
    assert (chat.value.status_code, chat.value.code) == (402, "budget_exhausted")
    assert (responses.value.status_code, responses.value.code) == (402, "budget_exhausted")
    assert refused.value.status_code == 402
    body: Any = refused.value.body
    assert (body["type"], body["error"]["type"]) == ("error", "billing_error")


@pytest.fixture(name="servers")
def _servers(
    openai_server: OpenAIServer, compatible_server: OpenAIServer, anthropic_server: AnthropicServer
) -> dict[str, ProviderServer]:
    """Who serves each model."""
    return {
        "gpt-4.1-mini": openai_server,
        "qwen3-8b": compatible_server,
        "claude-haiku-4-5": anthropic_server,
    }


CAPPED = {
    "a compatible server": ("/v1/chat/completions", "qwen3-8b", {"messages": TURNS}, "max_tokens"),
    "chat at OpenAI": ("/v1/chat/completions", "gpt-4.1-mini", {"messages": TURNS}, "max_completion_tokens"),
    "responses at OpenAI": ("/v1/responses", "gpt-4.1-mini", {"input": "Hello"}, "max_output_tokens"),
    "chat at Anthropic": ("/v1/chat/completions", "claude-haiku-4-5", {"messages": TURNS}, "max_tokens"),
}


@pytest.mark.parametrize("case", CAPPED)
def test_an_answer_without_a_limit_is_capped(
    case: str, gateway: GatewayProcess, admin: Administrator, servers: dict[str, ProviderServer]
) -> None:
    """The upstream gets the limit that the budget affords, in its own dialect's field, and the answer says so."""
    path, model, turns, field = CAPPED[case]
    _, secret = admin.key(**_budget("0.004"))
    answer = _post(gateway, secret, {"model": model, **turns}, path)
    assert answer.status_code == 200, answer.text
    capped = re.search(r"capped: (\d+) output tokens are what the budget leaves", answer.headers["x-ponder-degraded"])
    assert capped
    assert servers[model].last.json[field] == int(capped[1]) >= 256


def test_the_soft_limit_warns(gateway: GatewayProcess, admin: Administrator) -> None:
    """From its soft share on a budget announces itself in a header, and requests are served."""
    _, secret = admin.key(**_budget("0.0004", soft_share="0.5"))
    ask = {**ASK, "model": "qwen3-8b"}
    first, second = [_post(gateway, secret, ask) for _ in range(2)]
    assert (first.status_code, second.status_code) == (200, 200)
    assert "x-ponder-budget-warning" not in first.headers
    warning = second.headers["x-ponder-budget-warning"]
    assert re.search(r"^key:\S+ has used \$0\.\d+ of its total budget of \$0.0004, past the soft limit of 50%", warning)


def test_a_rate_of_requests_is_kept(gateway: GatewayProcess, admin: Administrator) -> None:
    """One request too many in a minute is refused with 429, and told when the next one is accepted."""
    _, secret = admin.key(limits={"requests_per_minute": 1})
    ask = {**ASK, "model": "qwen3-8b"}
    first, second = [_post(gateway, secret, ask) for _ in range(2)]
    assert (first.status_code, second.status_code) == (200, 429)
    assert 1 <= int(second.headers["retry-after"]) <= 60
    assert "may make 1 requests per minute" in _message(second)


def test_a_rate_of_tokens_is_kept(gateway: GatewayProcess, admin: Administrator) -> None:
    """Tokens count as they were used; too many are refused with 429, and what can never fit with 413."""
    _, secret = admin.key(limits={"tokens_per_minute": 100})
    ask = {**ASK, "model": "qwen3-8b"}
    first, second, never = [_post(gateway, secret, body) for body in (ask, ask, {**ask, "max_tokens": 500})]
    assert (first.status_code, second.status_code, never.status_code) == (200, 429, 413)
    assert 1 <= int(second.headers["retry-after"]) <= 60
    assert "may use 100 tokens per minute and has 28 left" in _message(second)  # the stand-in reports 72
    assert "this request alone may use" in _message(never)


def test_requests_at_once_are_bounded(gated: GatewayProcess, gated_server: GatedServer) -> None:
    """While the only place is taken a second request is refused with 429; when it is free again, served."""
    _, secret = Administrator.of_home(gated.address, gated.home).key(limits={"concurrency": 1})
    with ThreadPoolExecutor(1) as threads:
        first = threads.submit(_post, gated, secret, ASK)
        gated_server.wait_until_halfway()
        second = _post(gated, secret, ASK)
        gated_server.open()
        assert first.result().status_code == 200
    assert (second.status_code, second.headers["retry-after"]) == (429, "1")
    assert _post(gated, secret, ASK).status_code == 200


def test_a_cost_that_nobody_knows_is_charged_at_its_ceiling(tmp_path: Path, faulty_server: FaultyServer) -> None:
    """A call that broke after it may have been billed takes from the budget all that was held for it."""
    settings = one_model(faulty_server.address("reset-before-headers"))
    settings["upstreams"]["only"]["retries"] = 0
    with GatewayProcess(tmp_path, settings, {}) as gateway:
        _, secret = Administrator.of_home(gateway.address, tmp_path).key(**_budget("1"))
        broken = _post(gateway, secret, ASK)
        assert broken.status_code == 502
        assert _spent(gateway, secret, "m") == "0.000176"


def test_a_retry_holds_its_own_money(tmp_path: Path, faulty_server: FaultyServer) -> None:
    """A second attempt after one of unknown cost takes place only if the budget has its ceiling as well."""
    settings = one_model(faulty_server.address("reset-before-headers"))
    settings["upstreams"]["only"]["retries"] = 1
    with GatewayProcess(tmp_path, settings, {}) as gateway:
        admin = Administrator.of_home(gateway.address, tmp_path)
        _, rich = admin.key(**_budget("1"))
        _, poor = admin.key(**_budget(FOR_ONE))
        answers = [_post(gateway, secret, ASK) for secret in (rich, poor)]
        assert [answer.status_code for answer in answers] == [502, 502]
        assert (_spent(gateway, rich, "m"), _spent(gateway, poor, "m")) == ("0.000352", "0.000176")


def test_a_restart_forgets_nothing(tmp_path: Path, compatible_server: OpenAIServer) -> None:
    """What a key had spent before a restart it has spent after it, to the nano-dollar."""
    gateway = GatewayProcess(tmp_path, one_model(compatible_server.address, key_env="LOOPBACK_OPENAI"), SECRETS)
    with gateway:
        _, secret = Administrator.of_home(gateway.address, tmp_path).key(**_budget("0.0004"))
        costs = [float(_post(gateway, secret, ASK).headers["x-ponder-cost-usd"]) for _ in range(2)]
        before = _spent(gateway, secret, "m")
        assert float(before) == pytest.approx(sum(costs), abs=1e-12)
    with gateway:
        assert _spent(gateway, secret, "m") == before


def test_a_budget_counts_what_was_spent_before_it(tmp_path: Path, compatible_server: OpenAIServer) -> None:
    """A key that spent without a budget has spent it under the budget that it is given."""
    with GatewayProcess(tmp_path, one_model(compatible_server.address, key_env="LOOPBACK_OPENAI"), SECRETS) as gateway:
        admin = Administrator.of_home(gateway.address, tmp_path)
        key, secret = admin.key()
        cost = _post(gateway, secret, ASK).headers["x-ponder-cost-usd"]
        admin.done("PUT", f"/keys/{key['id']}/budgets/day", {"amount_usd": "0.0004"})
        assert _spent(gateway, secret, "m") == cost


def test_a_second_gateway_without_redis_is_refused(tmp_path: Path) -> None:
    """A gateway that would count for itself beside another one does not start, and says what it needs."""
    with GatewayProcess(tmp_path / "one", one_model("http://127.0.0.1:9"), {}) as first:
        second = GatewayProcess(
            tmp_path / "two", one_model("http://127.0.0.1:9"), {"PONDER_HOME": str(tmp_path / "one")}
        )
        with pytest.raises(RuntimeError, match=r"ended with 2 at start(.|\n)*PONDER_REDIS_URL"), second:
            raise AssertionError("both serve")
        assert first.get("/health/ready").status_code == 200
    with second:
        assert json.loads(httpx.get(f"{second.address}/health/ready", timeout=10).text)["status"] == "ready"
