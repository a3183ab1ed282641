"""Batches as a client of the official package makes them, for the tests of more than one file."""

from __future__ import annotations

import json
import time
from typing import Any

import openai

from tests.upstreams.gateway_process import PAUSE_S, GatewayProcess

ENDS_S = 40.0
"""A batch is looked at once a second, and takes several steps at a provider."""
ENDS = {"completed", "failed", "cancelled", "expired"}
TURNS: Any = [{"role": "user", "content": "Hello"}]
CHAT = "/v1/chat/completions"


def client_of(gateway: GatewayProcess, secret: str | None = None) -> openai.OpenAI:
    """The official client, with a key of the gateway's."""
    return openai.OpenAI(base_url=f"{gateway.address}/v1", api_key=secret or gateway.key, max_retries=0, timeout=30)


def line(custom_id: str, model: str, *, url: str = CHAT, **members: Any) -> dict[str, Any]:
    """A line of a batch's file; its body asks for an answer to a greeting."""
    body = {"model": model, "messages": TURNS, "max_tokens": 50, **members}
    return {"custom_id": custom_id, "method": "POST", "url": url, "body": body}


def uploaded(client: openai.OpenAI, lines: list[Any]) -> str:
    """The id of a new file of these lines; texts are lines as they are."""
    texts = [each if isinstance(each, str) else json.dumps(each) for each in lines]
    data = "".join(f"{text}\n" for text in texts).encode()
    return client.files.create(file=("lines.jsonl", data), purpose="batch").id


def begun(client: openai.OpenAI, lines: list[Any], endpoint: Any = CHAT, **members: Any) -> Any:
    """A new batch of these lines."""
    file_id = uploaded(client, lines)
    return client.batches.create(input_file_id=file_id, endpoint=endpoint, completion_window="24h", **members)


def ended(client: openai.OpenAI, batch_id: str) -> Any:
    """The batch, once it has ended."""

    end = time.monotonic() + ENDS_S
    while (batch := client.batches.retrieve(batch_id)).status not in ENDS:
        assert time.monotonic() < end, f"{batch_id} did not end within {ENDS_S} s"
        time.sleep(PAUSE_S)
    return batch


def content(client: openai.OpenAI, file_id: str | None) -> list[dict[str, Any]]:
    """The lines of a file; none of none."""
    if file_id is None:
        return []
    return [json.loads(text) for text in client.files.content(file_id).text.splitlines()]
