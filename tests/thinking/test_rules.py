"""The stand-ins refuse what their providers refuse, with the same status, shape and words."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from tests.thinking.server import ThinkingServer
from tests.upstreams import anthropic_server, openai_server
from tests.upstreams.anthropic_server import AnthropicServer
from tests.upstreams.openai_server import OpenAIServer
from tests.upstreams.signing import sign

ASK = [{"role": "user", "content": "Why?"}]
BEGUN = [*ASK, {"role": "assistant", "content": "Because"}]
TOOLS = [{"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}]
RESPONSES_TOOLS = [{"type": "function", "name": "look", "parameters": {"type": "object"}}]
ANTHROPIC_TOOLS = [{"name": "look", "input_schema": {"type": "object"}}]
CALL = {"type": "tool_use", "id": "toolu_1", "name": "look", "input": {}}
RESULT = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": "x"}]}
FORGED = {"type": "thinking", "thinking": "Another thought.", "signature": sign("Why?")}


@pytest.fixture(scope="module")
def servers() -> Iterator[dict[str, Any]]:
    """All stand-ins."""
    with AnthropicServer() as anthropic, OpenAIServer() as openai, ThinkingServer() as others:
        yield {"anthropic": anthropic, "openai": openai, "": others}


def post(address: str, path: str, body: dict[str, Any]) -> tuple[int, Any]:
    """Status and body of the answer."""
    headers = {
        "content-type": "application/json",
        "authorization": f"Bearer {openai_server.KEY}",
        "x-api-key": anthropic_server.KEY,
        "anthropic-version": "2026-10-21",
    }
    try:
        with urlopen(Request(address + path, json.dumps(body).encode(), headers)) as answer:
            return answer.status, answer.read()
    except HTTPError as refusal:
        with refusal:
            return refusal.code, json.loads(refusal.read())


def thinking(budget: Any = 2000, **more: Any) -> dict[str, Any]:
    """Anthropic's manual thinking."""
    return {"thinking": {"type": "enabled", "budget_tokens": budget}, **more}


ADAPTIVE = {"thinking": {"type": "adaptive"}}
OFF = {"thinking": {"type": "disabled"}}


@pytest.mark.parametrize(
    ("model", "fields", "words"),
    [
        ("claude-opus-4-8", thinking(), '"thinking.type.enabled" is not supported for this model'),
        ("claude-haiku-4-5", ADAPTIVE, '"thinking.type.adaptive" is not supported'),
        ("claude-opus-5-5", OFF, '"thinking.type.disabled" is not supported'),
        ("claude-sonnet-5-5", OFF, '"thinking.type.disabled" is not supported'),
        ("claude-haiku-4-5", thinking(4096), "`max_tokens` must be greater than `thinking.budget_tokens`"),
        ("claude-haiku-4-5", thinking(1000), "greater than or equal to 1024"),
        ("claude-haiku-4-5", thinking(tools=ANTHROPIC_TOOLS, tool_choice={"type": "any"}), "forces tool use"),
        (
            "claude-sonnet-5-5",
            {"tools": ANTHROPIC_TOOLS, "tool_choice": {"type": "any"}},
            "not supported on this model",
        ),
        ("claude-haiku-4-5", thinking(temperature=0.2), "`temperature` may only be set to 1"),
        ("claude-opus-4-8", {"temperature": 0.2}, "`temperature` is not supported on this model"),
        ("claude-sonnet-4-6", {"output_config": {"effort": "xhigh"}}, "'xhigh' is not supported on this model"),
        ("claude-haiku-4-5", {"output_config": {"effort": "low"}}, "does not support the effort parameter"),
        ("claude-opus-5", {"output_config": {"effort": "much"}}, "Input should be 'low'"),
        ("claude-opus-5", {**OFF, "output_config": {"effort": "max"}}, "not supported when thinking is disabled"),
        ("claude-sonnet-4-6", {"messages": BEGUN}, "does not support assistant message prefill"),
        ("claude-haiku-4-5", thinking(messages=BEGUN), "must start with a thinking block"),
        (
            "claude-haiku-4-5",
            thinking(tools=ANTHROPIC_TOOLS, messages=[*ASK, {"role": "assistant", "content": [CALL]}, RESULT]),
            "Expected `thinking` or `redacted_thinking`, but found `tool_use`",
        ),
        (
            "claude-opus-5",
            {
                **ADAPTIVE,
                "tools": ANTHROPIC_TOOLS,
                "messages": [*ASK, {"role": "assistant", "content": [FORGED, CALL]}, RESULT],
            },
            "signature",
        ),
    ],
)
def test_anthropic_refuses(servers: dict[str, Any], model: str, fields: dict[str, Any], words: str) -> None:
    """Anthropic answers 400 with an error of its own shape, and its own words."""
    body = {"model": model, "max_tokens": 4096, "messages": ASK, **fields}
    status, answer = post(servers["anthropic"].address, "/v1/messages", body)
    assert (status, answer["type"], answer["error"]["type"]) == (400, "error", "invalid_request_error")
    assert words in answer["error"]["message"]


@pytest.mark.parametrize(
    ("path", "model", "fields", "code", "words"),
    [
        ("chat", "gpt-6-sol", {"reasoning_effort": "max"}, "invalid_value", "Invalid value: 'max'"),
        ("chat", "gpt-5-mini", {"reasoning_effort": "none"}, "unsupported_value", "does not support 'none'"),
        ("chat", "gpt-5.4", {"reasoning_effort": "minimal"}, "unsupported_value", "does not support 'minimal'"),
        ("chat", "gpt-5.4", {"reasoning_effort": "low", "tools": TOOLS}, None, "set reasoning_effort to 'none'"),
        ("chat", "gpt-5.6", {"tools": TOOLS}, None, "Function tools with reasoning_effort are not supported"),
        ("chat", "gpt-6-astra", {"tools": TOOLS}, None, "use /v1/responses."),
        ("chat", "gpt-5.4", {"reasoning_effort": "low", "temperature": 0}, "unsupported_value", "'temperature'"),
        ("chat", "gpt-5.4", {"max_tokens": 5}, "unsupported_parameter", "max_completion_tokens"),
        ("chat", "gpt-4.1-mini", {"reasoning_effort": "low"}, "unknown_parameter", "reasoning_effort"),
        ("responses", "gpt-5.1", {"reasoning": {"effort": "xhigh"}}, "unsupported_value", "does not support 'xhigh'"),
        ("responses", "gpt-4.1-mini", {"reasoning": {"effort": "low"}}, "unsupported_parameter", "reasoning.effort"),
    ],
)
def test_openai_refuses(
    servers: dict[str, Any], *, path: str, model: str, fields: dict[str, Any], code: str | None, words: str
) -> None:
    """OpenAI answers 400 with message, type, param and code."""
    ask = {"input": "Why?"} if path == "responses" else {"messages": ASK}
    path = "/v1/responses" if path == "responses" else "/v1/chat/completions"
    status, answer = post(servers["openai"].address, path, {"model": model, **ask, **fields})
    assert (status, answer["error"]["type"], answer["error"]["code"]) == (400, "invalid_request_error", code)
    assert words in answer["error"]["message"]


def test_responses_take_tools_and_effort_together(servers: dict[str, Any]) -> None:
    """What Chat refuses, the Responses API takes."""
    body = {"model": "gpt-6-astra", "input": "Why?", "tools": RESPONSES_TOOLS, "reasoning": {"effort": "max"}}
    assert post(servers["openai"].address, "/v1/responses", body)[0] == 200


def gemini(**config: Any) -> dict[str, Any]:
    """A request of Gemini's."""
    return {"contents": [], "generationConfig": {"thinkingConfig": config}}


@pytest.mark.parametrize(
    ("path", "body", "status", "words"),
    [
        ("gemini/models/gemini-2.5-pro:generateContent", gemini(thinkingBudget=0), 400, "only works in thinking mode"),
        ("gemini/models/gemini-2.5-pro:generateContent", gemini(thinkingBudget=40_000), 400, "between 128 and 32768"),
        ("gemini/models/gemini-2.5-flash-lite:generateContent", gemini(thinkingBudget=100), 400, "between 512 and"),
        ("gemini/models/gemini-2.5-flash:generateContent", gemini(thinkingLevel="LOW"), 400, "not supported"),
        ("gemini/models/gemini-3.8-flash:generateContent", gemini(thinkingLevel="MINIMAL"), 400, "'minimal' is not"),
        ("gemini/models/gemini-3.8-flash:generateContent", gemini(thinkingBudget=100), 400, "not supported"),
        (
            "gemini/models/gemini-3.8-flash:generateContent",
            gemini(thinkingBudget=1, thinkingLevel="LOW"),
            400,
            "only one of thinking budget and thinking level",
        ),
        ("deepseek", {"model": "deepseek-v4-pro", "tool_choice": "required"}, 400, "does not support this tool_choice"),
        ("deepseek", {"model": "deepseek-v4-pro", "thinking": {"type": "adaptive"}}, 400, "unknown variant"),
        ("deepseek", {"model": "deepseek-v4-pro", "reasoning_effort": "none"}, 400, "unknown variant"),
        ("dashscope", {"model": "qwen3-8b"}, 400, "must be set to false for non-streaming calls"),
        ("dashscope", {"model": "qwen-plus", "enable_thinking": True, "thinking_budget": 0}, 400, "positive integer"),
        (
            "dashscope",
            {"model": "qwen3-next-80b-a3b-thinking", "stream": True, "enable_thinking": False},
            400,
            "restricted to True",
        ),
        ("dashscope", {"model": "qwen3-next-80b-a3b-thinking"}, 400, "only support stream mode"),
        ("mistral", {"model": "mistral-medium-latest", "reasoning_effort": "low"}, 422, "'none' or 'high'"),
        ("mistral", {"model": "magistral-medium-latest", "reasoning_effort": "high"}, 422, "Extra inputs"),
        ("xai", {"model": "grok-4.5", "reasoning_effort": "none"}, 400, "Invalid reasoning effort"),
        ("xai", {"model": "grok-4.20-0309-reasoning", "reasoning_effort": "low"}, 400, "reasoningEffort"),
        ("xai", {"model": "grok-4.3", "presence_penalty": 0}, 400, "presencePenalty"),
        ("xai", {"model": "grok-4.3", "stop": ["x"]}, 400, "parameter stop"),
        (
            "openrouter",
            {"model": "deepseek/deepseek-v4-pro", "reasoning": {"effort": "low", "max_tokens": 2000}},
            400,
            "Only one of",
        ),
        ("openrouter", {"model": "deepseek/deepseek-v4-pro", "reasoning": {"max_tokens": 5}}, 400, "1024"),
        ("openrouter", {"model": "deepseek/deepseek-v4-pro", "reasoning": {"effort": "max"}}, 400, "enum"),
        ("vllm", {"model": "unparsed", "thinking_token_budget": 5}, 400, "reasoning_config is not configured"),
        ("vllm", {"model": "qwen3-8b", "thinking_token_budget": -1}, 400, "non-negative"),
        (
            "llamacpp",
            {"model": "smollm2", "messages": [*ASK, {"role": "system", "content": "x"}]},
            400,
            "System message must be at the beginning",
        ),
    ],
)
def test_the_others_refuse(servers: dict[str, Any], path: str, body: dict[str, Any], status: int, words: str) -> None:
    """Each provider's status, and its words in its own shape."""
    address = f"{servers[''].address}/{path}"
    if "models" not in path:
        address, body = f"{address}/chat/completions", {"messages": ASK, **body}
    told, answer = post(address, "", body)
    assert told == status
    assert words in json.dumps(answer)
