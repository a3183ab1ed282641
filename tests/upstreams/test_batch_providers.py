"""The stand-ins' batch endpoints by the official packages: what they answer is what these packages read."""

from __future__ import annotations

import json
from typing import Any

import anthropic
import openai
import pytest

from tests.batching import CHAT, TURNS, line
from tests.upstreams import anthropic_server, openai_server
from tests.upstreams.anthropic_batches import BatchingAnthropic
from tests.upstreams.openai_batches import BatchingOpenAI


def test_openai_s_package_runs_a_batch() -> None:
    """From the upload to the lines of both files, and a batch without its file is refused."""
    lines = [line("a", "gpt-4.1-mini"), line("odd", "gpt-4.1-mini", messages=[])]
    data = "".join(f"{json.dumps(each)}\n" for each in lines).encode()
    with (
        BatchingOpenAI() as server,
        openai.OpenAI(base_url=f"{server.address}/v1", api_key=openai_server.KEY, max_retries=0) as client,
    ):
        file = client.files.create(file=("lines.jsonl", data), purpose="batch")
        terms: Any = {"endpoint": CHAT, "completion_window": "24h"}
        batch = client.batches.create(input_file_id=file.id, metadata={"a": "b"}, **terms)
        done = client.batches.retrieve(batch.id)
        assert (batch.status, done.status, done.metadata) == ("validating", "completed", {"a": "b"})
        for file_id, custom_id, status in ((done.output_file_id, "a", 200), (done.error_file_id, "odd", 400)):
            assert file_id is not None
            (result,) = [json.loads(row) for row in client.files.content(file_id).text.splitlines()]
            assert (result["custom_id"], result["response"]["status_code"]) == (custom_id, status)
        assert [each.id for each in client.batches.list()] == [batch.id]
        with pytest.raises(openai.ConflictError):
            client.batches.cancel(batch.id)
        with pytest.raises(openai.BadRequestError):
            client.batches.create(input_file_id="file-none", **terms)


def test_anthropic_s_package_runs_a_batch() -> None:
    """From the submission to its results, and an unfit custom_id is refused."""
    params: Any = {"model": "claude-haiku-4-5", "max_tokens": 50, "messages": TURNS}
    requests: Any = [{"custom_id": "a", "params": params}, {"custom_id": "odd", "params": {**params, "messages": []}}]
    with (
        BatchingAnthropic(is_prompt=False) as server,
        anthropic.Anthropic(base_url=server.address, api_key=anthropic_server.KEY, max_retries=0) as client,
    ):
        batch = client.messages.batches.create(requests=requests)
        assert client.messages.batches.retrieve(batch.id).processing_status == "in_progress"
        server.finish()
        assert client.messages.batches.retrieve(batch.id).processing_status == "ended"
        rows = server.address + f"/v1/messages/batches/{batch.id}/results"
        text = client.get(rows, cast_to=str)
        results = {row["custom_id"]: row["result"] for row in map(json.loads, text.splitlines())}
        assert results["a"]["message"]["usage"]["service_tier"] == "batch"
        assert results["odd"]["error"]["error"]["type"] == "invalid_request_error"
        with pytest.raises(anthropic.BadRequestError):
            client.messages.batches.create(requests=[{"custom_id": "a b", "params": params}])
