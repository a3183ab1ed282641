"""Strict stand-ins for the providers with an OpenAI-like API, and for Gemini's own; one server has them all."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from aiohttp import web

from tests.adapters.litellm_server import gemini
from tests.thinking import rules
from tests.thinking.rules import RefusedError, Understood
from tests.upstreams import openai_chat_wire as chat_wire
from tests.upstreams.listening import ProviderServer
from tests.upstreams.replies import Counts, Reply

Rule = Callable[[Mapping[str, Any]], Understood]

RULES: Mapping[str, Mapping[str, Rule]] = {
    "gemini": {
        "gemini-2.5-pro": rules.gemini_budget(128, 32_768, can_stop=False),
        "gemini-2.5-flash": rules.gemini_budget(1, 24_576, can_stop=True),
        "gemini-2.5-flash-lite": rules.gemini_budget(512, 24_576, can_stop=True, default=0),
        "gemini-3-flash-preview": rules.gemini_level("minimal", "low", "medium", "high", default="high"),
        "gemini-3.8-flash": rules.gemini_level("low", "medium", "high", default="medium"),
        "gemini-3.1-pro-preview": rules.gemini_level("low", "medium", "high", default="high"),
    },
    "deepseek": {"deepseek-v4-pro": rules.deepseek, "deepseek-v4-flash": rules.deepseek},
    "dashscope": {
        "qwen-plus": rules.qwen_hybrid,
        "qwen3-8b": rules.qwen_open,
        "qwen3-next-80b-a3b-thinking": rules.qwen_thinking,
    },
    "mistral": {"mistral-medium-latest": rules.mistral, "magistral-medium-latest": rules.magistral},
    "xai": {
        "grok-4.3": rules.grok("none", "low", "medium", "high", default="low"),
        "grok-4.5": rules.grok("low", "medium", "high", default="high"),
        "grok-4.7": rules.grok("low", "medium", "high", "xhigh", default="high"),
        "grok-4.20-0309-reasoning": rules.grok(default=None),
    },
    "openrouter": {"anthropic/claude-sonnet-4.5": rules.openrouter, "deepseek/deepseek-v4-pro": rules.openrouter},
    "hosted_vllm": {"qwen3-8b": partial(rules.vllm, has_parser=True)},
    "vllm": {"qwen3-8b": partial(rules.vllm, has_parser=True), "unparsed": partial(rules.vllm, has_parser=False)},
    "llamacpp": {"smollm2": rules.plain},
}
ANSWER = Reply(text="Because.", thinking="Why?", counts=Counts(completion=40, thinking=24))
TAGGED = Reply(text="<think>\nWhy?\n</think>\n\nBecause.", counts=Counts(completion=40))
"""How the same is said by a model that thinks in its text; its server counts no thinking apart."""
_SAY_REASONING = frozenset({"openrouter", "vllm", "hosted_vllm"})
"""Providers whose answers have their thinking in ``reasoning``; the others' have it in ``reasoning_content``."""


class ThinkingServer(ProviderServer):
    """Answers each model by its provider's rules; the provider stands first in the path."""

    def __init__(self) -> None:
        super().__init__()
        self.understood: list[Understood] = []

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post("/{provider}/models/{model}:{method}", self._gemini),
            web.post("/{provider}/{path:.*}chat/completions", self._chat),
        ]

    async def refuse_path(self, request: web.Request) -> web.StreamResponse:
        await self.record(request)
        return self.send_json({"error": {"message": "no such path"}}, {}, status=404)

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        body = json.loads(await self.record(request))
        try:
            self.understood.append(RULES[request.match_info["provider"]][body["model"]](body))
        except RefusedError as fault:
            return self.send_json(fault.body, {}, status=fault.status)
        field = "reasoning" if request.match_info["provider"] in _SAY_REASONING else "reasoning_content"
        shape = chat_wire.ChatShape("c-1", body["model"], self.new_id, field, include_usage=True)
        understood = self.understood[-1]
        is_tagged = understood.is_prompted or (body["model"] == "unparsed" and not understood.is_off)
        reply = TAGGED if is_tagged else ANSWER
        if body.get("stream"):
            return await self.send_events(request, {}, chat_wire.chunks(reply, shape))
        return self.send_json(chat_wire.completion(reply, shape), {})

    async def _gemini(self, request: web.Request) -> web.StreamResponse:
        body = json.loads(await self.record(request))
        try:
            self.understood.append(RULES["gemini"][request.match_info["model"]](body))
        except RefusedError as fault:
            return self.send_json(fault.body, {}, status=fault.status)
        answer = gemini({"text": "Why?", "thought": True}, {"text": "Because."})
        if "stream" in request.match_info["method"]:
            return await self.send_events(request, {}, [b"data: " + json.dumps(answer).encode() + b"\r\n\r\n"])
        return self.send_json(answer, {})
