"""The dialect endpoints in our OpenAPI document.

They are not FastAPI routes (see ``front.py``), so they are described here. Bodies are described as
far as the gateway itself demands something of them; the rest is the provider's to judge.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from gateway.domain.ask import Endpoint, Operation
from gateway.domain.chat import Dialect
from gateway.http.dialects import ENDPOINTS

_SUMMARIES = {
    "/v1/chat/completions": "Answer a conversation (OpenAI Chat Completions)",
    "/v1/responses": "Answer a conversation (OpenAI Responses)",
    "/v1/messages": "Answer a conversation (Anthropic Messages)",
    "/v1/messages/count_tokens": "Count a conversation's input tokens (Anthropic)",
    "/v1/embeddings": "Embed texts (OpenAI)",
}
_REQUIRED = {
    "/v1/chat/completions": ["model", "messages"],
    "/v1/responses": ["model", "input"],
    "/v1/messages": ["model", "messages", "max_tokens"],
    "/v1/messages/count_tokens": ["model", "messages"],
    "/v1/embeddings": ["model", "input"],
}
UNAUTHENTICATED = "No API key, or one that is unknown, revoked or expired"
_ERRORS = {
    "400": "The request is invalid; the message says what would be accepted",
    "401": UNAUTHENTICATED,
    "402": "The money allowed does not cover the request",
    "403": "The key may not use this model; the message lists those it may",
    "404": "Unknown model; the message lists those there are",
    "413": "The body is larger than limits.body_bytes",
    "429": "A rate limit; Retry-After says when to come back",
    "502": "The upstream failed",
    "503": "The upstream is overloaded",
    "504": "The upstream did not answer in time",
}


def describe(app: FastAPI) -> None:
    """Make ``app.openapi()`` include the dialect endpoints and both ways of sending a key."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = get_openapi(title=app.title, version=app.version, routes=app.routes)
            _correct(document)
            for endpoint in ENDPOINTS.values():
                document["paths"][endpoint.path] = {"post": _operation(endpoint)}
            document.setdefault("components", {})["securitySchemes"] = {
                "bearer": {"type": "http", "scheme": "bearer"},
                "x-api-key": {"type": "apiKey", "in": "header", "name": "x-api-key"},
            }
            document["security"] = [{"bearer": []}, {"x-api-key": []}]
            app.openapi_schema = document
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way to extend its document


def _correct(document: dict[str, Any]) -> None:
    """Say of FastAPI's own routes what is so here: a request that is invalid is answered 400, in our shape."""
    for methods in document["paths"].values():
        for operation in methods.values():
            if operation["responses"].pop("422", None) is not None:
                invalid = {"description": _ERRORS["400"], "content": _error_content(Dialect.OPENAI_CHAT)}
                operation["responses"].setdefault("400", invalid)
    for name in ("HTTPValidationError", "ValidationError"):
        document.get("components", {}).get("schemas", {}).pop(name, None)


def _operation(endpoint: Endpoint) -> dict[str, Any]:
    streams = endpoint.operation is Operation.CHAT
    answer: dict[str, Any] = {"application/json": {"schema": {"type": "object"}}}
    if streams:
        answer["text/event-stream"] = {"schema": {"type": "string"}}
    error_content = _error_content(endpoint.dialect)
    return {
        "tags": [endpoint.dialect.value],
        "summary": _SUMMARIES[endpoint.path],
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": _body(endpoint, streams=streams)}},
        },
        "responses": {
            "200": {"description": "The answer, in the same dialect", "content": answer},
            **{status: {"description": text, "content": error_content} for status, text in _ERRORS.items()},
        },
    }


def _body(endpoint: Endpoint, *, streams: bool) -> dict[str, Any]:
    properties: dict[str, Any] = {"model": {"type": "string", "minLength": 1}}
    if "messages" in _REQUIRED[endpoint.path]:
        properties["messages"] = {"type": "array", "minItems": 1, "items": {"type": "object"}}
    if "max_tokens" in _REQUIRED[endpoint.path]:
        properties["max_tokens"] = {"type": "integer", "minimum": 1}
    if streams:
        properties["stream"] = {"type": "boolean", "default": False}
        properties["ponder"] = {
            "type": "object",
            "description": "Hints; they only tighten limits.",
            "additionalProperties": False,
            "properties": {
                "category": {"type": "string"},
                "difficulty": {"type": "string"},
                "deadline_s": {"type": "number", "exclusiveMinimum": 0},
                "max_cost_usd": {"type": "number", "exclusiveMinimum": 0},
                "verify": {
                    "type": "object",
                    "description": "How to check answers: docs/graders.md says what each kind takes.",
                    "required": ["kind"],
                    "properties": {"kind": {"type": "string"}},
                },
                "progress": {"type": "boolean"},
                "tags": {"type": "object", "additionalProperties": {"type": "string"}, "maxProperties": 16},
            },
        }
    return {"type": "object", "required": _REQUIRED[endpoint.path], "properties": properties}


def refusals(texts: Mapping[int, str]) -> dict[int | str, dict[str, Any]]:
    """The errors of FastAPI routes, by status, for their ``responses``."""
    content = _error_content(Dialect.OPENAI_CHAT)
    return {status: {"description": text, "content": content} for status, text in texts.items()}


def _error_content(dialect: Dialect) -> dict[str, Any]:
    return {"application/json": {"schema": _error_schema(dialect)}}


def _error_schema(dialect: Dialect) -> dict[str, Any]:
    if dialect is Dialect.ANTHROPIC_MESSAGES:
        return {
            "type": "object",
            "required": ["type", "error"],
            "properties": {
                "type": {"const": "error"},
                "error": {
                    "type": "object",
                    "required": ["type", "message"],
                    "properties": {"type": {"type": "string"}, "message": {"type": "string"}},
                },
            },
        }
    return {
        "type": "object",
        "required": ["error"],
        "properties": {
            "error": {
                "type": "object",
                "required": ["message", "type"],
                "properties": {
                    "message": {"type": "string"},
                    "type": {"type": "string"},
                    "param": {"type": ["string", "null"]},
                    "code": {"type": ["string", "null"]},
                },
            }
        },
    }
