"""Batches of lines for arms: answered by their models' provider, at its price, as live requests of the arm would be."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from gateway.adapters.price_list import PriceList
from gateway.domain.pricing import cost
from gateway.domain.usage import Usage
from tests.batching import CHAT, TURNS, begun, client_of, content, ended, line
from tests.test_provider_batches import CLAUDE, GPT, half_price, provider_settings
from tests.upstreams.anthropic_batches import BatchingAnthropic
from tests.upstreams.configuration import SECRETS
from tests.upstreams.gateway_process import GatewayProcess, awaited
from tests.upstreams.openai_batches import BatchingOpenAI

pytest_plugins = ("tests.upstreams.batch_fixtures",)


ARMS = """\
policy: work
arms:
  plain: {model: gpt-4.1-mini}
  thinks: {model: claude-haiku-4-5, thinking_tokens: 2048}
  hard: {model: gpt-5.4, effort: high}
  votes: {model: gpt-4.1-mini, strategy: vote, max_samples: 4}
defaults: {arm: plain, reference: hard, max_cost_usd: 5}
"""


def _with_arms(home: Path) -> None:
    folder = home / "policies" / "work"
    folder.mkdir(parents=True)
    (folder / "policy.yaml").write_text(ARMS)


def _arm_line(custom_id: str, arm: str, **members: Any) -> dict[str, Any]:
    found = line(custom_id, f"arm:work/{arm}", **members)
    del found["body"]["max_tokens"]
    return found


def test_lines_for_an_arm_go_to_its_provider_as_live_requests_would(
    tmp_path: Path, gpt: BatchingOpenAI, claude: BatchingAnthropic
) -> None:
    """The model is asked with the arm's effort; on record are the plan, the tags, and half the price."""
    _with_arms(tmp_path)
    lines = [_arm_line(name, "hard", ponder={"tags": {"calibration": "run_1"}}) for name in "ab"]
    with GatewayProcess(tmp_path, provider_settings(gpt.address, claude.address), SECRETS) as gateway:
        with client_of(gateway) as client:
            done = ended(client, begun(client, lines).id)
            answers = content(client, done.output_file_id)
            live = client.chat.completions.create(model="arm:work/hard", messages=TURNS)
        assert [each["custom_id"] for each in answers] == ["a", "b"]
        (file,) = [each for each in gpt.files.values() if b'"method"' in each]
        sent = json.loads(file.splitlines()[0])["body"]
        asked = json.loads(next(each.body for each in reversed(gpt.requests) if each.path == CHAT))
        assert sent == asked
        assert (sent["model"], sent["reasoning_effort"]) == ("gpt-5.4", "high")
        record = gateway.record(answers[0]["response"]["request_id"])
        assert Decimal(record["cost_usd"]) == half_price("openai", "gpt-5.4", answers[0]["response"]["body"]) > 0
        assert (record["model_asked"], record["plan"]["arm"]) == ("arm:work/hard", "hard")
        assert record["plan"]["reasons"] == ["the request names an arm"]
        assert record["tags"] == {"calibration": "run_1"}
        assert record["calls"][0]["spent"]["service_tier"] == "batch"
        assert live.choices[0].message.content


def test_lines_for_an_arm_are_put_into_its_providers_words(
    tmp_path: Path, gpt: BatchingOpenAI, claude: BatchingAnthropic
) -> None:
    """Chat lines are answered by Anthropic's batches, as chat, with the arm's thinking and at half the price."""
    _with_arms(tmp_path)
    with GatewayProcess(tmp_path, provider_settings(gpt.address, claude.address), SECRETS) as gateway:
        with client_of(gateway) as client:
            done = ended(client, begun(client, [_arm_line("a", "thinks")]).id)
            (answer,) = content(client, done.output_file_id)
        assert [each.path for each in claude.requests].count("/v1/messages/batches") == 1
        body = answer["response"]["body"]
        assert body["object"] == "chat.completion"
        assert body["choices"][0]["message"]["content"]
        record = gateway.record(answer["response"]["request_id"])
        assert record["calls"][0]["sent"]["thinking"]["budget_tokens"] == 2048
        spent = record["calls"][0]["spent"]
        counts = Usage(
            input_tokens=spent["input_tokens"],
            cached_tokens=spent["cached_tokens"],
            cache_write_5m_tokens=spent["cache_write_tokens"],
            output_tokens=spent["output_tokens"],
            service_tier="batch",
        )
        listed = PriceList.read().find("anthropic", CLAUDE)
        assert listed is not None
        assert listed.price is not None
        assert Decimal(record["cost_usd"]) == cost(counts, listed.price, at=0.0) > 0


@pytest.mark.parametrize(
    "lines",
    [
        [_arm_line("a", "votes")],
        [_arm_line("a", "hard", ponder={"tags": {"a": "b"}, "max_cost_usd": 1})],
        [_arm_line("a", "hard"), _arm_line("b", "plain")],
        [line("a", "auto:work")],
        [_arm_line("a", "nobody")],
    ],
)
def test_other_lines_for_arms_are_answered_here(
    tmp_path: Path, gpt: BatchingOpenAI, claude: BatchingAnthropic, lines: list[Any]
) -> None:
    """A search, a ceiling of one line, two models at OpenAI, a policy's choice, or an arm that there is not."""
    _with_arms(tmp_path)
    settings = provider_settings(gpt.address, claude.address)
    with GatewayProcess(tmp_path, settings, SECRETS) as gateway, client_of(gateway) as client:
        done = ended(client, begun(client, lines).id)
    assert done.status == "completed"
    assert not gpt.batches


def test_what_an_arm_cost_stays_known_when_its_policy_changes(tmp_path: Path, claude: BatchingAnthropic) -> None:
    """The line is priced by the model that it went to, whatever the arm has become while its batch ran."""
    _with_arms(tmp_path)
    with BatchingOpenAI(is_prompt=False) as gpt:
        gateway = GatewayProcess(tmp_path, provider_settings(gpt.address, claude.address), SECRETS)
        with gateway, client_of(gateway) as client:
            batch = begun(client, [_arm_line("a", "hard")])
            awaited(lambda: gpt.batches, "the batch at its provider")
        (tmp_path / "policies" / "work" / "policy.yaml").write_text(ARMS.replace("gpt-5.4, effort: high", GPT))
        with gateway, client_of(gateway) as client:
            gpt.finish()
            (answer,) = content(client, ended(client, batch.id).output_file_id)
            record = gateway.record(answer["response"]["request_id"])
        assert Decimal(record["cost_usd"]) == half_price("openai", "gpt-5.4", answer["response"]["body"]) > 0
        assert record["plan"] is None
