"""The allow-list between a caller and litellm."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.adapters.litellm_fields import CHAT_FIELDS, chat_arguments, embedding_arguments
from gateway.errors import InvalidRequest

SUPPORTED = CHAT_FIELDS - {"user", "safety_identifier", "prompt_cache_key", "n", "store", "logit_bias"}
MODEL_AND_MESSAGES = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}
PICTURE = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}


def _asking(*parts: Any) -> dict[str, Any]:
    return {"model": "m", "messages": [{"role": "user", "content": list(parts)}]}


@pytest.mark.parametrize(
    "field",
    [
        *("api_base", "base_url", "api_key", "api_version", "custom_llm_provider", "user_config", "organization"),
        *("extra_headers", "headers", "extra_body", "extra_query", "metadata", "litellm_metadata", "fallbacks"),
        *("mock_response", "mock_tool_calls", "mock_timeout", "model_list", "client", "shared_session", "timeout"),
        *("max_retries", "num_retries", "drop_params", "allowed_openai_params", "additional_drop_params"),
        *("prompt_id", "caching", "cache", "callbacks", "guardrails", "web_search_options", "deployment_id"),
        *("input_cost_per_token", "vertex_credentials", "aws_access_key_id", "use_litellm_proxy", "acompletion"),
    ],
)
def test_litellms_own_settings_are_refused_by_name(field: str) -> None:
    """A field that litellm would take as a setting of its own never reaches it, whatever its value."""
    with pytest.raises(InvalidRequest, match=rf"^{field}: not accepted .* accepted are .*temperature") as refusal:
        chat_arguments({**MODEL_AND_MESSAGES, field: "x"}, "gemini", SUPPORTED)
    assert refusal.value.param == field


def test_what_is_accepted_goes_on_unchanged() -> None:
    """Accepted fields pass with their values; those that are null count as absent."""
    body = {**MODEL_AND_MESSAGES, "temperature": 0.5, "reasoning_effort": "low", "seed": None, "stop": ["x"]}
    assert chat_arguments(body, "gemini", SUPPORTED) == {
        **MODEL_AND_MESSAGES,
        "temperature": 0.5,
        "reasoning_effort": "low",
        "stop": ["x"],
    }


def test_a_field_that_the_provider_lacks_is_refused_with_those_it_has() -> None:
    """Nothing that would shape the answer is dropped in silence."""
    with pytest.raises(InvalidRequest, match=r"^logit_bias, n: not offered .*accepted are .*temperature") as refusal:
        chat_arguments({**MODEL_AND_MESSAGES, "logit_bias": {}, "n": 2}, "gemini", SUPPORTED)
    assert refusal.value.param == "logit_bias"


def test_hints_and_defaults_are_left_out_where_the_provider_lacks_them() -> None:
    """A user id, a cache key, or a default that is spelled out changes no answer, so it stops no request."""
    body = {**MODEL_AND_MESSAGES, "user": "u", "prompt_cache_key": "k", "n": 1, "store": False}
    assert chat_arguments(body, "gemini", SUPPORTED) == MODEL_AND_MESSAGES
    assert chat_arguments(body, "gemini", CHAT_FIELDS) == body


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("reasoning_effort", {"effort": "low", "summary": "auto"}),
        ("thinking", "on"),
        ("stream_options", {"include_usage": True, "api_base": "http://evil"}),
        ("tools", [{"type": "mcp", "server_url": "http://evil"}]),
        ("tools", [{"googleSearch": {}}]),
        ("tools", [{"type": "function"}]),
        ("tools", "all"),
        ("messages", "hello"),
    ],
)
def test_settings_hidden_below_accepted_fields_are_refused(field: str, value: Any) -> None:
    """Nested values have the shape that the dialect gives them, and tools are the caller's own functions."""
    with pytest.raises(InvalidRequest):
        chat_arguments({**MODEL_AND_MESSAGES, field: value}, "gemini", SUPPORTED)


@pytest.mark.parametrize(
    "part",
    [
        PICTURE,
        {"type": "image_url", "image_url": "http://169.254.169.254/latest"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,gs://bucket/secret.png"}},
        {"type": "file", "file": {"file_id": "file-1"}},
        {"type": "file", "file": {"file_data": "gs://bucket/secret.pdf"}},
        {"type": "document", "source": {"type": "url", "url": "https://example.com/a.pdf"}},
        {"type": "video_url", "video_url": {"detail": [{"url": "s3://bucket/a.mp4"}]}},
    ],
)
def test_addresses_and_stored_files_are_refused(part: Any) -> None:
    """litellm downloads addresses from the gateway's network and reads stored files with the operator's key."""
    with pytest.raises(InvalidRequest, match=r"send .* as a data: URL"):
        chat_arguments(_asking(part), "gemini", SUPPORTED)


def test_addresses_in_words_and_pictures_as_data_pass() -> None:
    """Text may speak of addresses, and a data: URL is its own content."""
    data = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}
    body = _asking({"type": "text", "text": "see https://example.com"}, data)
    assert chat_arguments(body, "gemini", SUPPORTED) == body


def test_a_provider_that_fetches_pictures_itself_gets_their_address() -> None:
    """Mistral takes an https picture, as litellm hands the address on."""
    assert chat_arguments(_asking(PICTURE), "mistral", SUPPORTED) == _asking(PICTURE)


def test_endless_nesting_is_refused() -> None:
    """Content that is nested beyond reason is refused before anyone walks it."""
    part: Any = {"type": "file"}
    for _ in range(200):
        part = {"file": part}
    with pytest.raises(InvalidRequest, match="nested deeper"):
        chat_arguments(_asking(part), "gemini", SUPPORTED)


@pytest.mark.parametrize(
    "body",
    [
        {"input": "x", "api_base": "http://evil"},
        {"input": "gs://bucket/secret.png"},
        {"input": ["words", "files/abc"]},
        {"input": [{"type": "file"}]},
        {"input": []},
        {"input": "x", "encoding_format": "hex"},
    ],
)
def test_embeddings_take_text_and_nothing_that_points_elsewhere(body: dict[str, Any]) -> None:
    """References that litellm would resolve with the operator's credentials are refused."""
    with pytest.raises(InvalidRequest):
        embedding_arguments({"model": "m", **body})


def test_the_encoding_of_embeddings_is_ours_to_render() -> None:
    """Providers are asked for numbers; a client's wish for base64 is met afterwards."""
    body = {"model": "m", "input": ["a", "b"], "dimensions": 8, "encoding_format": "base64", "user": "u"}
    assert embedding_arguments(body) == {"model": "m", "input": ["a", "b"], "dimensions": 8}
