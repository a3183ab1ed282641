"""A server that answers as Anthropic does, on /v1/messages, its count_tokens, and /v1/models."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from tests.upstreams import anthropic_wire as wire
from tests.upstreams.anthropic_rules import (
    CATALOGUE,
    COUNT_FIELDS,
    MESSAGE_FIELDS,
    Facts,
    RefusedError,
    check_fields,
    check_model,
    check_settings,
)
from tests.upstreams.anthropic_turns import check_turns
from tests.upstreams.listening import ProviderServer

KEY = "sk-ant-loopback"
_EVERY_EFFORT = ("low", "medium", "high", "xhigh", "max")
_EVERY_THINKING = ("enabled", "adaptive", "disabled", "between_tools")
_Handler = Callable[[web.Request, Any], Awaitable[web.StreamResponse]]


class AnthropicServer(ProviderServer):
    """Anthropic on loopback."""

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post("/v1/messages", self._guarded(self._messages)),
            web.post("/v1/messages/count_tokens", self._guarded(self._count_tokens)),
            web.get("/v1/models", self._guarded(self._models)),
            web.get("/v1/models/{model}", self._guarded(self._model)),
        ]

    async def refuse_path(self, request: web.Request) -> web.StreamResponse:
        await self.record(request)
        return self._refuse(RefusedError("Not Found", status=404, kind="not_found_error"))

    def _guarded(self, handler: _Handler) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        """Check key, version and JSON before ``handler``, and turn refusals into error bodies."""

        async def guarded(request: web.Request) -> web.StreamResponse:
            raw = await self.record(request)
            try:
                self._check_headers(request)
                return await handler(request, self._parse(raw) if request.method == "POST" else None)
            except RefusedError as fault:
                return self._refuse(fault)
            except (AttributeError, KeyError, TypeError):  # the rules take a body to have the documented types
                return self._refuse(RefusedError("A member of the request body has another type than documented."))

        return guarded

    def _refuse(self, fault: RefusedError) -> web.Response:
        request_id = self.new_id("req_")
        return self.send_json(
            fault.body(request_id), status=fault.status, headers={"request-id": request_id, "x-should-retry": "false"}
        )

    def _headers(self) -> dict[str, str]:
        return {
            "request-id": self.new_id("req_"),
            "anthropic-organization-id": "00000000-0000-4000-8000-000000000000",
            "anthropic-ratelimit-requests-remaining": "3999",
        }

    def _check_headers(self, request: web.Request) -> None:
        # Since API version 2026-10-21 the packages send the key as a bearer token; both are taken.
        bearer = request.headers.get("authorization", "").removeprefix("Bearer ")
        key = request.headers.get("x-api-key") or bearer
        if not key:
            raise RefusedError("x-api-key header is required", status=401, kind="authentication_error")
        if key != KEY:
            raise RefusedError("invalid x-api-key", status=401, kind="authentication_error")
        version = request.headers.get("anthropic-version")
        if version is None:
            raise RefusedError("anthropic-version: header is required")
        if version not in ("2023-01-01", "2023-06-01", "2026-10-21"):
            raise RefusedError(f'anthropic-version: "{version}" is not a valid version')

    def _parse(self, raw: bytes) -> Any:
        try:
            return json.loads(raw)
        except ValueError as fault:
            raise RefusedError(f"The request body is not valid JSON: {fault}") from fault

    async def _messages(self, request: web.Request, body: Any) -> web.StreamResponse:
        check_fields(body, MESSAGE_FIELDS)
        facts = check_model(body)
        check_settings(body, facts)
        check_turns(body, facts)
        reply = self.next_reply(body["model"])
        blocks = wire.content_blocks(reply, self.new_id)
        message_id = self.new_id("msg_")
        if body.get("stream"):
            events = list(wire.events(reply, message_id, body["model"], blocks))
            return await self.send_events(request, self._headers(), events)
        return self.send_json(wire.message(reply, message_id, body["model"], blocks), self._headers())

    async def _count_tokens(self, request: web.Request, body: Any) -> web.StreamResponse:
        check_fields(body, COUNT_FIELDS)
        check_turns(body, check_model(body))
        return self.send_json({"input_tokens": len(body["messages"]) * 14}, self._headers())

    async def _models(self, request: web.Request, _: Any) -> web.StreamResponse:
        data = [_listed(name, facts) for name, facts in CATALOGUE.items()]
        page = {"data": data, "has_more": False, "first_id": data[0]["id"], "last_id": data[-1]["id"]}
        return self.send_json(page, self._headers())

    async def _model(self, request: web.Request, _: Any) -> web.StreamResponse:
        name = request.match_info["model"]
        if name not in CATALOGUE:
            raise RefusedError(f"model: {name}", status=404, kind="not_found_error")
        return self.send_json(_listed(name, CATALOGUE[name]), self._headers())


def _support(is_supported: bool) -> dict[str, bool]:
    return {"supported": is_supported}


def _listed(name: str, facts: Facts) -> dict[str, Any]:
    thinks = bool(facts.thinking - {"disabled"})
    return {
        "type": "model",
        "id": name,
        "display_name": facts.display_name,
        "created_at": "2026-02-05T00:00:00Z",
        "lifecycle": "active",
        "deprecated_at": None,
        "retires_at": None,
        "line": facts.line,
        "max_input_tokens": 200_000,
        "max_tokens": facts.max_tokens,
        "capabilities": {
            "batch": _support(True),
            "citations": _support(True),
            "code_execution": _support(True),
            "context_management": _support(True),
            "image_input": _support(True),
            "pdf_input": _support(True),
            "structured_outputs": _support(True),
            "server_tools": {**_support(True), "code_execution": _support(True), "web_search": _support(True)},
            "effort": {
                **_support(bool(facts.efforts)),
                **{level: _support(level in facts.efforts) for level in _EVERY_EFFORT},
            },
            "thinking": {
                **_support(thinks),
                "types": {mode: _support(mode in facts.thinking) for mode in _EVERY_THINKING},
            },
        },
    }
