"""A server that answers as OpenAI does, or as a compatible server (vLLM, llama.cpp) does.

It speaks /v1/chat/completions, /v1/responses, /v1/embeddings and /v1/models, and refuses what the
service refuses, in the service's words. A compatible server takes unknown fields, shows its
reasoning in Chat, and has no Responses API.
"""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from aiohttp import web

from tests.upstreams import openai_chat_wire as chat_wire
from tests.upstreams import openai_responses_wire as responses_wire
from tests.upstreams.listening import ProviderServer
from tests.upstreams.openai_responses_rules import RESPONSES_FIELDS, check_response
from tests.upstreams.openai_responses_rules import check_model as check_responses_model
from tests.upstreams.openai_rules import (
    CATALOGUE,
    CHAT_FIELDS,
    EMBEDDING_FIELDS,
    Facts,
    RefusedError,
    check_chat,
    check_embeddings,
    check_fields,
    check_message_fields,
    check_model,
)

KEY = "sk-loopback-openai"
COMPATIBLE_MODEL = "qwen3-8b"
DIMENSIONS = 8
_Handler = Callable[[web.Request, Any], Awaitable[web.StreamResponse]]


class OpenAIServer(ProviderServer):
    """OpenAI on loopback; ``thinking_field`` makes it a compatible server that reasons in that field."""

    def __init__(self, thinking_field: str | None = None) -> None:
        super().__init__()
        self._thinking_field = thinking_field
        self._stored: dict[str, dict[str, Any]] = {}

    @property
    def is_compatible(self) -> bool:
        """Whether this is a compatible server and not OpenAI itself."""
        return self._thinking_field is not None

    def routes(self) -> list[web.RouteDef]:
        routes = [
            web.post("/v1/chat/completions", self._guarded(self._chat)),
            web.post("/v1/embeddings", self._guarded(self._embeddings)),
            web.get("/v1/models", self._guarded(self._models)),
            web.get("/v1/models/{model}", self._guarded(self._model)),
        ]
        if not self.is_compatible:
            routes.append(web.post("/v1/responses", self._guarded(self._responses)))
            routes.append(web.get("/v1/responses/{response}", self._guarded(self._stored_response)))
        return routes

    async def refuse_path(self, request: web.Request) -> web.StreamResponse:
        await self.record(request)
        fault = RefusedError(f"Invalid URL ({request.method} {request.path})", status=404)
        return self._refuse(fault)

    def _guarded(self, handler: _Handler) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        """Check key and JSON before ``handler``, and turn refusals into error bodies."""

        async def guarded(request: web.Request) -> web.StreamResponse:
            raw = await self.record(request)
            try:
                self._check_key(request.headers.get("authorization", ""))
                return await handler(request, self._parse(raw) if request.method == "POST" else None)
            except RefusedError as fault:
                return self._refuse(fault)
            except (AttributeError, KeyError, TypeError):  # the rules take a body to have the documented types
                return self._refuse(RefusedError("A member of the request body has another type than documented."))

        return guarded

    def _refuse(self, fault: RefusedError) -> web.Response:
        return self.send_json(fault.body, self._headers(), status=fault.status)

    def _headers(self) -> dict[str, str]:
        return {
            "x-request-id": self.new_id("req_"),
            "openai-processing-ms": "12",
            "openai-version": "2020-10-01",
            "x-ratelimit-remaining-requests": "4999",
        }

    def _check_key(self, header: str) -> None:
        if not header.startswith("Bearer "):
            raise RefusedError(
                "You didn't provide an API key. You need to provide your API key in an Authorization header using "
                "Bearer auth (i.e. Authorization: Bearer YOUR_KEY).",
                status=401,
            )
        if header != f"Bearer {KEY}":
            raise RefusedError(
                f"Incorrect API key provided: {header[7:15]}****. You can find your API key at "
                "https://platform.openai.com/account/api-keys.",
                code="invalid_api_key",
                status=401,
            )

    def _parse(self, raw: bytes) -> Any:
        try:
            return json.loads(raw)
        except ValueError as fault:
            raise RefusedError(
                "We could not parse the JSON body of your request. (HINT: This likely means you aren't using your "
                "HTTP library correctly. The OpenAI API expects a JSON payload, but what was sent was not valid JSON.)"
            ) from fault

    def _facts(self, body: Mapping[str, Any]) -> Facts:
        if self.is_compatible and body.get("model") == COMPATIBLE_MODEL:
            return Facts(COMPATIBLE_MODEL)
        return check_model(body)

    async def _chat(self, request: web.Request, body: Any) -> web.StreamResponse:
        if not self.is_compatible:
            check_fields(body, CHAT_FIELDS)
        facts = self._facts(body)
        check_chat(body, facts)
        if not self.is_compatible:
            check_message_fields(body["messages"])
        reply = self.next_reply(body["model"])
        shape = chat_wire.ChatShape(
            id=self.new_id("chatcmpl-"),
            model=facts.snapshot,
            new_id=self.new_id,
            thinking_field=self._thinking_field,
            candidates=body.get("n") or 1,
            include_usage=bool((body.get("stream_options") or {}).get("include_usage")),
        )
        if body.get("stream"):
            return await self.send_events(request, self._headers(), chat_wire.chunks(reply, shape))
        return self.send_json(chat_wire.completion(reply, shape), self._headers())

    async def _responses(self, request: web.Request, body: Any) -> web.StreamResponse:
        check_fields(body, RESPONSES_FIELDS)
        facts = check_responses_model(body)
        check_response(body, facts, self._open_calls())
        reply = self.next_reply(body["model"])
        output = responses_wire.output_items(reply, self.new_id)
        response_id = self.new_id("resp_")
        final = responses_wire.response_object(body, response_id, facts.snapshot, reply, output)
        if final["store"]:
            self._stored[response_id] = final
        if body.get("stream"):
            events = list(responses_wire.ResponseEvents(final).all())
            return await self.send_events(request, self._headers(), events)
        return self.send_json(final, self._headers())

    def _open_calls(self) -> dict[str, list[str]]:
        return {
            response_id: [item["call_id"] for item in stored["output"] if item["type"] == "function_call"]
            for response_id, stored in self._stored.items()
        }

    async def _stored_response(self, request: web.Request, _: Any) -> web.StreamResponse:
        response_id = request.match_info["response"]
        if response_id not in self._stored:
            raise RefusedError(f"Response with id '{response_id}' not found.", status=404)
        return self.send_json(self._stored[response_id], self._headers())

    async def _embeddings(self, request: web.Request, body: Any) -> web.StreamResponse:
        check_fields(body, EMBEDDING_FIELDS)
        facts = self._facts(body)
        inputs = check_embeddings(body, facts)
        data = []
        for index in range(len(inputs)):
            vector = [(index + place + 1) / 16 for place in range(body.get("dimensions") or DIMENSIONS)]
            packed = base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode("ascii")
            embedding = packed if body.get("encoding_format") == "base64" else vector
            data.append({"object": "embedding", "index": index, "embedding": embedding})
        used = {"prompt_tokens": 5 * len(inputs), "total_tokens": 5 * len(inputs)}
        answer = {"object": "list", "data": data, "model": body["model"], "usage": used}
        return self.send_json(answer, self._headers())

    async def _models(self, request: web.Request, _: Any) -> web.StreamResponse:
        return self.send_json(
            {"object": "list", "data": [self._listed(name) for name in self._names()]}, headers=self._headers()
        )

    async def _model(self, request: web.Request, _: Any) -> web.StreamResponse:
        name = request.match_info["model"]
        if name not in self._names():
            raise RefusedError(f"The model '{name}' does not exist", "model", "model_not_found", 404)
        return self.send_json(self._listed(name), self._headers())

    def _names(self) -> tuple[str, ...]:
        return (COMPATIBLE_MODEL,) if self.is_compatible else tuple(CATALOGUE)

    def _listed(self, name: str) -> dict[str, Any]:
        return {"id": name, "object": "model", "created": chat_wire.CREATED, "owned_by": "loopback"}
